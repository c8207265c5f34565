"""Each metric of each entry with its interval, and its paired difference to the reference with a corrected p-value."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medft.comparison.holm import holm
from medft.comparison.metrics import Measured, mean_over_runs, value_of
from medft.comparison.variants import Variant
from medft.console import track
from medft.metrics.statistics import Difference, Estimate, Ratio, smallest_p


@dataclass(frozen=True)
class Result:
    """One metric of one entry.

    Attributes:
        value: averaged over the entry's seeds question by question, then over questions.
        difference: to the reference, paired by question; None for the reference itself and where there is none.
        p, p_holm: of no difference, plain and corrected; None with fewer than two documents.
        by_run: the metric of each run.
        questions, documents: that it is made of.
    """

    value: Estimate
    difference: Difference | None
    p: float | None
    p_holm: float | None
    by_run: tuple[float, ...]
    questions: int
    documents: int

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the greatest over seeds; None of a single run."""
        return (min(self.by_run), max(self.by_run)) if len(self.by_run) > 1 else None


LEVEL = 0.05  # corrected p-values below it are called findings
Results = dict[str, dict[str, Result]]  # by metric, then by entry


def results(
    entries: Sequence[Variant], reference: Variant, metrics: Mapping[str, Measured], tested: Collection[str]
) -> Results:
    """All of `metrics` for all entries that have them; those of `tested` with p-values, which are corrected over all of
    them together (Holm).
    """
    found: Results = {name: {} for name in metrics}
    pairs = [(name, entry) for name, each in metrics.items() for entry in entries if each.of(entry.name)]
    for name, entry in track(pairs, "error bars", len(pairs)):
        found[name][entry.name] = _result(metrics[name], entry, reference, name in tested)
    places = [(name, entry) for name, row in found.items() for entry, each in row.items() if each.p is not None]
    corrected = holm([found[name][entry].p or 0.0 for name, entry in places])
    for (name, own), p in zip(places, corrected, strict=True):
        found[name][own] = replace(found[name][own], p_holm=p)
    return found


def p_values(found: Results) -> int:
    """How many p-values there are: the family that Holm's correction is over."""
    return sum(each.p is not None for row in found.values() for each in row.values())


def too_few_documents(found: Results) -> str:
    """Whether the test questions come from so few documents that no p-value could be small enough, in words."""
    family = p_values(found)
    documents = max(
        (each.documents for row in found.values() for each in row.values() if each.p is not None), default=0
    )
    least = smallest_p(documents)
    if not family or family * least <= LEVEL:
        return ""
    return (
        f"with {documents} documents no p-value can be below {least:.2g}, and corrected over {family} none below "
        f"{min(1.0, family * least):.2g}: nothing here can be called different"
        f"{' (metrics=... compares fewer)' if least <= LEVEL and tested_metrics(found) > 1 else ''}"
    )


def tested_metrics(found: Results) -> int:
    """How many metrics have p-values."""
    return sum(any(each.p is not None for each in row.values()) for row in found.values())


def _result(metric: Measured, entry: Variant, reference: Variant, is_tested: bool) -> Result:
    runs = metric.by_run[entry.name]
    own, other = mean_over_runs(runs), metric.of(reference.name)
    difference = None if other is None or entry.name == reference.name else _difference(own, other)
    documents = len(set(own.documents))
    return Result(
        value=own.estimate() if _is_number(own) else Estimate(math.nan),
        difference=difference,
        p=difference.p if difference and is_tested and documents > 1 else None,
        p_holm=None,
        by_run=tuple(value_of(run) for run in runs),
        questions=len(own.sums),
        documents=documents,
    )


def _difference(own: Ratio, other: Ratio) -> Difference | None:
    """None where one of the two is not a number: a training that diverged."""
    return own.less(other) if _is_number(own) and _is_number(other) else None


def _is_number(ratio: Ratio) -> bool:
    return bool(np.isfinite(ratio.sums).all() and ratio.counts.sum() > 0)
