"""Copies and near copies are found, and nothing else is."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medft.config.compose import compose_config
from medft.data.audit import Overlap
from medft.data.duplicates import NearDuplicates, hash_rows, remove_duplicates
from medft.data.example import Example
from medft.data.readers.base import make_example
from medft.data.rows import Rows, store_rows

WORDS = [f"word{number}" for number in range(3000)]


def text(seed: int, words: int = 80) -> list[str]:
    return random.Random(seed).choices(WORDS, k=words)


def changed(words: list[str], count: int) -> list[str]:
    """The same with some words at the end replaced, so that the shared share of triples is known."""
    return [*words[: len(words) - count], *(f"new{number}" for number in range(count))]


def jaccard(one: list[str], other: list[str]) -> float:
    a, b = ({tuple(each[start : start + 3]) for start in range(len(each) - 2)} for each in (one, other))
    return len(a & b) / len(a | b)


def row(words: list[str], **names: str) -> Example:
    return make_example(" ".join(words[:8]), " ".join(words[8:]), **names)


def test_case_and_spacing_do_not_make_a_row_another(tmp_path: Path) -> None:
    rows = [make_example("What is  Gout?", "A\nDisease."), make_example("what is gout?", "a disease."),
            make_example("What is gout?", "A disease"), make_example("What is", "gout? A disease.")]  # fmt: skip
    keys = hash_rows(store_rows(rows, tmp_path))
    assert keys[0] == keys[1]
    assert len(set(keys.tolist())) == 3


@pytest.mark.parametrize(("new_words", "is_near"), [(0, True), (3, True), (7, True), (12, False), (40, False)])
def test_the_threshold_is_a_share_of_word_triples(new_words: int, is_near: bool) -> None:
    one, other = text(1), changed(text(1), new_words)
    assert (jaccard(one, other) >= 0.8) == is_near
    index = NearDuplicates([row(one), row(other)], 0.8)
    assert index.find_nearest(0, range(2)) == (1 if is_near else None)
    assert index.find_nearest(1, range(1)) == (0 if is_near else None)


def test_pairs_at_the_threshold_are_found_nearly_always() -> None:
    pairs = [(text(seed), changed(text(seed), 8)) for seed in range(300)]
    assert all(jaccard(one, other) == pytest.approx(0.814, abs=0.01) for one, other in pairs)
    index = NearDuplicates([row(each) for pair in pairs for each in pair], 0.8)
    nearest = [index.find_nearest(number, range(number)) for number in range(600)]
    assert set(nearest[::2]) == {None}
    assert sum(second == 2 * number for number, second in enumerate(nearest[1::2])) >= 297


def test_what_is_found_is_what_comparing_all_pairs_finds() -> None:
    texts = [changed(text(seed // 4, 60), seed % 4 * 3) for seed in range(120)]
    index = NearDuplicates([row(each) for each in texts], 0.7)
    for number, each in enumerate(texts):
        for among in (range(number), range(60), range(60, 120)):
            near = [n for n in among if n != number and jaccard(texts[n], each) >= 0.7]
            nearest = index.find_nearest(number, among)
            assert (nearest in near) if near else nearest is None


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6))
@settings(deadline=None, max_examples=50)
def test_any_text_is_near_to_itself(texts: list[str]) -> None:
    rows = [Example("", "", question, "", each) for question in "qQ" for each in texts]
    index = NearDuplicates(rows, 1.0)
    assert all(index.find_nearest(number, range(number)) is not None for number in range(len(texts), len(rows)))


def pools(tmp_path: Path) -> tuple[Rows, dict[str, np.ndarray]]:
    """Test: a, near a, a again. Validation: b, near test's a, c. Training: d, d again, b, near c, near d, e."""
    a, b, c, d, e = (text(seed) for seed in range(5))
    near = {name: changed(words, 3) for name, words in zip("acd", (a, c, d), strict=True)}
    rows = [a, near["a"], a, b, changed(a, 2), c, d, d, b, near["c"], near["d"], e]
    stored = store_rows([row(words, id=str(number)) for number, words in enumerate(rows)], tmp_path)
    return stored, {"train": np.arange(6, 12), "validation": np.arange(3, 6), "test": np.arange(3)}


@pytest.mark.parametrize(
    ("dedup", "train", "validation"),
    [("none", [6, 7, 8, 9, 10, 11], [3, 4, 5]), ("exact", [6, 9, 10, 11], [3, 4, 5]), ("near", [6, 11], [3, 5])],
)
def test_what_dedup_keeps(tmp_path: Path, dedup: str, train: list[int], validation: list[int]) -> None:
    rows, given = pools(tmp_path)
    pools_left = remove_duplicates(rows, given, dedup, 0.8)
    assert {name: pool.tolist() for name, pool in pools_left.items()} == {
        "train": train, "validation": validation, "test": [0, 1, 2],
    }  # fmt: skip


@pytest.mark.slow
def test_rows_of_one_template_do_not_take_forever(tmp_path: Path) -> None:
    words = text(1, 200)
    rows = [row([*words, f"only{number}"], id=str(number)) for number in range(3000)]
    stored = store_rows(rows, tmp_path)
    pools = {"test": np.arange(500), "validation": np.arange(500, 1000), "train": np.arange(1000, 3000)}
    pools_left = remove_duplicates(stored, pools, "near", 0.8)
    assert {name: len(pool) for name, pool in pools_left.items()} == {"test": 500, "validation": 0, "train": 0}
    parts = {name: Rows(stored.table, pool) for name, pool in pools.items()}
    overlap = Overlap(parts, compose_config().audit, 0.8)
    assert overlap.compare("train", "test").near == 500
    assert overlap.count_duplicates("train") == (0, 1999)


def test_one_changed_character_leaves_a_near_duplicate_in_scripts_without_spaces() -> None:
    sentences = (
        "痛风是一种关节疾病，由血液中尿酸过多引起，患者常在夜间突然感到剧痛，脚趾红肿发热，医生建议多喝水并少吃红肉。"
    )
    one = sentences * 2
    index = NearDuplicates([make_example("什么是痛风？", text) for text in (one, one.replace("红肉", "白肉", 1))], 0.8)
    assert index.find_nearest(1, range(1)) == 0
