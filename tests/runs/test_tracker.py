"""Several jobs that log at the same moment."""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from medft.config.compose import compose_config
from medft.config.schema import Config
from medft.runs.store import connect, get_experiment_id
from medft.runs.tracker import _log_inputs

ROUNDS = 6


@dataclass(frozen=True)
class Part:
    fingerprint: str


@dataclass(frozen=True)
class Data:
    """As much of `Splits` as is logged; another content in each round."""

    content: int

    def parts(self) -> dict[str, Part]:
        return {name: Part(f"{name}-{self.content}") for name in ("train", "validation", "test")}


def log_all(barrier: Any, results: Any) -> None:
    import mlflow

    config = compose_config()
    client = connect(config)
    experiment = get_experiment_id(client, config)
    try:
        for content in range(ROUNDS):
            barrier.wait(timeout=60)
            with mlflow.start_run(experiment_id=experiment) as run:
                _log_inputs(config, Data(content))  # type: ignore[arg-type]
            results.put(len(client.get_run(run.info.run_id).inputs.dataset_inputs))
    except Exception as error:
        barrier.abort()
        results.put(str(error))


@pytest.mark.slow
def test_jobs_that_log_the_same_data_at_once_all_do(compose: Callable[..., Config]) -> None:
    connect(compose())  # the store is set up before jobs start
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    jobs = [context.Process(target=log_all, args=(barrier, results)) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(timeout=180)
    found = [results.get(timeout=1) for _ in range(results.qsize())]
    assert found == [3] * (4 * ROUNDS)
