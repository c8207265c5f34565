"""How jobs end, and what an attempt that comes to nothing leaves untouched."""

import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from medft.config.launchers import JobInfo
from medft.config.schema import Config
from medft.runs.local_run import LocalRun, hold_folder
from medft.runs.provenance import config_hash, judge_hash
from medft.runs.state import RunState
from medft.runs.status import RESERVE, record_end, record_error, record_lost
from medft.runs.sweeps import Sweep, find_job_run, make_job_tags, open_sweep

LATER = "lost its chance"


@pytest.fixture
def sweep(compose: Callable[..., Config], tmp_path: Path, ready_store: Path) -> Sweep:
    return open_sweep(compose(), "identity", tmp_path / "sweep")


@pytest.fixture
def job(compose: Callable[..., Config], sweep: Sweep) -> Config:
    """A job of a sweep that has been opened."""
    return compose().as_job(JobInfo(parent=sweep.run_id, label="seed=1", values={"seed": "1"}), sweep.folder / "seed=1")


def child(job: Config, status: str, **tags: str) -> str:
    """A run of the job that has ended, or runs."""
    facts = {"config_hash": config_hash(job.resolved), "judge_hash": judge_hash(job.resolved), **tags}
    run = LocalRun.create(job, job.paths.output, "seed=1", {**make_job_tags(job), **facts})
    if status != "RUNNING":
        run.set_status(status)
    time.sleep(0.01)  # the attempts come later
    return run.run_id


def newest(job: Config) -> RunState:
    run = find_job_run(job)
    assert run
    return run.state


def test_a_job_that_opened_no_run_gets_one(job: Config) -> None:
    record_end(job, time.time(), "FAILED", "no luck", trace="where", exit_code=2)
    assert (newest(job).status, newest(job).error, newest(job).tags["exit_code"]) == ("FAILED", "no luck", "2")
    assert (job.paths.output / "error.txt").read_text() == "where"


def test_an_open_run_ends(job: Config) -> None:
    run_id = child(job, "RUNNING")
    record_end(job, time.time(), "KILLED", LATER)
    assert (newest(job).run_id, newest(job).status, newest(job).error) == (run_id, "KILLED", LATER)


def test_a_finished_run_survives_an_attempt_that_is_interrupted_while_it_looks(job: Config) -> None:
    run_id = child(job, "FINISHED")
    record_end(job, time.time(), "KILLED", LATER)
    assert (newest(job).run_id, newest(job).status, newest(job).error) == (run_id, "FINISHED", "")


def test_a_finished_run_of_other_settings_does_not_stand_for_the_job(job: Config) -> None:
    run_id = child(job, "FINISHED", config_hash="another")
    record_end(job, time.time(), "KILLED", LATER)
    assert newest(job).run_id != run_id
    assert newest(job).status == "KILLED"


def test_an_interrupted_run_can_still_be_resumed_after_an_attempt_that_fails_early(job: Config) -> None:
    run_id = child(job, "KILLED")
    record_end(job, time.time(), "FAILED", LATER)
    assert (newest(job).run_id, newest(job).status, newest(job).error) == (run_id, "KILLED", LATER)


def test_a_failed_run_keeps_its_own_reason_and_its_folder(job: Config, sweep: Sweep) -> None:
    run_id = child(job, "FAILED", error="the first")
    record_end(job, time.time(), "FAILED", LATER)
    assert newest(job).run_id != run_id
    assert sweep.list_job_runs() == {"seed=1": newest(job)}
    old = {run.run_id: run.state for run in sweep.list_runs()}[run_id]
    assert (old.error, old.tags["superseded_by"]) == ("the first", newest(job).run_id)


def test_a_run_whose_process_lives_is_not_ended(job: Config, sweep: Sweep) -> None:
    child(job, "RUNNING")
    with hold_folder(job.paths.output):
        record_lost(sweep)
        assert newest(job).status == "RUNNING"
    record_lost(sweep)
    assert (newest(job).status, newest(job).error) == ("KILLED", "its process ended without a word")


def test_starting_over_ends_what_a_killed_launch_has_left(job: Config, sweep: Sweep, tmp_path: Path) -> None:
    child(job, "RUNNING")
    fresh = job.model_copy(update={"sweep": job.sweep.model_copy(update={"fresh": True})})
    assert open_sweep(fresh, "identity", tmp_path / "fresh").run_id != job.job.parent
    assert sweep.run.state.status == "KILLED"
    assert newest(job).status == "KILLED"


def test_a_full_disk_interrupts_and_its_reserve_goes_first(job: Config) -> None:
    child(job, "RUNNING")
    (run,) = [each for each in [find_job_run(job)] if each]
    (run.folder / RESERVE).write_bytes(b"room")
    record_error(run, OSError(errno.ENOSPC, "No space left on device"))
    assert (run.state.status, run.state.error) == (
        "KILLED",
        "no space left on the disk: make room, then start it again",
    )
    assert not (run.folder / RESERVE).exists()
