"""Holm's correction: the worked example, its bounds, and what it promises."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medft.comparison.settings import Spread
from medft.comparison.significance import Result, compare_within, correct_holm, estimate_detectable
from medft.metrics.statistics import Difference, Estimate


def test_by_hand() -> None:
    # smallest: 4 * 0.005; next: 3 * 0.01; then 2 * 0.03; the last would be 0.04 and is held at the one before
    assert correct_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_holm([]).tolist() == []
    assert correct_holm([0.2]).tolist() == [0.2]
    assert correct_holm([0.9, 0.8]).tolist() == [1.0, 1.0]
    several = np.array([[0.01, 0.04, 0.03, 0.005], [0.9, 0.8, 0.9, 0.9]])
    assert correct_holm(several).tolist() == [correct_holm(family).tolist() for family in several]


@given(st.lists(st.floats(0, 1), max_size=20))
def test_it_keeps_the_order_and_never_takes_less_than_bonferroni_allows(p_values: list[float]) -> None:
    corrected = correct_holm(p_values)
    for plain, adjusted in zip(p_values, corrected, strict=True):
        assert plain <= adjusted <= min(1.0, len(p_values) * plain) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.asarray(corrected)[order]) >= 0).all()


def make_result(kind: Literal["settings", "models"] = "settings", value: float = 0.0) -> Result:
    spread = Spread(*map(np.asarray, (0.0001, 0.0001, 0.0, 4.0, 29.0)))
    difference = Difference(value, value - 0.05, value + 0.05, 0.4)
    return Result(Estimate(1.0), difference, kind, spread, 0.4, 0.4, (1.0, 1.0), 84, 30)


def test_the_more_are_asked_about_the_less_is_called_as_good() -> None:
    reach = [float(make_result().spread_of_difference.compute_reach(0.1 / count)) for count in (1, 5)]  # type: ignore[union-attr]
    between = sum(reach) / 2
    assert compare_within(make_result(), between, True, 1) == "as good"
    assert compare_within(make_result(), between, True, 5) == ""
    assert compare_within(make_result(value=-between), between, True, 1) == "not worse"
    assert compare_within(make_result(value=-between), between, False, 1) == ""


def test_the_more_are_compared_the_larger_a_difference_must_be() -> None:
    found = [estimate_detectable({"a": make_result()}, family) for family in (1, 7)]
    assert found[0] and found[1] and found[0][0] == "settings"
    assert all(more > 1.2 * fewer for fewer, more in zip(found[0][1:], found[1][1:], strict=True))  # type: ignore[operator]


def test_one_family_in_twenty_has_a_false_finding() -> None:
    random = np.random.default_rng(0)
    families = random.uniform(size=(4000, 10))
    share = np.mean([min(correct_holm(list(family))) < 0.05 for family in families])
    assert 0.03 < share < 0.06
