"""Error bars: 95% intervals and p-values for means over questions that come in groups.

Questions of one group are not independent, so the group is what is drawn again and what is flipped. Every
mean here is a ratio Σ sums / Σ counts over rows (a mean over rows has counts of 1, a loss counts tokens).

The interval is a bootstrap-t over groups (Efron & Tibshirani 1993, chapter 12.5) with the linearised standard error
of a ratio (Cochran 1977, chapter 6); for a share, where each row is 0 or 1, it is Wilson's. How often they cover the
truth, and how often other methods do: `benchmarks/intervals.py`.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bounds = tuple[float, float]  # the least and the greatest value that a metric can have

_UNBOUNDED: Bounds = (-np.inf, np.inf)
_LEVEL = 0.95
_SEED = 0  # the same numbers have the same error bars
_RESAMPLES = 10_000
_FLIPS = 10_000
_LEAST_SPREAD = 0.25  # of a resample, as a share of the whole sample's
_EXACT = 13  # groups up to which all sign flips are tried
_FEW, _MANY = 8, 1_000  # groups: with fewer a bootstrap is unreliable, with more it agrees with plain t
_CHUNK = 2_000_000  # numbers held at once while flipping signs


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval; `low` and `high` are None where a single group leaves the spread unknown."""

    value: float
    low: float | None = None
    high: float | None = None

    def transform(self, function: Callable[[float], float]) -> "Estimate":
        """The estimate of a rising function of the mean."""
        low, high = (None if end is None else function(end) for end in (self.low, self.high))
        return Estimate(function(self.value), low, high)


@dataclass(frozen=True)
class Difference(Estimate):
    """A paired difference (after less before), with the p-value of no difference; None where it is not a number."""

    p: float | None = 1.0


@dataclass(frozen=True)
class Ratio:
    """A metric row by row.

    Attributes:
        sums, counts: of each row; the metric is Σ sums / Σ counts.
        groups: of each row, where it comes from.
    """

    sums: Floats
    counts: Floats
    groups: Sequence[str]
    bounds: Bounds = _UNBOUNDED

    @classmethod
    def of(
        cls, values: ArrayLike, groups: Sequence[str], counts: ArrayLike | None = None, bounds: Bounds = _UNBOUNDED
    ) -> "Ratio":
        """From plain numbers; counts are 1 unless given."""
        sums = np.asarray(values, dtype=np.float64)
        return cls(sums, np.ones_like(sums) if counts is None else np.asarray(counts, np.float64), groups, bounds)

    @property
    def value(self) -> float:
        """The metric alone, without its interval."""
        return _divide(self.sums, self.counts)

    def select(self, rows: NDArray[np.intp]) -> "Ratio":
        """The same metric on some of its rows."""
        return Ratio(self.sums[rows], self.counts[rows], [self.groups[row] for row in rows], self.bounds)

    def estimate(self) -> Estimate:
        """The metric with its interval; without one where it is not a number, as after a training that diverged."""
        sums, counts = self._sum_by_group()
        value = _divide(sums, counts)
        if len(sums) < 2 or not np.isfinite(value):
            return Estimate(value)
        error = float(_compute_standard_error(((sums - value * counts) ** 2).sum(), counts.sum(), len(sums)))
        is_share = np.isfinite(self.bounds).all() and (self.counts == 1).all() and np.isin(self.sums, self.bounds).all()
        if is_share:
            ends: tuple[float, float] | None = self._compute_wilson(value, error, len(sums))
        elif error <= 1e-12 * max(1.0, abs(value)):
            ends = _bound_constant(value, len(sums), self.bounds)
        else:
            low, high = _compute_t_quantiles(sums, counts, error)
            ends = max(self.bounds[0], value - high * error), min(self.bounds[1], value - low * error)
        return Estimate(value, *ends) if ends else Estimate(value)

    def subtract(self, before: "Ratio") -> Difference:
        """This metric less another one of the same rows, paired.

        Raises:
            ValueError: the rows or their counts differ.
        """
        if list(self.groups) != list(before.groups) or not np.array_equal(self.counts, before.counts):
            raise ValueError("a paired difference needs the same rows on both sides")
        low, high = self.bounds
        paired = Ratio(self.sums - before.sums, self.counts, self.groups, (low - high, high - low))
        mean, (sums, _) = paired.estimate(), paired._sum_by_group()
        p = compute_sign_flip_p(sums) if np.isfinite(mean.value) else None
        return Difference(mean.value, mean.low, mean.high, p)

    def _compute_wilson(self, value: float, error: float, groups: int) -> tuple[float, float]:
        """Wilson's interval of a share (1927) with the effective number of independent rows (Kish 1965), and t for the
        normal quantile. A resample of few successes has hardly any spread; this does not need one.
        """
        from scipy.stats import t

        low, high = self.bounds
        share, spread = (value - low) / (high - low), error / (high - low)
        rows = min(len(self.sums), share * (1 - share) / spread**2) if spread > 1e-9 else groups
        z = float(t.ppf((1 + _LEVEL) / 2, groups - 1))
        centre = (share + z * z / (2 * rows)) / (1 + z * z / rows)
        half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + (z / (2 * rows)) ** 2)
        first, second = np.clip([centre - half, centre + half], 0.0, 1.0)
        return low + (high - low) * float(first), low + (high - low) * float(second)

    def number_groups(self) -> NDArray[np.intp]:
        """The group of each row as a number from 0, in the order of their names."""
        _, place = np.unique(np.asarray(self.groups, dtype=object).astype(str), return_inverse=True)
        return np.asarray(place, np.intp)

    def _sum_by_group(self) -> tuple[Floats, Floats]:
        place = self.number_groups()
        sums, counts = (np.bincount(place, each).astype(np.float64) for each in (self.sums, self.counts))
        return sums, counts


