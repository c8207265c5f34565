"""How jobs end in MLflow, and what an attempt that comes to nothing leaves untouched."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medft.config.schema import Config, JobInfo
from medft.runs.provenance import config_hash, judge_hash
from medft.runs.status import record_end, record_lost
from medft.runs.store import connect, get_experiment_id
from medft.runs.sweeps import Sweep, find_job_run, make_job_tags, open_sweep, supersede

LATER = "lost its chance"


@pytest.fixture
def job(compose: Callable[..., Config], tmp_path: Path, ready_store: Path) -> Config:
    """A job of a sweep that has been opened."""
    parent = open_sweep(compose(), "identity", tmp_path).run_id
    return compose().as_job(JobInfo(parent=parent, label="seed=1", values={"seed": "1"}), tmp_path / "seed=1")


def child(job: Config, status: str, **tags: str) -> str:
    """A run of the job that ended some time ago, or runs."""
    client = connect(job)
    facts = {"config_hash": config_hash(job.resolved), "judge_hash": judge_hash(job.resolved), **tags}
    run = client.create_run(get_experiment_id(client, job), tags={**make_job_tags(job), **facts})
    if status != "RUNNING":
        client.set_terminated(run.info.run_id, status, end_time=int(1000 * (time.time() - 60)))
    return str(run.info.run_id)


def newest(job: Config) -> Any:
    run = find_job_run(job)
    assert run
    return run


def test_a_job_that_opened_no_run_gets_one(job: Config) -> None:
    record_end(job, time.time(), "FAILED", "no luck", trace="where", exit_code=2)
    assert (newest(job).status, newest(job).error, newest(job).tags["exit_code"]) == ("FAILED", "no luck", "2")


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


def test_a_failed_run_keeps_its_own_reason(job: Config) -> None:
    run_id = child(job, "FAILED", error="the first")
    record_end(job, time.time(), "FAILED", LATER)
    assert newest(job).run_id != run_id
    assert {each.run_id: each.error for each in Sweep(job).list_all_runs()}[run_id] == "the first"


def test_nothing_is_left_running_not_even_what_a_later_run_stands_for(job: Config) -> None:
    old, new = child(job, "RUNNING"), child(job, "RUNNING")
    supersede(job, new)
    record_lost(Sweep(job))
    assert {each.run_id: each.status for each in Sweep(job).list_all_runs()} == {
        old: "KILLED", new: "KILLED",
    }  # fmt: skip


def test_starting_over_ends_what_a_killed_launch_has_left(job: Config, tmp_path: Path) -> None:
    child(job, "RUNNING")
    fresh = job.model_copy(update={"sweep": job.sweep.model_copy(update={"fresh": True})})
    assert open_sweep(fresh, "identity", tmp_path).run_id != job.job.parent
    assert connect(job).get_run(job.job.parent).info.status == "KILLED"
    assert newest(job).status == "KILLED"
