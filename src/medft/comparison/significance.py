"""Each metric of each variant with its interval, and its difference to the reference with a corrected p-value.

Two kinds of difference, never mixed: of settings, where both have several seeds (`settings.py`), and of the trained
models that are there, where seeds are not known to matter.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from medft.comparison.metrics import RatiosByVariant, average_runs
from medft.comparison.settings import (
    Pool,
    Spread,
    estimate_group_variance,
    estimate_spread,
    pool_seeds,
    tabulate_groups,
)
from medft.comparison.variants import BASELINE, Variant
from medft.console import track
from medft.metrics.statistics import Bounds, Difference, Estimate, Floats, Ratio, compute_smallest_p

LEVEL = 0.05  # corrected p-values below it are called findings
_NO_SPREAD = 1e-12  # relative: a standard error that is nothing but rounding
Kind = Literal["settings", "models"]  # what a difference is between


@dataclass(frozen=True)
class Result:
    """One metric of one variant.

    Attributes:
        value: averaged over the variant's seeds question by question, then over questions; where there are several, the
            interval includes them.
        difference: to the reference, paired by question; None for the reference itself and where there is none.
        kind: what the difference is between: settings where both have two seeds in common or more, else the models.
        spread_of_difference: between settings, or between models over questions alone; None where all agree.
        p, p_holm: of no difference, plain and corrected; None with fewer than two groups.
        by_run: the metric of each run.
        questions, groups: that it is made of.
    """

    value: Estimate
    difference: Difference | None
    kind: Kind
    spread_of_difference: Spread | None
    p: float | None
    p_holm: float | None
    by_run: tuple[float, ...]
    questions: int
    groups: int

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the greatest over seeds; None of a single run, and where one is not a number."""
        has_several = len(self.by_run) > 1 and all(map(math.isfinite, self.by_run))
        return (min(self.by_run), max(self.by_run)) if has_several else None

    @property
    def is_finding(self) -> bool:
        """Whether its difference to the reference is significant after the correction."""
        return self.p_holm is not None and self.p_holm < LEVEL


Results = dict[str, dict[str, Result]]  # by metric, then by variant


