"""Holm's correction: the worked example, its bounds, and what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medft.comparison.significance import correct_holm


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


def test_one_family_in_twenty_has_a_false_finding() -> None:
    random = np.random.default_rng(0)
    families = random.uniform(size=(4000, 10))
    share = np.mean([min(correct_holm(list(family))) < 0.05 for family in families])
    assert 0.03 < share < 0.06
