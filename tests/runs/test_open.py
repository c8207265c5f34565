"""Finished runs can be opened: their config with overrides on top, and their files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from medft.cli.main import main
from medft.errors import InputError, TrackerUnavailable
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
    elsewhere: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, place = elsewhere, elsewhere.config.tracking.uri
    copy = open_for_writing(run)
    assert copy.folder.parent == tmp_path / "here" / "outputs" / "copies"
    assert not copy.index.list_pending() and not copy.index.list_entries()
    copy.set_tags({"human/wins": "7"})
    with monkeypatch.context() as away:
        away.setattr("medft.runs.open.deliver", Mock(side_effect=TrackerUnavailable("away")))
        assert open_for_writing(run).folder == copy.folder, "in a new one what MLflow has not would be missing"
    assert [entry.folder for entry in copy.index.list_pending()] == [str(copy.folder)]
    assert main(["sync", f"tracking.uri={place}"]) == 0
    assert f"(run {run.stored.run_id}, FINISHED)" in capsys.readouterr().out
    assert not copy.index.list_pending()
    assert open_run(run.stored.run_id, [f"tracking.uri={place}"]).stored.state.tags["human/wins"] == "7"
    copy.set_tags({"human/wins": "8"})
    again = open_for_writing(run)  # with MLflow there
    assert again.folder != copy.folder, "in the old one what others have logged would be missing"
    assert again.state.tags["human/wins"] == "8"


def test_a_copy_needs_a_folder_that_can_be_written(elsewhere: FinishedRun, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "outputs").touch()
    with pytest.raises(InputError, match="^paths.root_dir=.*here: what is logged to a run of elsewhere needs a folder"):
        open_for_writing(elsewhere)