def compute_sign_flip_p(sums: Floats) -> float:
    """Two-sided p-value of a paired permutation test (Fisher 1935): under no difference, each group's summed
    difference could as well have had the other sign. Exact for up to 13 groups, else from 10,000 random flips.
    """
    if len(sums) <= _EXACT:
        flips = np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1
        drawn, extra = (1 - 2 * flips) @ sums, 0
    else:
        random, extra = np.random.default_rng(_SEED), 1
        rows = max(1, _CHUNK // len(sums))
        parts = [random.integers(0, 2, (min(rows, _FLIPS - done), len(sums))) for done in range(0, _FLIPS, rows)]
        drawn = np.concatenate([(1 - 2 * part) @ sums for part in parts])
    # sums of the same numbers in another order differ in their last bits
    as_far = np.abs(drawn) >= np.abs(sums.sum()) * (1 - 1e-9)
    return float((as_far.sum() + extra) / (len(drawn) + extra))


def compute_smallest_p(groups: int) -> float:
    """The least that `compute_sign_flip_p` can give: all signs as they are, or all of them the other way."""
    return 2 ** (1 - groups) if groups <= _EXACT else 1 / (_FLIPS + 1)


def _divide(sums: Floats, counts: Floats) -> float:
    return float(sums.sum() / counts.sum()) if counts.sum() else np.nan


def _compute_t_quantiles(sums: Floats, counts: Floats, error: float) -> tuple[float, float]:
    """Quantiles of (resampled - measured) / resampled error, nowhere nearer than those of t."""
    from scipy.stats import t

    groups, tails = len(sums), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]
    plain = float(t.ppf(tails[0], groups - 1)), float(t.ppf(tails[1], groups - 1))
    if not _FEW <= groups <= _MANY:
        return plain
    drawn, residuals = _draw_resamples(groups), sums - _divide(sums, counts) * counts
    total = drawn @ counts
    total = np.where(total > 0, total, np.inf)
    moved = drawn @ residuals / total
    squares = drawn @ residuals**2 - 2 * moved * (drawn @ (residuals * counts)) + moved**2 * (drawn @ counts**2)
    errors = _compute_standard_error(squares, total, groups)
    # a resample without the few groups that differ has next to no spread, far less than the sample has
    low, high = np.quantile(moved / np.maximum(errors, _LEAST_SPREAD * error), tails)
    return min(float(low), plain[0]), max(float(high), plain[1])


def _compute_standard_error(squares: Any, total: Any, groups: int) -> Any:
    """Linearised standard error of Σ sums / Σ counts, from Σ (sums - ratio * counts)² over groups and Σ counts."""
    return np.sqrt(np.maximum(squares, 0.0) * groups / (groups - 1)) / total


@functools.lru_cache(maxsize=4)  # all metrics of a run have the same groups
def _draw_resamples(groups: int) -> Floats:
    """How often each group is drawn in each resample: resamples x groups."""
    drawn = np.random.default_rng(_SEED).integers(0, groups, (_RESAMPLES, groups))
    places = drawn + groups * np.arange(_RESAMPLES)[:, None]
    counted = np.bincount(places.ravel(), minlength=_RESAMPLES * groups)
    return counted.reshape(_RESAMPLES, groups).astype(np.float64)


def _bound_constant(value: float, groups: int, bounds: Bounds) -> Bounds | None:
    """All groups have the same value, so a resample has no spread; but a share p of other groups would have
    gone unseen with probability (1 - p)^n (Clopper & Pearson 1934). None where the metric has no bounds.
    """
    if not np.isfinite(bounds).all():
        return None
    unseen = 1 - ((1 - _LEVEL) / 2) ** (1 / groups)
    return value - unseen * (value - bounds[0]), value + unseen * (bounds[1] - value)