class Comparer:
    """Compares variants in one metric.

    Attributes:
        metric: of the runs of each variant.
        variants: that have it.
    """

    def __init__(self, variants: Sequence[Variant], metric: RatiosByVariant) -> None:
        self.variants = {variant.name: variant for variant in variants if variant.name in metric}
        self.metric = metric
        self._pools: dict[frozenset[str], tuple[list[str], Pool | None]] = {}

    def estimate(self, variant: Variant) -> Estimate:
        """The metric of a variant, with an interval that includes its seeds where it has several."""
        runs = self.metric[variant.name]
        own = average_runs(runs)
        if not math.isfinite(own.value):
            return Estimate(math.nan)
        if len(runs) < 2 or len(set(own.groups)) < 2 or variant.is_baseline:
            return own.estimate()
        spread = estimate_spread(*tabulate_groups(runs))
        if _is_nothing(spread, own.value):
            return own.estimate()
        reach = float(spread.compute_reach(LEVEL))
        return Estimate(own.value, *_clip(own.value - reach, own.value + reach, own.bounds))

    def compare(self, variant: Variant, other: Variant) -> tuple[Difference, Kind, Spread | None] | None:
        """The difference between two variants, paired by question, over the seeds that both have if there are any; None
        where one of the two is not a number: a training that diverged.
        """
        pair = (variant, other)
        if not all(math.isfinite(run.value) for each in pair for run in self.metric[each.name]):
            return None
        seeds = frozenset({run.seed for run in variant.runs} & {run.seed for run in other.runs})
        runs, runs_before = (self._select(each, seeds) if seeds else self.metric[each.name] for each in pair)
        own, others = average_runs(runs), average_runs(runs_before)
        if len(set(own.groups)) < 2:
            return own.subtract(others), "models", None
        if len(seeds) < 2:
            table, shares = tabulate_groups([own])
            apart = (table - tabulate_groups([others])[0])[0]
            variance = estimate_group_variance(apart, shares)
            spread = Spread(*map(np.asarray, (0.0, variance, 0.0, 1.0, len(apart) - 1.0)))
            return own.subtract(others), "models", None if _is_nothing(spread, own.value) else spread
        (table, shares), (before, _) = tabulate_groups(runs), tabulate_groups(runs_before)
        spread = estimate_spread(table - before, shares, self._pool_of(seeds, variant, other))
        value, (low, high) = float((table - before).sum(1).mean()), own.bounds
        if _is_nothing(spread, value):  # what does not vary tells nothing of its error; the groups are counted
            return own.subtract(others), "settings", None
        reach, p = float(spread.compute_reach(LEVEL)), float(spread.compute_p(np.asarray(value)))
        ends = _clip(value - reach, value + reach, (low - high, high - low))
        return Difference(value, *ends, p), "settings", spread

    def _pool_of(self, seeds: frozenset[str], *pair: Variant) -> Pool | None:
        """What all variants that have these seeds tell of them; None where one of the two is not among them."""
        if seeds not in self._pools:
            self._pools[seeds] = self._pool_seeds(seeds)
        names, pool = self._pools[seeds]
        if pool is None or any(each.name not in names for each in pair):
            return None
        return replace(pool, is_apart=np.asarray(any(pool.is_apart[names.index(each.name)] for each in pair)))

    def _pool_seeds(self, seeds: frozenset[str]) -> tuple[list[str], Pool | None]:
        """The variants that were trained with all these seeds, without a leak, and what they tell of them."""
        values = {
            each.name: [run.value for run in self._select(each, seeds)]
            for each in self.variants.values()
            if not each.is_baseline and not each.is_leaking and seeds <= {run.seed for run in each.runs}
        }
        values = {name: own for name, own in values.items() if np.isfinite(own).all()}
        return list(values), pool_seeds(np.array(list(values.values()))) if len(values) > 2 else None

    def _select(self, variant: Variant, seeds: Collection[str]) -> list[Ratio]:
        """The runs of these seeds, in the order of the seeds."""
        runs = {run.seed: ratio for run, ratio in zip(variant.runs, self.metric[variant.name], strict=True)}
        return [runs[seed] for seed in sorted(seeds)]


def _is_nothing(spread: Spread, value: float) -> bool:
    """Whether all seeds and groups agree, so that their variance says nothing of others."""
    return bool(spread.error <= _NO_SPREAD * max(1.0, abs(value)))


def _clip(low: float, high: float, bounds: Bounds) -> Bounds:
    return max(low, bounds[0]), min(high, bounds[1])


def compute_results(
    variants: Sequence[Variant], reference: Variant, metrics: Mapping[str, RatiosByVariant], tested: Collection[str]
) -> Results:
    """All of `metrics` for all variants that have them; those of `tested` with p-values, which are corrected over all
    of them together (Holm). Whether fine-tuning has done anything is another question than which setting is better:
    the p-values of the model before it are a family of their own.
    """
    results: Results = {name: {} for name in metrics}
    comparers = {name: Comparer(variants, metric) for name, metric in metrics.items()}
    pairs = [(name, variant) for name, each in comparers.items() for variant in each.variants.values()]
    for name, variant in track(pairs, "error bars", len(pairs)):
        results[name][variant.name] = _compute_result(comparers[name], variant, reference, name in tested)
    for family in (_list_family(results), _list_family(results, of_baseline=True)):
        corrected = correct_holm([results[name][own].p or 0.0 for name, own in family])
        for (name, own), p in zip(family, corrected, strict=True):
            results[name][own] = replace(results[name][own], p_holm=float(p))
    return results


def _list_family(results: Results, of_baseline: bool = False) -> list[tuple[str, str]]:
    """The metric and variant of each p-value that is corrected together with the others."""
    places = [(name, own) for name, row in results.items() for own, each in row.items() if each.p is not None]
    return [(name, own) for name, own in places if (own == BASELINE) is of_baseline]


