"""An MLflow server on PostgreSQL that is killed and comes back while a run runs, and is away when it ends."""

import functools
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import mlflow
import pytest

from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun
from tests.composed import TINY
from tests.jobs.sweeps import finish, start
from tests.processes import free_port
from tests.runs.test_server import postgres, serve_mlflow

__all__ = ["postgres"]  # a fixture
Serve = Callable[[], AbstractContextManager[str]]
LONG = ("trainer.max_epochs=16", "trainer.val_checks_per_epoch=3", "dataset.batch_size=2")


@pytest.fixture
def serve(tmp_path: Path, postgres: str) -> Serve:
    """Starts the server, always at the same address."""
    return functools.partial(serve_mlflow, tmp_path, free_port(), postgres)


@pytest.mark.slow
def test_a_server_that_is_killed_again_and_again_costs_nothing(tmp_path: Path, serve: Serve) -> None:
    with serve() as address:
        process = start("train", *TINY, *LONG, "tracking.patience=2", MLFLOW_TRACKING_URI=address)
        wait_for_step(tmp_path / "root", 1, process)
    for step in (40, 120):  # away, and there again
        wait_for_step(tmp_path / "root", step, process)
        with serve():
            wait_for_step(tmp_path / "root", step + 40, process)
    code, out = finish(process)
    assert code == 0, out
    assert out.count("MLflow cannot be had") >= 1
    assert "MLflow has not all of this run yet" in out
    run = the_run(tmp_path / "root")
    assert run.state.status == "FINISHED"
    with serve() as address:
        code, out = finish(start("sync", MLFLOW_TRACKING_URI=address))
        assert (code, f"(run {run.run_id}, FINISHED)" in out) == (0, True), out
        client = mlflow.MlflowClient(address)
        experiment = client.get_experiment_by_name("medft")
        assert experiment is not None
        (there,) = client.search_runs([experiment.experiment_id])
        assert there.info.status == "FINISHED"
        assert there.data.metrics.keys() == run.state.metrics.keys()
        for name in ("train/loss", "val/loss", "test/loss"):
            points = client.get_metric_history(there.info.run_id, name)
            assert [(each.step, each.value) for each in points] == run.history(name)
        assert {each.path for each in client.list_artifacts(there.info.run_id)} >= {"predictions.jsonl", "model"}


def the_run(root: Path) -> LocalRun:
    (entry,) = RunIndex(root).list_entries()
    return LocalRun(Path(entry.folder))


def wait_for_step(root: Path, step: int, process: Any) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            return
        if RunIndex(root).list_entries() and max([0, *(at for at, _ in the_run(root).history("train/loss"))]) >= step:
            return
        time.sleep(0.1)
    raise TimeoutError(f"step {step}")
