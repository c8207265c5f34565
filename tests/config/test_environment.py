"""What comes from environment variables is used by a run, and logged by its name."""

import json
from pathlib import Path

import pytest

from medft.config.compose import compose_config
from medft.config.environment import collect_secrets, list_addresses, reveal
from medft.config.launchers import JobInfo
from medft.errors import InputError
from medft.jobs.plan import freeze, load_frozen, make_job
from medft.runs.provenance import config_hash

TAKEN = (
    "dataset=alpaca",
    "dataset.path=['${oc.env:SECRET_X}/a.csv',b.csv]",
    "trainer.max_epochs='${oc.decode:${oc.env:EPOCHS}}'",
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SECRET_X", "/t0psecret")
    monkeypatch.setenv("EPOCHS", "3")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:S3CRET@127.0.0.1:5996")
    monkeypatch.setenv("MEDFT_SECRETS", "{}")
    return monkeypatch


def test_a_config_uses_values_and_logs_names(environment: pytest.MonkeyPatch) -> None:
    config = compose_config(TAKEN)
    assert (config.dataset.path, config.trainer.max_epochs) == (["/t0psecret/a.csv", "b.csv"], 3)
    assert config.tracking.uri == "http://me:S3CRET@127.0.0.1:5996"
    logged = config.logged
    assert logged["dataset"]["path"] == logged["dataset"]["reader"]["path"] == ["${oc.env:SECRET_X}/a.csv", "b.csv"]
    assert logged["trainer"]["max_epochs"] == 3
    assert logged["tracking"]["uri"] == "http://me:***@127.0.0.1:5996"
    assert compose_config([]).logged["judge"]["host"] == "http://127.0.0.1:11434"
    assert reveal(logged, list_addresses()) == config.resolved


def test_a_default_is_no_secret_and_another_value_is_another_setting(environment: pytest.MonkeyPatch) -> None:
    assert compose_config(["dataset.name='${oc.env:NOT_SET,plain}'"]).logged["dataset"]["name"] == "plain"
    hashes = set()
    for epochs in ("3", "3", "4"):
        environment.setenv("EPOCHS", epochs)
        hashes.add(config_hash(compose_config(TAKEN).resolved))
    assert len(hashes) == 2


def test_a_variable_that_is_not_set_any_more_is_named(environment: pytest.MonkeyPatch) -> None:
    logged = compose_config(TAKEN).logged
    environment.delenv("SECRET_X")
    with pytest.raises(InputError, match=r"\$\{oc.env:SECRET_X\}/a.csv: Environment variable 'SECRET_X' not found"):
        reveal(logged, list_addresses())


def test_a_frozen_job_has_no_secrets_and_its_process_has(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    job = make_job(0, compose_config(TAKEN), JobInfo(parent="p", label="one"), tmp_path)
    freeze(job)
    text = (job.folder / "job.yaml").read_text()
    assert "S3CRET" not in text
    assert "t0psecret" not in text
    for name in ("SECRET_X", "EPOCHS", "MLFLOW_TRACKING_URI"):  # as on another machine
        environment.delenv(name)
    frozen = load_frozen(job.folder)
    assert (frozen.resolved, frozen.logged) == (job.config.resolved, job.config.logged)
    environment.delenv("MEDFT_SECRETS")
    with pytest.raises(InputError, match="SECRET_X"):
        load_frozen(job.folder)


def test_secrets_are_what_is_not_shown() -> None:
    config = compose_config(["dataset=alpaca", "dataset.path=x"])
    assert collect_secrets(config.logged, config.resolved) == {}
    assert json.dumps(config.logged) == json.dumps(config.resolved)
