"""What a run leaves, typed: everything that MLflow has of it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from medft.errors import InputError
from medft.evaluation.judging.metrics import JudgeResults, summarize_judge
from medft.evaluation.predictions import Prediction, list_judges, read_jsonl
from medft.metrics.aggregate import BeforeAfter
from medft.metrics.statistics import Estimate
from medft.runs.metric_names import LOSS_CURVES, UNIGRAM_LOSS, read_costs, read_estimate, read_results
from medft.runs.tracker import Tracker

Curve = list[tuple[int, float]]  # (optimizer step, value)


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        metrics: the last value of each, under its MLflow name.
        params: the settings, by dotted key.
        curves: `train/loss` and `val/loss`.
        config: as it was logged, as YAML.
        audit: what audit.json says.
    """

    run_id: str
    name: str
    started: datetime
    metrics: dict[str, float]
    tags: dict[str, str]
    params: dict[str, str]
    curves: dict[str, Curve]
    predictions: Sequence[Prediction]
    config: str
    audit: dict[str, Any] | None

    @cached_property
    def results(self) -> dict[str, BeforeAfter]:
        """The metrics of the answers, as they were logged."""
        return read_results(self.metrics)

    @cached_property
    def judges(self) -> list[JudgeResults]:
        """What the verdicts in its predictions come to, judges in alphabetical order."""
        return [summarize_judge(name, self.predictions) for name in list_judges(self.predictions)]

    @property
    def unigram_loss(self) -> Estimate | None:
        """The loss of knowing word frequencies only."""
        return read_estimate(self.metrics, UNIGRAM_LOSS)

    @property
    def costs(self) -> dict[str, float]:
        """By the names of `TrainingCosts`."""
        return read_costs(self.metrics)

    @property
    def is_leaking(self) -> bool:
        """Whether it was trained on its test questions."""
        return self.tags.get("leaking") == "true"

    @property
    def seed(self) -> str:
        """As a parameter has it; `?` where there is none."""
        return self.params.get("seed", "?")


def read_predictions(tracker: Tracker) -> list[Prediction]:
    """The test questions with their answers and verdicts, as the run has logged them.

    Raises:
        InputError: it has logged none.
    """
    return read_jsonl(tracker.artifact("predictions.jsonl"))


def read_record(tracker: Tracker, predictions: Sequence[Prediction] | None = None) -> RunRecord:
    """Read what the run has logged.

    Args:
        predictions: where they are at hand already.

    Raises:
        InputError: it has logged no predictions or no config.
    """
    run = tracker.client.get_run(tracker.run_id)
    try:
        audit = json.loads(tracker.artifact("audit.json").read_text(encoding="utf-8"))
    except InputError:
        audit = None
    return RunRecord(
        run_id=tracker.run_id,
        name=run.info.run_name,
        started=datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags),
        params=dict(run.data.params),
        curves={name: tracker.read_history(name) for name in LOSS_CURVES},
        predictions=read_predictions(tracker) if predictions is None else predictions,
        config=tracker.artifact("config.yaml").read_text(encoding="utf-8"),
        audit=audit,
    )
