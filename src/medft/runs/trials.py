"""The runs of a search, while they run and when they have ended: validation losses, tags, checkpoints."""

import json
import math
import shutil
from collections.abc import Mapping
from typing import Any

from medft.config.schema import Config
from medft.runs.store import connect
from medft.runs.sweeps import find_job_run

_INFINITE = 1e300  # databases keep an infinite value as their largest one


def read_run_id(config: Config) -> str | None:
    """The MLflow run that a job has opened, as its folder knows it; None = it has opened none yet."""
    file = config.paths.output / "run.json"
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["run_id"])
    except (FileNotFoundError, json.JSONDecodeError):  # or it is being written
        return None


def metric_history(config: Config, run_id: str, metric: str) -> list[tuple[int, float]]:
    """(step, value) of a run's metric so far, by step."""
    points = connect(config).get_metric_history(run_id, metric)
    return sorted({point.step: point.value for point in points}.items())


def is_number(value: float) -> bool:
    """Whether a logged value is neither NaN nor infinite."""
    return math.isfinite(value) and abs(value) < _INFINITE


def tag_child(config: Config, tags: Mapping[str, str]) -> None:
    """Set tags of a job's run, if it has one."""
    if child := find_job_run(config):
        for key, value in tags.items():
            connect(config).set_tag(child.run_id, key, value)


def tag_parent(config: Config, parent: str, tags: Mapping[str, str], figure: Any) -> None:
    """Set tags of a search's run and log its picture."""
    client = connect(config)
    for key, value in tags.items():
        client.set_tag(parent, key, value)
    client.log_figure(parent, figure, "optimization_history.png")


def discard_checkpoints(config: Config) -> None:
    """Remove the checkpoints of a job that will not be gone on with."""
    shutil.rmtree(config.paths.output / "checkpoints", ignore_errors=True)
