"""Finished runs can be opened: their config with overrides on top, and their files."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medft.cli.main import main
from medft.errors import InputError
from medft.runs.open import FinishedRun, open_for_writing, open_run
from medft.runs.record import read_record
from medft.runs.remote_run import RemoteRun
from tests.finished import Finished


def test_a_run_is_read_whole_with_overrides(finished: Callable[..., Finished], tmp_path: Path) -> None:
    made = finished().copied_to(tmp_path)
    run_id, metrics = made.run_id, made.metrics
    opened = open_run(run_id, ["dataset.long_answers=split", "judge=ollama"])
    assert opened.config.generation == made.config.generation
    assert opened.config.dataset.long_answers == "split"
    assert opened.config.judge.name == "ollama"
    record = read_record(opened.stored)
    assert record.results["loss"].after is not None
    assert record.results["loss"].after.value == pytest.approx(metrics["test/loss"])
    assert len(record.predictions) == 7
    assert record.audit is not None
    with pytest.raises(InputError, match="nothing.txt"):
        opened.stored.artifact("nothing.txt")
    with pytest.raises(InputError, match="dataset.nonsense: no such key in the run's config"):
        open_run(run_id, ["dataset.nonsense=1"])


@pytest.fixture
def elsewhere(finished: Callable[..., Finished], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FinishedRun:
    """A run that another machine has made, whose folders are not here, on a store that both use."""
    made = finished().copied_to(tmp_path / "there")
    run_id = made.run_id
    for folder in ("out", "cache", "root/mlruns/runs"):
        shutil.rmtree(tmp_path / "there" / folder)
    monkeypatch.setenv("MEDFT_ROOT", str(tmp_path / "here"))
    monkeypatch.setenv("MEDFT_CACHE", str(tmp_path / "here" / "cache"))
    database = tmp_path / "there" / "root" / "mlruns" / "mlflow.db"
    return open_run(run_id, [f"tracking.uri=sqlite:///{database}"])


def test_a_run_of_another_machine_has_the_folders_of_this_one(elsewhere: FinishedRun, tmp_path: Path) -> None:
    paths = elsewhere.config.paths
    assert isinstance(elsewhere.stored, RemoteRun)
    assert {paths.root_dir, str(paths.cache.parent)} == {str(tmp_path / "here")} and paths.output_dir is None


def test_what_is_logged_to_a_copy_while_mlflow_is_away_is_delivered_later(
    elsewhere: FinishedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, place = elsewhere, elsewhere.config.tracking.uri
    copy = open_for_writing(run)
    assert copy.folder.parent == tmp_path / "here" / "outputs" / "copies"
    assert not copy.index.list_pending() and not copy.index.list_entries()
    copy.set_tags({"human/wins": "7"})
    again = open_for_writing(run)
    assert again.folder == copy.folder, "what MLflow has not would be lost in a new one"
    assert open_run(run.stored.run_id, [f"tracking.uri={place}"]).stored.state.tags.get("human/wins") is None
    assert main(["sync", f"tracking.uri={place}"]) == 0
    assert f"(run {run.stored.run_id}, FINISHED)" in capsys.readouterr().out
    assert open_run(run.stored.run_id, [f"tracking.uri={place}"]).stored.state.tags["human/wins"] == "7"
    assert not copy.index.list_pending()
    assert open_for_writing(run).folder != copy.folder, "what others have logged since would be missing"
