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
        ({"dataset.split.seed": "1", "model.lr": "2"}, {"dataset.split.seed": "2", "model.lr": "2"}, "seed=1"),
        ({"dataset.split.seed": "1"}, {"dataset.split.seed": "2", "seed": "2"}, "split.seed=1, seed=1"),
        (
            {"finetune.dropout": "1", "model.dropout": "1"},
            {"finetune.dropout": "2", "model.dropout": "2"},
            "finetune.dropout=1, model.dropout=1",
        ),
        # a model brings its own source and learning rate; a learning rate of its own is named
        ({"model.source": "a"}, {"model.name": "b", "model.source": "b", "optimizer.lr": "0.2"}, "model=gpt2"),
        # so does a method of fine-tuning, also together with the model
        ({"finetune.method": "full"}, {"finetune.method": "lora", "optimizer.lr": "1"}, "finetune=full"),
        (
            {"finetune.method": "full"},
            {"finetune.method": "lora", "model.name": "b", "optimizer.lr": "1"},
            "model=gpt2, finetune=full",
        ),
        # rows follow from the size
        ({"dataset.size": "9", "dataset.size_used": "9"}, {"dataset.size": "8", "dataset.size_used": "8"}, "size=9"),
        ({"dataset.size_used": "9"}, {"dataset.size_used": "8"}, "size_used=9"),
        ({}, {}, ""),
    ],
)
def test_two_runs(first: dict[str, str], second: dict[str, str], name: str) -> None:
    assert of(first, second)[0] == name


def test_swept_keys_come_first_and_swallow_what_follows_from_them() -> None:
    first = {"optimizer.eps": "1", "dataset.size": "2", "model.name": "m"}
    second = {"optimizer.eps": "2", "dataset.size": "3", "model.name": "n"}
    assert of(first, second, swept=("optimizer.eps",))[0] == "eps=1"
    assert of(first, second, swept=("model", "dataset.size"))[1] == "model=n, size=3"


def test_where_data_lies_and_who_judges_is_no_setting() -> None:
    params = {
        "paths.cache_dir": "1",
        "dataset.path": "/a",
        "dataset.reader._target_": "medft.data.readers.medquad.MedQuAD",
        "dataset.reader.path": "/a",
        "judge._target_": "x",
        "trainer.resume_from": "y",
        "trainer.log_every_n_steps": "2",
        "dataset.on_leak": "error",
        "seed": "1",
    }
    assert select_settings(params, "f") == {
        "dataset.reader._target_": "medft.data.readers.medquad.MedQuAD",
        "seed": "1",
        "dataset.fingerprint": "f",
    }


def test_seed_is_last() -> None:
    assert differing_keys([{"seed": "1", "x": "1"}, {"seed": "2", "x": "2"}]) == ["x", "seed"]
