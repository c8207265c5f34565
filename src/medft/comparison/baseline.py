"""The model before fine-tuning as a variant of its own."""

from collections.abc import Sequence

import numpy as np

from medft.comparison.variants import BASELINE, Variant
from medft.evaluation.predictions import Prediction, collect_baseline


def make_baseline_variant(variants: Sequence[Variant]) -> tuple[Variant | None, str]:
    """The model before fine-tuning as a variant, if all variants began with the same; seeds may begin differently.

    Returns:
        The variant, or None and why not.
    """
    first = {run.seed: run for run in variants[0].runs}
    for variant in variants:
        for run in variant.runs:
            if collect_baseline(run.predictions) is None:
                return None, "not every run measured its model before fine-tuning: that is not shown"
            other = first.get(run.seed, variants[0].runs[0])
            if not _have_equal_baselines(run.predictions, other.predictions):
                return None, "the runs did not begin with the same model: before fine-tuning is not shown"
    return Variant(BASELINE, variants[0].runs, dict.fromkeys(variants[0].values, "-"), "baseline"), ""


def _have_equal_baselines(rows: Sequence[Prediction], others: Sequence[Prediction]) -> bool:
    """Whether two runs measured the same before fine-tuning, but for the last digits of another machine."""
    first, second = collect_baseline(rows) or [], collect_baseline(others) or []
    texts = all(a.answer == b.answer for a, b in zip(first, second, strict=True))
    return texts and np.allclose([a.nats for a in first], [b.nats for b in second], rtol=1e-3, equal_nan=True)
