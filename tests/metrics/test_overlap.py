"""Metrics against figures worked out by hand."""

import math
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medft.evaluation.evaluate import compute_unigram_losses
from medft.metrics.overlap import compute_repeat_share, compute_token_f1, measure_rouge
from medft.metrics.registry import measure_answers


def measure(expected: str, generated: str) -> dict[str, float]:
    """The metrics that need nothing but the two texts."""
    names = ("rouge1", "rouge2", "rougeL", "chrf", "token_f1", "exact_match", "repeat_share")
    values = measure_answers([expected], [generated])[0]
    return {name: values[name] for name in names}


def test_the_expected_answer_itself_is_perfect() -> None:
    found = measure("Gout is a disease of the joints.", "Gout is a disease of the joints.")
    assert found == pytest.approx(EQUAL)


EQUAL = {"rouge1": 1, "rouge2": 1, "rougeL": 1, "chrf": 100, "token_f1": 1, "exact_match": 1, "repeat_share": 0}
ANSWERS = [
    "高血压是一种疾病。", "Подагра — болезнь суставов.", "النقرس مرض يصيب المفاصل", "गठिया जोड़ों की बीमारी है।",
    "La goutte est une maladie articulaire très douloureuse.", "痛風は関節の病気です。",
    "โรคเกาต์เป็นโรคข้อ", "통풍은 관절 질환이다.",
]  # fmt: skip


@pytest.mark.parametrize("text", ANSWERS)
def test_equal_answers_are_equal_in_every_script(text: str) -> None:
    assert measure(text, text) == pytest.approx(EQUAL)
    assert measure(text, unicodedata.normalize("NFD", text))["rougeL"] == 1
    assert measure(text, "gout")["rougeL"] == 0


def test_half_a_chinese_answer_is_half_right() -> None:
    found = measure("痛风是疾病", "痛风是")
    assert found["rouge1"] == found["rougeL"] == found["token_f1"] == pytest.approx(2 * 1 * 0.6 / 1.6)
    assert compute_repeat_share("痛风疾病" * 2) == pytest.approx(1 / 5)


@given(st.text(st.characters(codec="ascii"), max_size=80), st.text(st.characters(codec="ascii"), max_size=80))
@settings(max_examples=300, deadline=None)
def test_english_is_scored_as_by_rouges_own_tokenizer(expected: str, generated: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    own = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(expected, generated)
    found = measure_rouge([expected], [generated])
    assert {name: values[0] for name, values in found.items()} == {name: own[name].fmeasure for name in own}


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
