"""The model before fine-tuning as an entry of its own."""

from collections.abc import Sequence

import numpy as np

from medft.comparison.labels import SEED
from medft.comparison.variants import BEFORE, Variant
from medft.runs.record import RunRecord


def baseline_variant(entries: Sequence[Variant]) -> tuple[Variant | None, str]:
    """The model before fine-tuning as an entry, if all entries began with the same; seeds may begin differently."""
    first = {run.params.get(SEED): run for run in entries[0].runs}
    for entry in entries:
        for run in entry.runs:
            other = first.get(run.params.get(SEED), entries[0].runs[0])
            if not all("baseline" in row.metrics for row in run.predictions):
                return None, "not every run measured its model before fine-tuning: that is not shown"
            if not _begin_alike(run, other):
                return None, "the runs did not begin with the same model: before fine-tuning is not shown"
    values = dict.fromkeys(entries[0].values, "-")
    return Variant(BEFORE, entries[0].runs, values, "baseline"), ""


def _begin_alike(one: RunRecord, other: RunRecord) -> bool:
    """Whether two runs measured the same before fine-tuning, but for the last digits of another machine."""
    texts = all(a.baseline_answer == b.baseline_answer for a, b in zip(one.predictions, other.predictions, strict=True))
    nats = [[row.metrics["baseline"]["nats"] for row in run.predictions] for run in (one, other)]
    return texts and bool(np.allclose(nats[0], nats[1], rtol=1e-3, equal_nan=True))
