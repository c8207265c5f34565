"""Differences between settings: right by hand, seldom wrong in simulations, and able to find what is there."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from medft.comparison.settings import (
    GROUP_SPREAD,
    SEED_SPREAD,
    Pool,
    Spread,
    count_pooled_df,
    estimate_spread,
    foretell_spread,
    pool_seeds,
    tabulate_groups,
)
from medft.metrics.statistics import Ratio, compute_sign_flip_p

SIZES = np.array([10, 9, 9, 7, 6, 5, 5, 4, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1])
SHARES = SIZES / SIZES.sum()


def draw(
    random: np.random.Generator,
    comparisons: int,
    seeds: int,
    spread: float,
    effect: float = 0.0,
    by_group: float = 0.02,
) -> np.ndarray:
    """(comparisons, seeds, groups): differences of two settings, of which each run has luck of its own."""
    luck = random.normal(0, spread, (comparisons, 2, seeds))
    setting = random.normal(0, by_group, (comparisons, 1, len(SIZES)))
    rest = random.normal(0, 0.005, (comparisons, seeds, len(SIZES)))
    return ((luck[:, 0] - luck[:, 1])[..., None] + setting + rest + effect) * SHARES


def test_it_is_the_crossed_design_of_textbooks() -> None:
    random = np.random.default_rng(1)
    values = random.normal(0, 1, (4, 12)) + random.normal(0, 1, (4, 1)) + random.normal(0, 1, 12)
    found = estimate_spread(values / 12, np.full(12, 1 / 12))
    mean, by_seed, by_group = values.mean(), values.mean(1), values.mean(0)
    rest = values - by_seed[:, None] - by_group + mean
    squares = {
        "seeds": 12 * ((by_seed - mean) ** 2).sum() / 3,
        "groups": 4 * ((by_group - mean) ** 2).sum() / 11,
        "both": (rest**2).sum() / 33,
    }
    for name, mean_square in squares.items():
        assert getattr(found, name) == pytest.approx(mean_square / 48)
    assert (float(found.seeds_df), float(found.groups_df)) == (3, 11)
    assert float(found.error) ** 2 == pytest.approx((squares["seeds"] + squares["groups"] - squares["both"]) / 48)


def test_a_table_sums_to_the_metric() -> None:
    runs = [Ratio.of([1.0, 2.0, 3.0, 4.0], list("abab"), [1, 2, 3, 4]), Ratio.of([2.0] * 4, list("abab"), [1, 2, 3, 4])]
    table, shares = tabulate_groups(runs)
    assert table.tolist() == [[0.4, 0.6], [0.4, 0.4]]
    assert shares.tolist() == [0.4, 0.6]
    assert table.sum(1) == pytest.approx([run.value for run in runs])


def test_p_and_interval_are_one() -> None:
    spread = Spread(*map(np.asarray, (2.0, 1.0, 0.5, 2.0, 20.0)))
    assert float(spread.compute_p(spread.compute_reach(0.05))) == pytest.approx(0.05, rel=1e-6)
    assert float(spread.compute_p(np.asarray(0.0))) == pytest.approx(1.0)
    nothing = Spread(*map(np.asarray, (0.0, 0.0, 0.0, 2.0, 20.0)))
    assert float(nothing.compute_p(np.asarray(0.0))) == 1.0
    assert float(nothing.compute_reach(0.05)) == 0.0


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.8, 0.99])
def test_p_is_that_of_two_t_variables_together(share: float) -> None:
    random = np.random.default_rng(8)
    together = np.abs(
        np.sqrt(share) * random.standard_t(2, 2_000_000) + np.sqrt(1 - share) * random.standard_t(20, 2_000_000)
    )
    spread = Spread(*map(np.asarray, (share, 1 - share, 0.0, 2.0, 20.0)))
    for size in (0.5, 2.0, 3.0, 5.0):
        drawn = float((together > size).mean())
        assert float(spread.compute_p(np.asarray(size))) == pytest.approx(drawn, rel=0.03, abs=1e-4)


def test_p_of_one_part_alone_is_that_of_a_t_test() -> None:
    for parts in ((1.0, 0.0), (0.0, 1.0)):
        spread = Spread(*map(np.asarray, (*parts, 0.0, 3.0, 20.0)))
        df = 3 if parts[0] else 20
        for size in (0.5, 2.0, 4.0):
            assert float(spread.compute_p(np.asarray(size))) == pytest.approx(2 * t.sf(size, df), rel=1e-6)


def test_what_a_seed_does_to_all_variants_is_taken_out() -> None:
    random = np.random.default_rng(2)
    own = random.normal(0, 1, (5000, 6, 3))
    alike = random.normal(0, 30, (5000, 1, 3))
    found = pool_seeds(own + alike)
    assert found.df == 6, "of three beside one, as there are three seeds"
    assert found.is_apart.mean() == pytest.approx(0.1, abs=0.01), "the level of the test"
    assert found.variance.mean() == pytest.approx(2.0, rel=0.03), "of a difference of two"


def test_a_variant_that_varies_more_is_set_apart() -> None:
    random = np.random.default_rng(3)
    values = random.normal(0, 1, (2000, 8, 3)) + random.normal(0, 5, (2000, 1, 3))
    values[:, 2] += random.normal(0, 8, (2000, 3))
    apart = pool_seeds(values).is_apart
    assert apart[:, 2].mean() > 0.9
    assert apart[:, [0, 1, 3, 4, 5, 6, 7]].mean() < 0.1, "the others are less unlike each other than that one"
    assert not pool_seeds(np.ones((4, 3))).is_apart.any()


def test_a_spread_that_others_have_is_taken_where_ones_own_is_smaller() -> None:
    table = np.array([[0.0, 0.0], [0.2, 0.2], [0.1, 0.1]])
    shares = np.array([0.5, 0.5])
    alone = estimate_spread(table, shares)
    assert float(alone.seeds) == pytest.approx(0.04 / 3)
    more = estimate_spread(table, shares, Pool(np.asarray(0.09), 14.0, np.asarray(False)))
    assert (float(more.seeds), float(more.seeds_df)) == (pytest.approx(0.03), 14)
    less = estimate_spread(table, shares, Pool(np.asarray(0.01), 14.0, np.asarray(False)))
    assert (float(less.seeds), float(less.seeds_df)) == (float(alone.seeds), 14)
    apart = estimate_spread(table, shares, Pool(np.asarray(0.09), 14.0, np.asarray(True)))
    assert (float(apart.seeds), float(apart.seeds_df)) == (pytest.approx(0.03), 2), "others are not like it"


@pytest.mark.parametrize(("variants", "seeds", "df"), [(2, 3, 2), (3, 5, 8), (8, 2, 2), (8, 3, 6), (8, 5, 20)])
def test_others_count_for_no_more_than_there_are_seeds(variants: int, seeds: int, df: float) -> None:
    assert count_pooled_df(variants, seeds) == df
    assert float(foretell_spread([3, 1, 1], seeds, variants).seeds_df) == df


def test_a_difference_has_to_be_larger_where_its_variants_may_be_set_apart() -> None:
    table, shares = np.array([[0.0, 0.0], [0.2, 0.2], [0.1, 0.1]]), np.array([0.5, 0.5])
    alike, apart = (estimate_spread(table, shares, Pool(np.asarray(0.09), 6.0, np.asarray(is_apart)))
                    for is_apart in (False, True))  # fmt: skip
    assert (float(alike.likeness), float(apart.likeness)) == (pytest.approx(0.81), 1.0)
    sure = replace(alike, likeness=1.0)
    assert float(alike.compute_detectable(0.05)) > float(sure.compute_detectable(0.05))
    assert float(alike.scale(2, 2).likeness) == pytest.approx(0.81)
    assert float(alike.compute_reach(0.05)) == float(sure.compute_reach(0.05)), "p-values and intervals know it already"
    assert foretell_spread([3, 1], 2, 2).likeness == 1.0 < 1 / float(foretell_spread([3, 1], 2, 3).likeness)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "spread"), [(2, 0.003), (2, 0.02), (3, 0.0075), (5, 0.0075)])
def test_settings_that_are_equal_are_seldom_called_different(seeds: int, spread: float) -> None:
    differences = draw(np.random.default_rng(seeds), 4000, seeds, spread)
    found = estimate_spread(differences, SHARES)
    value = differences.sum(-1).mean(-1)
    wrong = float((found.compute_p(value) < 0.05).mean())
    print(f"{seeds} seeds, spread {spread}: {wrong:.3f}")
    assert wrong < 0.075
    covered = float((np.abs(value) <= found.compute_reach(0.05)).mean())
    assert covered == pytest.approx(1 - wrong, abs=1e-3)


def test_a_test_of_trained_models_would_be_found_out() -> None:
    """The same simulation, questions alone taken for a sample: the test above can fail."""
    differences = draw(np.random.default_rng(3), 200, 2, 0.0075, by_group=0.002)
    wrong = np.mean([compute_sign_flip_p(each) < 0.05 for each in differences.mean(1)])
    assert wrong > 0.3


@pytest.mark.parametrize(("seeds", "effect", "least"), [(2, 0.06, 0.4), (5, 0.04, 0.9)])
def test_what_is_different_is_found(seeds: int, effect: float, least: float) -> None:
    differences = draw(np.random.default_rng(4), 1000, seeds, 0.0075, effect)
    found = estimate_spread(differences, SHARES).compute_p(differences.sum(-1).mean(-1)) < 0.05
    assert found.mean() > least


@pytest.mark.slow
def test_the_smallest_detectable_difference_is_found_four_times_in_five() -> None:
    random = np.random.default_rng(5)
    told = estimate_spread(draw(random, 2000, 5, 0.0075), SHARES).compute_detectable(0.05)
    effect = float(np.median(told))
    differences = draw(random, 4000, 5, 0.0075, effect)
    power = (estimate_spread(differences, SHARES).compute_p(differences.sum(-1).mean(-1)) < 0.05).mean()
    print(f"power at {effect:.4f}: {power:.3f}")
    assert power == pytest.approx(0.8, abs=0.07)


def test_a_sweep_may_expect_what_two_settings_vary_by() -> None:
    """Each of the two has seeds of its own; of equal groups the variance is that of one over their number."""
    spread = foretell_spread([1] * 16, 4, 2)
    assert float(spread.seeds) == pytest.approx(2 * SEED_SPREAD**2 / 4)
    assert float(spread.groups) == pytest.approx(GROUP_SPREAD**2 / 16)


def test_more_seeds_and_more_questions_show_more() -> None:
    spread = estimate_spread(draw(np.random.default_rng(6), 1, 3, 0.0075)[0], SHARES)
    plain, seeds, groups = map(float, spread.list_detectable(0.05))
    assert plain > seeds and plain >= groups
    assert (float(spread.scale(2, 1).seeds_df), float(spread.scale(1, 2).groups_df)) == (5, 59)
