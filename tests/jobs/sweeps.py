"""Commands as people start them, in processes of their own, and what MLflow holds of them afterwards."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow

from medft.config.paths import checkout_root
from tests.composed import TINY
from tests.processes import QUICK

ROOT = checkout_root()
LONGEST = 600.0  # seconds until something hangs
# some checkpoints to go on from
LONG = ("trainer.max_epochs=3", "trainer.val_checks_per_epoch=3", "dataset.batch_size=2", "dataset.size=40")


def start(*command: str, **environment: str) -> subprocess.Popen[str]:
    """`medft COMMAND` in a process group of its own, with errors among the output."""
    # `tests/installed` is what a package with readers of its own has installed: entry points
    paths = [str(ROOT), str(ROOT / "src"), str(ROOT / "tests" / "installed"), QUICK]
    return subprocess.Popen(
        [sys.executable, "-m", "medft.cli.main", *command],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = LONGEST) -> tuple[int, str]:
    """Exit code and output of a process, once it has ended."""
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        raise
    return process.returncode, out


def start_sweep(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`medft train -m` with tiny settings."""
    return start("train", "-m", *TINY, *arguments, **environment)


def sweep(*arguments: str, **environment: str) -> tuple[int, str]:
    """The same until it ends: exit code and output."""
    return finish(start_sweep(*arguments, **environment))


def client(place: Path) -> mlflow.MlflowClient:
    """Of the store under a root directory."""
    return mlflow.MlflowClient(f"sqlite:///{place / 'mlruns' / 'mlflow.db'}")


def runs(place: Path) -> list[Any]:
    """All runs there, parents and children."""
    store = client(place)
    return list(store.search_runs([each.experiment_id for each in store.search_experiments()]))


def parents(place: Path) -> list[Any]:
    return [run for run in runs(place) if "medft.kind" in run.data.tags]


def jobs(place: Path) -> dict[str, Any]:
    """The run of each job by label, those left out that a later one stands for."""
    newest = [run for run in runs(place) if "sweep.label" in run.data.tags and "superseded_by" not in run.data.tags]
    labels = Counter(run.data.tags["sweep.label"] for run in newest)
    assert set(labels.values()) <= {1}, f"a job has two runs: {labels}"
    return {run.data.tags["sweep.label"]: run for run in newest}


def histories(place: Path, run: Any) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of all metrics but costs, in the order of steps."""
    store = client(place)
    names = [name for name in run.data.metrics if not name.startswith(("cost/", "system/"))]
    points = {name: store.get_metric_history(run.info.run_id, name) for name in names}
    return {name: sorted((point.step, point.value) for point in each) for name, each in points.items()}


def wait_for(root: Path, pattern: str, since: float, process: subprocess.Popen[str]) -> None:
    """Until a file that fits is written, or the process ends."""
    for _ in range(3000):
        files = [file for file in root.glob(pattern) if file.exists() and file.stat().st_mtime > since]
        if files or process.poll() is not None:
            return
        time.sleep(0.1)
    raise TimeoutError(pattern)
