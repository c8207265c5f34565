"""Sweeps through submitit, as on Slurm: its jobs end, fail, are preempted and cancelled, and a repeat goes on."""

import contextlib
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.jobs.sweeps import LONG, histories, jobs, parents, start_sweep, sweep

pytest.importorskip("submitit", reason="submitit is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ready_store")]

LOCAL = ("launcher=slurm", "launcher.cluster=local")
FAULTS = (*LOCAL, "dataset.reader._target_=tests.jobs.faulty.Faulty", "+dataset.reader.fault=none,raise,exit")


def test_failing_jobs_end_alone_and_say_where_their_log_is(tmp_path: Path) -> None:
    root, armed = tmp_path / "root", tmp_path / "armed"
    armed.touch()
    code, out = sweep(*FAULTS, MEDFT_TEST_ARMED=str(armed))
    assert code == 1, out
    first = {label.removeprefix("fault="): run for label, run in jobs(root).items()}
    statuses = {name: run.info.status for name, run in first.items()}
    assert statuses == {"none": "FINISHED", "raise": "FAILED", "exit": "FAILED"}
    assert "FAILED: fault=raise: RuntimeError: out of luck" in out
    assert "FAILED: fault=exit: the job called sys.exit(0)" in out
    assert parents(root)[0].info.status == "FAILED"
    (folder,) = (root / "outputs").glob("*/*-sweep")
    names = {each.name for each in folder.iterdir() if each.is_dir()}
    assert names == {".submitit", "fault=none", "fault=raise", "fault=exit"}
    log = folder / "fault=raise" / "job.log"
    assert f"its log:  {log}" in out
    assert "RuntimeError: out of luck" in log.read_text()


def supervisor(sweep_process: psutil.Process, label: str) -> psutil.Process:
    """The process that submitit started for a job, as soon as that has a checkpoint to go on from."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        for process in sweep_process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                command = process.cmdline()
                is_job = "medft.jobs.worker" in command and command[-1].endswith(label)
                if is_job and (Path(command[-1]) / "checkpoints" / "last.ckpt").exists():
                    return process.parent()
        time.sleep(0.05)
    raise TimeoutError(label)


def test_preempted_cancelled_and_lost_jobs_go_on_from_their_last_checkpoint(tmp_path: Path) -> None:
    root, settings = tmp_path / "root", (*LOCAL, "dataset.split.seed=1,2,3", *LONG, "dataset.size=60")
    process = start_sweep(*settings)
    # what Slurm sends before it preempts, what scancel sends, and the loss of a node
    signals = {"seed=1": signal.SIGUSR2, "seed=2": signal.SIGTERM, "seed=3": signal.SIGKILL}
    waiting = dict(signals)
    while waiting:
        for label in list(waiting):
            os.kill(supervisor(psutil.Process(process.pid), label).pid, waiting.pop(label))
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 1, out
    first = jobs(root)
    statuses = {label: run.info.status for label, run in first.items()}
    assert statuses == {"seed=1": "FINISHED", "seed=2": "KILLED", "seed=3": "KILLED"}, out
    assert first["seed=2"].data.tags["error"].startswith("stopped by the launcher")
    assert first["seed=3"].data.tags["error"] == "its process ended without a word"

    code, out = sweep(*settings)
    assert code == 0, out
    assert "seed=1: done earlier" in out
    again = jobs(root)
    assert {label: run.info.run_id for label, run in again.items()} == {
        label: run.info.run_id for label, run in first.items()
    }
    (folder,) = (root / "outputs").glob("*/*-sweep")
    for label in signals:
        assert again[label].info.status == "FINISHED"
        assert (folder / label / "job.log").read_text().count("goes on from") == 1
        steps = [step for step, _ in histories(root, again[label])["val/loss"]]
        assert steps == sorted(set(steps))
        assert len(steps) == 9
