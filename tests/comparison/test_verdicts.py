"""The simulation that verdicts are judged by: it draws what it says, and catches a method that is wrong."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.residuals import Runs, read_runs
from benchmarks.verdicts import Case, compare, draw, know_spread, simulate

from medft.comparison.settings import Spread, estimate_spread, pool_seeds

EQUAL = Case(seeds=3, entries=8, spread=0.0075, groups=30, by_group=0.02, is_shared=True)


def pool_without_a_test(tables: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, Spread]:
    """A bad method: every entry is taken to have the luck of all, also the one that has three times of it."""
    differences = tables[:, 1:] - tables[:, :1]
    pool = pool_seeds(tables.sum(-1))
    seeds = np.broadcast_to(pool.variance[:, None] / tables.shape[2], differences.shape[:2])
    spread = estimate_spread(differences, shares)
    own = replace(spread, seeds=seeds, seeds_df=np.full(seeds.shape, pool.df))
    return differences.sum(-1).mean(-1), own


def test_what_runs_have_beside_setting_seed_and_group_is_read() -> None:
    for runs in read_runs().values():
        _, seeds, questions = runs.values.shape
        assert seeds >= 5 and questions == 84 and runs.groups.max() + 1 == 30
        assert runs.shares.sum() == pytest.approx(1)
        found = runs.describe()
        assert all(0 <= value < 0.1 for value in found.values())
        assert abs(float(runs.collect_residuals().mean())) < 1e-12


def test_parts_that_runs_are_made_of_are_told_apart() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(40), 6)
    shape = (6, 300, len(groups))
    values = random.normal(0, 0.01, shape) + random.normal(0, 0.02, (6, 300, 1)) + random.normal(0, 0.03, (1, 300, 1))
    values += random.normal(0, 0.015, (6, 1, 40))[..., groups] + random.normal(0, 0.005, (6, 300, 40))[..., groups]
    values += random.normal(0, 0.02, (1, 300, 40))[..., groups] + random.normal(0, 0.05, (1, 1, len(groups)))
    found = Runs(values, groups, np.full(len(groups), 1 / len(groups))).describe()
    parts = (0.02, 0.03, 0.015, 0.005, 0.01)
    for (name, value), part in zip(found.items(), parts, strict=True):
        assert value == pytest.approx(part, rel=0.02 if "rest" in name else 0.2), name


def test_groups_have_the_variance_that_a_case_says() -> None:
    case = Case(seeds=2, entries=2, spread=0.01, groups=30, by_group=0.02, is_shared=False)
    tables, shares = draw(case, 4000, np.random.default_rng(1))
    differences = (tables[:, 1] - tables[:, 0]).sum(-1).mean(-1)
    assert shares.sum() == pytest.approx(1)
    assert differences.std() == pytest.approx(float(know_spread(case).error), rel=0.05)


def test_the_method_is_seldom_wrong_and_finds_what_is_there() -> None:
    found = simulate(EQUAL, 1000)
    assert found["false"] < 0.06
    assert found["covered"] > 0.93
    assert simulate(replace(EQUAL, effect=0.04), 500)["found"] > 0.75


def test_methods_that_are_wrong_are_caught() -> None:
    """Of seeds nothing is asked, or the luck of one entry is taken for that of all."""
    own = replace(EQUAL, is_shared=False)
    assert simulate(own, 500)["peer"] > 0.3, "without seeds"
    odd = replace(own, odd=0, spread=0.02)
    assert simulate(odd, 1000, method=pool_without_a_test)["false"] > 0.09
    assert simulate(odd, 1000, method=compare)["false"] < 0.06


@pytest.mark.parametrize("seeds", [3, 5])
def test_what_is_called_detectable_is_found_four_times_in_five(seeds: int) -> None:
    """Also where settings may be left to their own seeds, which finds less the fewer there are."""
    case = replace(EQUAL, seeds=seeds)
    effect = float(know_spread(case).compute_detectable(0.05 / 7))
    assert simulate(replace(case, effect=effect), 1000)["found"] == pytest.approx(0.78, abs=0.07)
