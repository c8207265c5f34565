"""What a report is made of: everything a run has logged."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from medft.errors import InputError
from medft.evaluation.predictions import Prediction
from medft.runs.open import artifact
from medft.runs.tracker import Tracker


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        metrics: the last value of each.
        curves: `train/loss` and `val/loss` as (step, value).
        config: as it was logged, as YAML.
        audit: what audit.json says; None for runs from before there was one.
    """

    run_id: str
    name: str
    started: datetime
    metrics: dict[str, float]
    tags: dict[str, str]
    params: dict[str, str]
    curves: dict[str, list[tuple[int, float]]]
    predictions: Sequence[Prediction]
    config: str
    audit: dict[str, Any] | None


def collect(tracker: Tracker, predictions: Sequence[Prediction]) -> RunRecord:
    """Read from MLflow what the run has logged; `predictions` are at hand in either case."""
    run = tracker.client.get_run(tracker.run_id)
    try:
        audit = json.loads(artifact(tracker, "audit.json").read_text(encoding="utf-8"))
    except InputError:
        audit = None
    return RunRecord(
        run_id=tracker.run_id,
        name=run.info.run_name,
        started=datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        curves=tracker.losses(),
        predictions=predictions,
        config=artifact(tracker, "config.yaml").read_text(encoding="utf-8"),
        audit=audit,
    )
