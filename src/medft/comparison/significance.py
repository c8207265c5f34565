"""Each metric of each variant with its interval, and its difference to the reference with a corrected p-value."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from medft.comparison.metrics import RatiosByVariant, average_runs
from medft.comparison.variants import Variant
from medft.console import track
from medft.metrics.statistics import Difference, Estimate, compute_smallest_p

LEVEL = 0.05  # corrected p-values below it are called findings


@dataclass(frozen=True)
class Result:
    """One metric of one variant.

    Attributes:
        value: averaged over the variant's seeds question by question, then over questions.
        difference: to the reference, paired by question; None for the reference itself and where there is none.
        p, p_holm: of no difference, plain and corrected; None with fewer than two groups.
        by_run: the metric of each run.
        questions, groups: that it is made of.
    """

    value: Estimate
    difference: Difference | None
    p: float | None
    p_holm: float | None
    by_run: tuple[float, ...]
    questions: int
    groups: int

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the greatest over seeds; None of a single run."""
        return (min(self.by_run), max(self.by_run)) if len(self.by_run) > 1 else None

    @property
    def is_finding(self) -> bool:
        """Whether its difference to the reference is significant after the correction."""
        return self.p_holm is not None and self.p_holm < LEVEL


Results = dict[str, dict[str, Result]]  # by metric, then by variant


def compute_results(
    variants: Sequence[Variant], reference: Variant, metrics: Mapping[str, RatiosByVariant], tested: Collection[str]
) -> Results:
    """All of `metrics` for all variants that have them; those of `tested` with p-values, which are corrected over all
    of them together (Holm).
    """
    results: Results = {name: {} for name in metrics}
    pairs = [(name, variant) for name, metric in metrics.items() for variant in variants if variant.name in metric]
    for name, variant in track(pairs, "error bars", len(pairs)):
        results[name][variant.name] = _compute_result(metrics[name], variant, reference, name in tested)
    places = [(name, own) for name, row in results.items() for own, each in row.items() if each.p is not None]
    corrected = correct_holm([results[name][own].p or 0.0 for name, own in places])
    for (name, own), p in zip(places, corrected, strict=True):
        results[name][own] = replace(results[name][own], p_holm=p)
    return results


def correct_holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction (1979) of one family: with p-values below 0.05 called findings after it, the probability that
    any of them is false is at most 0.05, however many there are and however they depend on each other.

    Returns:
        Corrected, in the same order: the k-th smallest of m times (m - k + 1), never below the one before, at most 1.
    """
    count = len(p_values)
    corrected, least = [0.0] * count, 0.0
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__)):
        least = max(least, min(1.0, (count - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def count_p_values(results: Results) -> int:
    """How many p-values there are: the family that Holm's correction is over."""
    return sum(each.p is not None for row in results.values() for each in row.values())


def count_tested_metrics(results: Results) -> int:
    """How many metrics have p-values."""
    return sum(any(each.p is not None for each in row.values()) for row in results.values())


def explain_too_few_groups(results: Results) -> str:
    """Why no p-value could be small enough, where the test questions come from too few groups; else empty."""
    family = count_p_values(results)
    tested = [each for row in results.values() for each in row.values() if each.p is not None]
    groups = max((each.groups for each in tested), default=0)
    least = compute_smallest_p(groups)
    if not family or family * least <= LEVEL:
        return ""
    return (
        f"with {groups} groups no p-value can be below {least:.2g}, and corrected over {family} none below "
        f"{min(1.0, family * least):.2g}: nothing here can be called different"
    )


def _compute_result(metric: RatiosByVariant, variant: Variant, reference: Variant, is_tested: bool) -> Result:
    own = average_runs(metric[variant.name])
    is_number = math.isfinite(own.value)
    # no difference where one of the two is not a number: a training that diverged
    difference = None
    if variant.name != reference.name and reference.name in metric and is_number:
        other = average_runs(metric[reference.name])
        difference = own.subtract(other) if math.isfinite(other.value) else None
    groups = len(set(own.groups))
    return Result(
        value=own.estimate() if is_number else Estimate(math.nan),
        difference=difference,
        p=difference.p if difference and is_tested and groups > 1 else None,
        p_holm=None,
        by_run=tuple(run.value for run in metric[variant.name]),
        questions=len(own.sums),
        groups=groups,
    )
