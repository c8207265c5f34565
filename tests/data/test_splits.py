"""Who trains and who tests does not depend on anything but the data and dataset.split."""

import itertools

import pytest

from medft.config.schema import SplitConfig
from medft.data.example import Example
from medft.data.readers.base import make_example, unique_ids
from medft.data.readers.sample import Sample
from medft.data.splits import split
from medft.errors import InputError


def config(**changes: object) -> SplitConfig:
    return SplitConfig(**{"seed": 20, "validation": 0.05, "test": 0.1, "train_on_all": False, **changes})


def rows(count: int = 400, groups: int = 60) -> list[Example]:
    return [make_example(f"q{n}", f"a{n}", group=f"g{n % groups}") for n in range(count)]


def groups(examples: list[Example]) -> set[str]:
    return {row.group for row in examples}


@pytest.mark.parametrize("size", [40, 100, 399, None])
@pytest.mark.parametrize(("test", "validation"), [(0.1, 0.05), (20, 10), (0.2, 10), (20, 0.1)])
def test_no_group_is_on_two_sides(size: int | None, test: float, validation: float) -> None:
    found = split(rows(), config(test=test, validation=validation), size)
    for one, other in itertools.combinations(found.parts().values(), 2):
        assert not groups(one) & groups(other)
    assert min(map(len, found.parts().values())) > 0
    assert found.size_used == sum(map(len, found.parts().values()))
    assert found.size_used + found.left_over == (size or 400)
    if size is None and isinstance(test, float) and isinstance(validation, float):
        assert found.left_over == 0


def test_size_moves_no_row_and_is_a_prefix() -> None:
    whole = split(rows(), config(test=20, validation=10), None)
    for size in (40, 100, 250):
        part = split(rows(), config(test=20, validation=10), size)
        assert part.size_used == size
        assert part.test == whole.test
        assert part.validation == whole.validation
        assert part.train == whole.train[: len(part.train)]


def test_shares_grow_with_size_and_keep_their_sides() -> None:
    small, large = (split(rows(), config(), size) for size in (100, 300))
    assert (len(small.test), len(large.test)) == (10, 30)
    assert large.test[:10] == small.test


def test_a_new_document_moves_no_other() -> None:
    before = split(rows(), config(), None)
    after = split([*rows(), make_example("new", "new", group="new")], config(), None)
    assert groups(before.test) <= groups(after.test) | {"new"}
    assert not groups(before.test) & groups(after.train)


def test_another_split_seed_is_another_split() -> None:
    assert groups(split(rows(), config(), None).test) != groups(split(rows(), config(seed=1), None).test)


def test_the_split_is_the_same_on_every_machine() -> None:
    # written down once: a change here makes older runs incomparable
    found = split(list(Sample().read()), config(test=21, validation=14), None)
    assert groups(found.test) == {"Gastroesophageal Reflux Disease", "Shingles", "Type 2 Diabetes"}
    assert groups(found.validation) == {"COPD", "Kidney Stones"}


def test_train_on_all_leaks_and_says_so() -> None:
    found = split(rows(), config(test=20, validation=10, train_on_all=True), 100)
    assert found.leaking
    assert len(found.train) == 100
    assert set(found.test) <= set(found.train)


def test_larger_size_than_data_uses_all() -> None:
    found = split(rows(), config(), 5000)
    assert found.size_used == found.available == 400
    exact = split(rows(), config(test=20, validation=10), 5000)
    assert (len(exact.test), len(exact.validation)) == (20, 10)
    assert exact.size_used + exact.left_over == 400


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        ({"test": 20, "validation": 10}, 30, "dataset.size=30 leaves no training rows"),
        ({"test": 390, "validation": 10}, None, "leave none to train on"),
    ],
)
def test_splits_that_cannot_be_are_refused(changes: dict[str, object], size: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(rows(), config(**changes), size)


def test_fewer_than_three_groups_are_refused() -> None:
    with pytest.raises(InputError, match="2 group"):
        split(rows(groups=2), config(), None)


def test_copies_of_a_row_get_ids_of_their_own_and_stay_together() -> None:
    found = list(unique_ids([make_example("Q ?", "A"), make_example("Q ?", "A"), make_example("q  ?", "B")]))
    assert len({row.id for row in found}) == 3
    assert len(groups(found)) == 1
