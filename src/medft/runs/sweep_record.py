"""A sweep as its parent run in MLflow describes it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from medft.errors import InputError
from medft.metrics.registry import METRICS, PRIMARY
from medft.runs.sweeps import KIND, SWEEP


@dataclass(frozen=True)
class SweepRecord:
    """What was asked, and how.

    Attributes:
        keys: that were varied, in order, with `seed` if that was.
        reference: the variant to compare with; empty = the first.
        limits: what the sizes allow to conclude, in words.
        metric: what it was about, as the runs log it, such as `test/bits_per_byte`.
    """

    run_id: str
    name: str
    keys: list[str]
    question: str
    reference: str
    limits: str
    metric: str
    command: str
    started: datetime
    tags: Mapping[str, str]

    @property
    def settings(self) -> list[str]:
        """The keys that were varied, but the seed."""
        return [key for key in self.keys if key != "seed"]

    @property
    def primary(self) -> str:
        """The metric of the comparison; one that is not of test questions cannot be compared by question."""
        name = self.metric.removeprefix("test/").removesuffix("/score")
        can_rank = name.startswith("judge/") or (name in METRICS and METRICS[name].can_rank)
        return name if can_rank else PRIMARY


def is_sweep(run: Any) -> bool:
    """Whether a run is the parent of a sweep."""
    return bool(run.data.tags.get(KIND) == SWEEP)


def read_sweep(run: Any) -> SweepRecord:
    """Read the tags of a parent run.

    Raises:
        InputError: it is no sweep.
    """
    tags = dict(run.data.tags)
    if not is_sweep(run):
        raise InputError(f"parent={run.info.run_id}: this run is no sweep (medft compare takes any runs)")
    try:
        keys = [str(key) for key in json.loads(tags.get("sweep.keys", "[]"))]
    except (json.JSONDecodeError, TypeError):
        raise InputError(f"parent={run.info.run_id}: its tag sweep.keys is not a JSON list") from None
    return SweepRecord(
        run_id=run.info.run_id,
        name=tags.get("sweep.name") or run.info.run_name,
        keys=keys,
        question=tags.get("sweep.question", ""),
        reference=tags.get("sweep.reference", ""),
        limits=tags.get("sweep.limits", ""),
        metric=tags.get("sweep.metric", f"test/{PRIMARY}"),
        command=tags.get("command", ""),
        started=datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC),
        tags=tags,
    )