def correct_holm(p_values: ArrayLike) -> Floats:
    """Holm's correction (1979) of one family: with p-values below 0.05 called findings after it, the probability that
    any of them is false is at most 0.05, however many there are and however they depend on each other.

    Args:
        p_values: a family along the last axis.

    Returns:
        Corrected, in the same order: the k-th smallest of m times (m - k + 1), never below the one before, at most 1.
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, -1, kind="stable")
    steps = np.take_along_axis(values, order, -1) * (values.shape[-1] - np.arange(values.shape[-1]))
    corrected = np.empty_like(values)
    np.put_along_axis(corrected, order, np.minimum(1.0, np.maximum.accumulate(steps, -1)), -1)
    return corrected


def compare_within(
    result: Result, margin: float, lower_is_better: bool, count: int
) -> Literal["as good", "not worse", ""]:
    """What can be said of a variant and the reference within a margin: as good = neither better nor worse by more, by
    two one-sided tests (Schuirmann 1987); not worse = not by more, by one of them; empty = neither is shown.

    Args:
        count: how many variants are asked about; the tests are corrected for it (Bonferroni).
    """
    difference, spread = result.difference, result.spread_of_difference
    if difference is None or spread is None:
        return ""
    reach = float(spread.compute_reach(2 * LEVEL / max(1, count)))
    worse = difference.value if lower_is_better else -difference.value
    if worse + reach >= margin:
        return ""
    return "as good" if worse - reach > -margin else "not worse"


def estimate_detectable(results: Mapping[str, Result], family: int) -> tuple[Kind, float, float, float] | None:
    """The smallest true difference to the reference that this comparison would find four times in five: as it is, with
    twice the seeds, and with twice the questions; the median of its variants. None where nothing was compared.

    Args:
        results: of one metric, by variant.
        family: how many p-values are corrected together.
    """
    known = [each for each in results.values() if each.spread_of_difference and each.p is not None]
    kind: Kind = "settings" if any(each.kind == "settings" for each in known) else "models"
    spreads = [each.spread_of_difference for each in known if each.kind == kind and each.spread_of_difference]
    if not spreads:
        return None
    level = LEVEL / max(1, family)  # of the first of Holm's steps
    as_it_is, seeds, groups = (
        median(map(float, each)) for each in zip(*(one.list_detectable(level) for one in spreads), strict=True)
    )
    return kind, as_it_is, seeds, groups


def count_p_values(results: Results) -> int:
    """How many p-values there are of trained variants: the family that Holm's correction is over."""
    return len(_list_family(results))


def count_tested_metrics(results: Results) -> int:
    """How many metrics have p-values."""
    return sum(any(each.p is not None for each in row.values()) for row in results.values())


def explain_too_few_groups(results: Results) -> str:
    """Why no p-value could be small enough, where models are tested on questions of too few groups; else empty."""
    tested = [results[name][own] for name, own in _list_family(results)]
    family = len(tested)
    if any(each.kind == "settings" for each in tested):
        return ""
    groups = max((each.groups for each in tested), default=0)
    least = compute_smallest_p(groups)
    if not family or family * least <= LEVEL:
        return ""
    return (
        f"with {groups} groups no p-value can be below {least:.2g}, and corrected over {family} none below "
        f"{min(1.0, family * least):.2g}: nothing here can be called different"
    )


def _compute_result(comparer: Comparer, variant: Variant, reference: Variant, is_tested: bool) -> Result:
    runs = comparer.metric[variant.name]
    groups = len(set(runs[0].groups))
    found = None
    if variant.name != reference.name and reference.name in comparer.variants:
        found = comparer.compare(variant, reference)
    difference, kind, spread = found or (None, "models", None)
    return Result(
        value=comparer.estimate(variant),
        difference=difference,
        kind=kind,
        spread_of_difference=spread,
        p=difference.p if difference and is_tested and groups > 1 else None,
        p_holm=None,
        by_run=tuple(run.value for run in runs),
        questions=len(runs[0].sums),
        groups=groups,
    )
