"""Metrics against figures worked out by hand."""

import math

import pytest

from medft.evaluation.evaluate import compute_unigram_losses
from medft.metrics.overlap import compute_repeat_share, compute_token_f1
from medft.metrics.registry import measure_answers


def measure(expected: str, generated: str) -> dict[str, float]:
    """The metrics that need nothing but the two texts."""
    names = ("rouge1", "rouge2", "rougeL", "chrf", "token_f1", "exact_match", "repeat_share")
    values = measure_answers([expected], [generated])[0]
    return {name: values[name] for name in names}


def test_the_expected_answer_itself_is_perfect() -> None:
    found = measure("Gout is a disease of the joints.", "Gout is a disease of the joints.")
    assert found == pytest.approx(
        {"rouge1": 1, "rouge2": 1, "rougeL": 1, "chrf": 100, "token_f1": 1, "exact_match": 1, "repeat_share": 0}
    )


def test_an_empty_answer_is_nothing() -> None:
    assert set(measure("Gout hurts.", "").values()) == {0.0}


def test_rouge_by_hand() -> None:
    found = measure("uric acid forms crystals", "uric acid makes crystals")
    assert found["rouge1"] == pytest.approx(3 / 4)
    assert found["rouge2"] == pytest.approx(1 / 3)
    assert found["rougeL"] == pytest.approx(3 / 4)
    assert found["exact_match"] == 0.0


@pytest.mark.parametrize(
    ("expected", "generated", "f1"),
    [
        ("The gout.", "gout", 1.0),
        ("a b c d", "b x", 2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3)),
        ("x", "y", 0.0),
        ("", "", 1.0),
    ],
)
def test_token_f1_by_hand(expected: str, generated: str, f1: float) -> None:
    assert compute_token_f1(expected, generated) == pytest.approx(f1)


def test_repeat_share_by_hand() -> None:
    assert compute_repeat_share("one two three four five") == 0.0
    assert compute_repeat_share("a b c d a b c d") == pytest.approx(1 / 5)
    assert compute_repeat_share("and " * 100) == pytest.approx(96 / 97)
    assert compute_repeat_share("too short") == 0.0


def test_unigram_losses_by_hand() -> None:
    # counts 2 and 1 of a vocabulary of 4, each plus 0.1
    expected = [-math.log(2.1 / 3.4) - math.log(1.1 / 3.4), -math.log(0.1 / 3.4), 0]
    assert compute_unigram_losses([[0, 0], [1]], [[0, 1], [3], []], vocab_size=4) == pytest.approx(expected)
