"""A sweep that is killed again and again, and ends as one that was not."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.jobs.sweeps import LONG, histories, jobs, runs, start_sweep, sweep, wait_for

pytestmark = pytest.mark.slow

# a kill comes up to 1.5 s after one of these is written: a store, a run, a checkpoint, answers, a run's last file
PHASES = ("last.ckpt", "predictions.jsonl", "mlflow.db.lock", "run.json", "report.html")
KILLS = int(os.environ.get("MEDFT_TEST_KILLS", "2"))


def test_a_sweep_killed_at_random_moments_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("seed=1,2,3", "launcher.n_jobs=2", "model.dropout=0.1", *LONG)
    chance = random.Random(1)
    for number in range(KILLS):
        phase, began = PHASES[number % len(PHASES)], time.time()
        process = start_sweep(*settings)
        wait_for(tmp_path / "root", f"**/{phase}", since=began, process=process)
        moment = chance.uniform(0, 1.5)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            # the sweep's process alone: its jobs have to notice, and nothing may be left of them
            os.kill(process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
        print(f"kill {number + 1}: {moment:.1f} s after {phase}, {time.time() - began:.0f} s after its start")
    code, out = sweep(*settings)
    assert code == 0, out
    root = tmp_path / "root"
    assert {label: run.info.status for label, run in jobs(root).items()} == {
        f"seed={seed}": "FINISHED" for seed in (1, 2, 3)
    }
    assert {run.info.status for run in runs(root)} == {"FINISHED"}
    assert len(runs(root)) == 4

    monkeypatch.setenv("MEDFT_ROOT", str(tmp_path / "undisturbed"))
    code, out = sweep(*settings)
    assert code == 0, out
    whole = jobs(tmp_path / "undisturbed")
    for label, run in jobs(root).items():
        found = histories(root, run)
        assert all(len({step for step, _ in points}) == len(points) for points in found.values()), "a step twice"
        assert found == histories(tmp_path / "undisturbed", whole[label])
