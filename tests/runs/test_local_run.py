"""A run in its folder: found by its id, never in another's way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medft.config.schema import Config
from medft.errors import DamagedFile, InputError
from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun, hold_folder, read_local_run


@pytest.fixture
def run(compose: Callable[..., Config], tmp_path: Path) -> LocalRun:
    return LocalRun.create(compose(), tmp_path / "out", "a run", {"seed": "1"}, {"config_hash": "abc"})


def test_a_run_is_found_by_its_id_with_what_it_has_logged(run: LocalRun, tmp_path: Path) -> None:
    run.log_metrics({"val/loss": 2.0}, 4)
    run.set_status("FINISHED")
    entry = RunIndex(tmp_path / "root").get(run.run_id)
    assert entry is not None and (entry.name, entry.folder) == ("a run", str(tmp_path / "out"))
    again = LocalRun(Path(entry.folder))
    assert (again.run_id, again.card["config_hash"], again.state.status) == (run.run_id, "abc", "FINISHED")
    assert again.history("val/loss") == [(4, 2.0)]
    assert again.state.tags == {"seed": "1", "medft.id": run.run_id}


def test_a_step_is_logged_once_and_a_final_value_can_be_measured_anew(run: LocalRun) -> None:
    for value in (2.0, 3.0):
        run.log_metrics({"train/loss": value}, 5)
        run.log_metrics({"judge/score": value})
    assert run.history("train/loss") == [(5, 2.0)]
    assert run.state.metrics["judge/score"] == 3.0
    assert sum(each.kind == "metrics" for each in run.journal.read()) == 3


def test_a_new_run_in_the_same_folder_keeps_the_old_one(run: LocalRun, compose: Callable[..., Config]) -> None:
    (run.folder / "checkpoints").mkdir()
    (run.folder / "checkpoints" / "last.ckpt").write_bytes(b"hours of training")
    (run.folder / "job.log").write_text("of the folder, not of a run")
    run.set_status("KILLED")
    new = LocalRun.create(compose(), run.folder, "another", {})
    assert new.state.name == "another" and not (run.folder / "checkpoints").exists()
    assert (run.folder / "job.log").exists()
    entry = new.index.get(run.run_id)
    assert entry is not None
    old = LocalRun(Path(entry.folder))
    assert (old.state.name, old.state.status, old.state.tags["output_dir"]) == ("a run", "KILLED", str(old.folder))
    assert (old.folder / "checkpoints" / "last.ckpt").read_bytes() == b"hours of training"


def test_setting_aside_goes_on_after_a_kill(run: LocalRun, compose: Callable[..., Config]) -> None:
    home = run.folder / "earlier" / run.run_id[:8]
    home.mkdir(parents=True)
    (run.folder / "journal.jsonl").rename(home / "journal.jsonl")
    assert read_local_run(run.folder) is None
    LocalRun.create(compose(), run.folder, "another", {})
    assert LocalRun(home).state.name == "a run"


def test_one_process_runs_in_a_folder(run: LocalRun) -> None:
    assert not run.is_alive()
    with hold_folder(run.folder):
        assert run.is_alive()
        with pytest.raises(InputError, match="another process runs in this folder"), hold_folder(run.folder):
            pass
    assert not run.is_alive()


def test_a_changed_card_is_told(run: LocalRun) -> None:
    file = run.folder / "run.json"
    file.write_text(file.read_text().replace("a run", "b run"))
    with pytest.raises(DamagedFile, match="run.json: is not what was written"):
        LocalRun(run.folder)


def test_what_is_logged_later_is_to_be_delivered(run: LocalRun) -> None:
    run.set_status("FINISHED")
    run.index.mark_delivered(run.run_id)
    assert run.index.list_pending() == []
    run.log_metrics({"judge/score": 4.0})
    assert [entry.run_id for entry in run.index.list_pending()] == [run.run_id]


def test_a_run_whose_folder_is_gone_is_not_listed(run: LocalRun) -> None:
    import shutil

    shutil.rmtree(run.folder)
    assert run.index.get(run.run_id) is None and run.index.list_entries() == [] == run.index.list_pending()


def test_a_folder_whose_run_was_killed_before_it_logged_anything_is_used_again(
    run: LocalRun, compose: Callable[..., Config]
) -> None:
    (run.folder / "journal.jsonl").unlink()
    new = LocalRun.create(compose(), run.folder, "another", {})
    assert [entry.run_id for entry in new.index.list_entries() if read_local_run(Path(entry.folder))][-1] == new.run_id
    assert LocalRun(run.folder).run_id == new.run_id
    assert not (run.folder / "earlier" / run.run_id[:8] / "run.json").exists()


@pytest.mark.parametrize("name", ["config.yaml", "model/weights", "model/gone"])
def test_a_file_that_was_changed_after_it_was_logged_is_told(run: LocalRun, name: str) -> None:
    run.log_text("config.yaml", "seed: 1\n")
    (run.folder / "model").mkdir()
    for each in ("weights", "gone"):
        (run.folder / "model" / each).write_bytes(b"weights")
    run.log_file(run.folder / "model", "model")
    asked = name.split("/")[0]
    assert run.artifact(asked) == run.folder / asked
    file = run.folder / name
    file.unlink()
    if name != "model/gone":
        file.write_bytes(b"seed: 2\n")
    with pytest.raises(DamagedFile, match=f"{file}: is not what was written"):
        LocalRun(run.folder).artifact(asked)


def test_a_file_is_right_before_and_after_a_kill_between_writing_and_logging_it(run: LocalRun) -> None:
    run.log_text("predictions.jsonl", "old")
    before = (run.folder / "predictions.jsonl").read_bytes()
    with pytest.raises(KeyboardInterrupt), run.write_file("predictions.jsonl") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert LocalRun(run.folder).artifact("predictions.jsonl").read_bytes() == before
    run._log("digests", {"predictions.jsonl": "what was to come when it was killed"})
    assert LocalRun(run.folder).artifact("predictions.jsonl").read_bytes() == before
