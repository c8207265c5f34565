"""Differences between settings: what holds when the training is repeated with other seeds, on other questions.

A run's metric varies with the seed it was trained with and with the groups that its questions come from, and both are
samples. Runs of the same seeds on the same questions are a crossed design of seeds and groups, both random: a paired
difference, averaged over both, has the variance of seeds plus that of groups, less what both have counted, their
interaction (Cornfield & Tukey 1956; Clark 1973, for subjects and items). Seeds are few, so what they contribute is also
estimated from all variants of a comparison together, and the larger of the two is taken. A variant that a test of
equal variances sets apart from the others is left to its own few degrees of freedom; the test is more lenient than
that of findings, as Bozivich, Bancroft & Hartley (1956) advise before pooling. Few seeds show little of that, so that
the others count for the degrees of freedom of no more variants than there are seeds: level and limit are those with
which simulations find most without being wrong too often. A p-value is that of the Behrens-Fisher distribution (Fisher
1935), of two t variables of which each has the degrees of freedom of its part: with few it is wrong less often than
Satterthwaite's (Robinson 1976).

How often this is wrong, and what it finds: `benchmarks/verdicts.py`. All of it works on arrays, so that thousands of
comparisons can be simulated at once: what stands before the axes that are named is left as it is.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medft.metrics.statistics import Floats, Ratio

_POWER = 0.8
# Standard deviations in bits per byte, of SmolLM2-135M on MedQuAD (experiments/max_length): of runs that differ in
# their seed only, beyond what a seed does to all settings alike, and of what another setting does to a group of
# questions beside what it does to all (`python -m benchmarks residuals max_length`: 0.0096, and 0.0189 of each of two).
SEED_SPREAD, GROUP_SPREAD = 0.0096, 0.027
_APART = 0.1  # level of the test of equal variances
_LIKENESS = (1 - _APART) ** 2  # see `Spread`
_HALVINGS = 50
_PIECES = (0.0, 1e-5, 1e-3, 0.03, 0.5, 0.97, 0.999, 0.99999, 1.0)  # of probabilities to integrate over: tails are long


@dataclass(frozen=True)
class Spread:
    """The variance of a mean over seeds and groups.

    Attributes:
        seeds, groups: what each contributes.
        both: what both have counted.
        seeds_df, groups_df: degrees of freedom.
        likeness: the probability that neither of two variants is set apart from others that they are like.
        own_df: degrees of freedom of the seeds where one of them is.
    """

    seeds: Floats
    groups: Floats
    both: Floats
    seeds_df: Floats
    groups_df: Floats
    likeness: Floats | float = 1.0
    own_df: Floats | float = 1.0

    @property
    def error(self) -> Floats:
        """The standard error of the mean."""
        parts = np.maximum(self.seeds, self.groups)
        return np.asarray(np.sqrt(np.maximum(self.seeds + self.groups - self.both, parts)), np.float64)

    def compute_p(self, difference: Floats) -> Floats:
        """Two-sided p-values of no difference."""
        from scipy.special import stdtr, stdtrit

        nodes, weights = _make_nodes()
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.abs(difference) / self.error
            share = np.nan_to_num(self.seeds / (self.seeds + self.groups))
        # of the smaller part the quantiles, in which the probability of the larger one beyond the rest is smooth
        smaller, larger = (np.sqrt(each(share, 1 - share)) for each in (np.minimum, np.maximum))
        is_seeds = share <= 0.5
        df = np.where(is_seeds, self.seeds_df, self.groups_df)
        known, place = np.unique(df, return_inverse=True)
        quantiles = stdtrit(known[:, None], nodes)[place.reshape(df.shape)]
        beyond = (size[..., None] - smaller[..., None] * quantiles) / larger[..., None]
        p = 2 * (stdtr(np.where(is_seeds, self.groups_df, self.seeds_df)[..., None], -beyond) * weights).sum(-1)
        return np.asarray(np.where(self.error > 0, np.minimum(p, 1.0), difference == 0), np.float64)

    def compute_reach(self, level: float) -> Floats:
        """The difference whose p-value is `level`: half the width of an interval."""
        from scipy.stats import t

        # at most the two parts' own quantiles together
        most = sum(t.isf(level / 2, df) for df in (self.seeds_df, self.groups_df)) * self.error
        return _bisect(lambda difference: self.compute_p(difference) <= level, most)

    def compute_detectable(self, level: float, power: float = _POWER) -> Floats:
        """The smallest true differences that would be found with a probability of `power`, whether or not the variants
        are set apart from others that they are like.
        """
        from scipy.stats import t

        own = replace(self, seeds_df=np.broadcast_to(self.own_df, self.error.shape))
        kinds = ((self, self.likeness), (own, 1 - self.likeness))
        parts = [(each.compute_reach(level), each._combine_df(), weight) for each, weight in kinds]

        def is_found(difference: Floats) -> NDArray[np.bool_]:
            with np.errstate(divide="ignore", invalid="ignore"):
                found = sum(weight * t.cdf((difference - reach) / self.error, df) for reach, df, weight in parts)
            return np.asarray(found >= power)

        return _bisect(is_found, sum(reach for reach, _, _ in parts) + 40 * self.error)

    def _combine_df(self) -> Floats:
        """Degrees of freedom of seeds and groups together (Satterthwaite)."""
        with np.errstate(invalid="ignore"):
            share = np.nan_to_num(self.seeds / (self.seeds + self.groups))
        return np.asarray(1 / (share**2 / self.seeds_df + (1 - share) ** 2 / self.groups_df), np.float64)

    def list_detectable(self, level: float) -> tuple[Floats, Floats, Floats]:
        """`compute_detectable` as it is, with twice the seeds, and with twice the questions.

        More of either never shows less: where one part of the variance all but goes, the p-value is that of the few
        degrees of freedom of the other, which a test of what was there before would not be.
        """
        as_it_is, seeds, groups = (self.scale(*more).compute_detectable(level) for more in ((1, 1), (2, 1), (1, 2)))
        return as_it_is, np.minimum(as_it_is, seeds), np.minimum(as_it_is, groups)

    def scale(self, seeds: float = 1.0, groups: float = 1.0) -> "Spread":
        """What it would be with so many times the seeds and the groups."""
        return Spread(
            seeds=self.seeds / seeds,
            groups=self.groups / groups,
            both=self.both / (seeds * groups),
            seeds_df=(self.seeds_df + 1) * seeds - 1,
            groups_df=(self.groups_df + 1) * groups - 1,
            likeness=self.likeness,
            own_df=(self.own_df + 1) * seeds - 1,
        )


def _bisect(is_enough: Callable[[Floats], NDArray[np.bool_]], most: Floats) -> Floats:
    """The least values from 0 to `most` that are enough, by halving where they may lie again and again."""
    low, high = np.zeros_like(most), most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = is_enough(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray((low + high) / 2, np.float64)


@functools.cache
def _make_nodes() -> tuple[Floats, Floats]:
    """Where to look, and how much that weighs, in an integral from 0 to 1 (Gauss-Legendre, piece by piece)."""
    nodes, weights = np.polynomial.legendre.leggauss(10)
    low, width = np.array(_PIECES[:-1])[:, None], np.diff(_PIECES)[:, None]
    return (low + width * (nodes + 1) / 2).ravel(), (width * weights / 2).ravel()


def foretell_spread(sizes: Sequence[int], seeds: int, variants: int) -> Spread:
    """The spread of a difference in bits per byte that a sweep may expect before it is run, by what was seen in others.

    Args:
        sizes: questions of each test group.
        seeds: two or more.
    """
    shares = np.asarray(sizes) / np.sum(sizes)
    parts = (2 * SEED_SPREAD**2 / seeds, GROUP_SPREAD**2 * float((shares**2).sum()), 0.0)
    return expect_spread(*parts, seeds=seeds, groups=len(sizes), variants=variants)


def expect_spread(
    of_seeds: float, of_groups: float, of_both: float, *, seeds: int, groups: int, variants: int
) -> Spread:
    """The spread of a difference with these variances, of so many seeds and groups, between two of these variants."""
    df = (count_pooled_df(max(2, variants), seeds), groups - 1.0)
    spread = Spread(*map(np.asarray, (of_seeds, of_groups, of_both, *df)))
    return replace(spread, likeness=_LIKENESS if variants > 2 else 1.0, own_df=seeds - 1.0)


def tabulate_groups(runs: Sequence[Ratio]) -> tuple[Floats, Floats]:
    """What each group adds to the metric of each run, (runs, groups), and the share of each in all counts, (groups,).

    Args:
        runs: of the same rows with the same counts; a row of the table sums to a run's metric.
    """
    place = runs[0].number_groups()
    counts = np.bincount(place, runs[0].counts)
    return np.stack([np.bincount(place, run.sums) for run in runs]) / counts.sum(), counts / counts.sum()


@dataclass(frozen=True)
class Pool:
    """What all variants of a comparison tell of seeds.

    Attributes:
        variance: (...), over seeds, of a difference between two variants.
        df: its degrees of freedom, see `count_pooled_df`.
        is_apart: (..., variants) or (..., pairs), which of them vary more, so that the others say nothing of them.
    """

    variance: Floats
    df: float
    is_apart: NDArray[np.bool_]


def estimate_spread(table: Floats, shares: Floats, pool: Pool | None = None) -> Spread:
    """The spread of the mean over seeds of what the rows of a table sum to.

    Args:
        table: (..., seeds, groups), what each group adds to a run's metric, or to the difference of two.
        shares: (..., groups), of each group in all counts.
        pool: of all variants, where the table is of a difference between two.
    """
    seeds, groups = table.shape[-2:]
    values, mean = table.sum(-1), table.mean(-2)
    apart = _leave_share_out(table - mean[..., None, :], shares[..., None, :])
    own = values.var(-1, ddof=1) / seeds
    own_df, likeness = np.full(own.shape, seeds - 1.0), np.ones(own.shape)
    if pool is not None:
        own_df = np.where(pool.is_apart, own_df, pool.df)
        likeness = np.where(pool.is_apart, likeness, _LIKENESS)
        own = np.maximum(own, pool.variance / seeds)
    return Spread(
        seeds=own,
        groups=estimate_group_variance(mean, shares),
        both=(apart**2).sum((-1, -2)) * _correct_for_own_weight(shares) / ((seeds - 1) * seeds),
        seeds_df=own_df,
        groups_df=np.full(own.shape, groups - 1.0),
        likeness=likeness,
        own_df=seeds - 1.0,
    )


def estimate_group_variance(values: Floats, shares: Floats) -> Floats:
    """The variance over groups of what they sum to: (..., groups) values and shares, see `estimate_spread`."""
    return np.asarray((_leave_share_out(values, shares) ** 2).sum(-1) * _correct_for_own_weight(shares), np.float64)


def _leave_share_out(values: Floats, shares: Floats) -> Floats:
    """What each group adds beyond its share of the metric: the residuals of a ratio (Cochran 1977, chapter 6)."""
    return np.asarray(values - values.sum(-1, keepdims=True) * shares, np.float64)


def _correct_for_own_weight(shares: Floats) -> Floats:
    """What squared residuals have to be multiplied with: a group is part of the mean that its residual is from, and the
    larger it is, the smaller that makes it. G / (G - 1) where all groups are of one size.
    """
    squares = shares**2
    total = squares.sum(-1, keepdims=True)
    expected = (squares * (1 - 2 * shares + total)).sum(-1)
    return np.asarray(total[..., 0] / expected, np.float64)


def pool_seeds(values: Floats) -> Pool:
    """The variance over seeds of a difference between two variants, from all of them.

    Args:
        values: (..., variants, seeds), the metric of runs of the same seeds, of three variants or more. What a seed
            does to all of them alike leaves their differences as they are, and is taken out.

    Returns:
        (...), the variance; its degrees of freedom; (..., variants), which of them vary more than the others.
    """
    from scipy.special import fdtrc

    variants, seeds = values.shape[-2:]
    rest = values - values.mean(-1, keepdims=True)
    squares = (rest - rest.mean(-2, keepdims=True)) ** 2
    total, df = squares.sum((-1, -2)), float((variants - 1) * (seeds - 1))
    # what is left without a variant is independent of what it has beyond the mean of the others
    own = squares.sum(-1) * variants / (variants - 1)
    others = np.maximum(total[..., None] - own, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = fdtrc(seeds - 1, df - (seeds - 1), own / others * (variants - 2))
    return Pool(2 * total / df, count_pooled_df(variants, seeds), np.nan_to_num(p, nan=1.0) < _APART)


def count_pooled_df(variants: int, seeds: int) -> float:
    """The degrees of freedom that the variance over seeds of so many variants together counts for."""
    return float(min(variants - 1, seeds) * (seeds - 1))
