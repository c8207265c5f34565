"""What variants are called."""

import pytest

from medft.comparison.labels import differing_keys, label_variants, select_settings

SAME = {"seed": "1", "dataset.name": "sample", "model.name": "gpt2", "optimizer.lr": "0.1"}


def of(*changes: dict[str, str], swept: tuple[str, ...] = ()) -> list[str]:
    return label_variants([SAME | each for each in changes], swept)


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ({"dataset.max_length": "64"}, {"dataset.max_length": "128"}, "max_length=64"),
        ({"trainer.max_steps": "None"}, {"trainer.max_steps": "5"}, "max_steps=null"),
        ({"dataset.split.seed": "1", "audit.x": "2"}, {"dataset.split.seed": "2", "audit.x": "2"}, "seed=1"),
        ({"dataset.split.seed": "1"}, {"dataset.split.seed": "2", "seed": "2"}, "split.seed=1, seed=1"),
        ({"a.x.size": "1", "b.x.size": "1"}, {"a.x.size": "2", "b.x.size": "2"}, "a.x.size=1, b.x.size=1"),
        # a model brings its own source and learning rate; a learning rate of its own is named
        ({"model.source": "a"}, {"model.name": "b", "model.source": "b", "optimizer.lr": "0.2"}, "model=gpt2"),
        # rows follow from the size
        ({"dataset.size": "9", "dataset.size_used": "9"}, {"dataset.size": "8", "dataset.size_used": "8"}, "size=9"),
        ({"dataset.size_used": "9"}, {"dataset.size_used": "8"}, "size_used=9"),
        ({}, {}, ""),
    ],
)
def test_two_runs(first: dict[str, str], second: dict[str, str], name: str) -> None:
    assert of(first, second)[0] == name


def test_swept_keys_come_first_and_swallow_what_follows_from_them() -> None:
    first = {"z.b": "1", "a.c": "2", "model.name": "m"}
    second = {"z.b": "2", "a.c": "3", "model.name": "n"}
    assert of(first, second, swept=("z.b",))[0] == "b=1"
    assert of(first, second, swept=("model", "a.c"))[1] == "model=n, c=3"


def test_where_data_lies_and_who_judges_is_no_setting() -> None:
    params = {"paths.x": "1", "dataset.path": "/a", "judge._target_": "x", "trainer.resume_from": "y", "seed": "1"}
    assert select_settings(params, "f") == {"seed": "1", "dataset.fingerprint": "f"}


def test_seed_is_last() -> None:
    assert differing_keys([{"seed": "1", "x": "1"}, {"seed": "2", "x": "2"}]) == ["x", "seed"]
