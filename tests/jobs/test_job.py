"""What a job is called, and the command that repeats it."""

import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from medft.jobs.job import folder_name, job_command, job_label, short_names, swept_values
from medft.jobs.run_sweep import own_overrides


def test_names_are_short_unless_two_end_alike() -> None:
    assert short_names(["dataset.max_length", "seed", "judge/prompt"]) == {
        "dataset.max_length": "max_length", "seed": "seed", "judge/prompt": "prompt",
    }  # fmt: skip
    assert short_names(["dataset.seed", "seed"]) == {"dataset.seed": "dataset.seed", "seed": "seed"}


def test_a_label_does_not_follow_the_order_of_the_command_line() -> None:
    overrides = ["seed=1", "dataset.max_length=512", "model=gpt2", "+tracking.tags.who=me"]
    for keys in (["seed", "dataset.max_length"], ["dataset.max_length", "seed"]):
        assert job_label(swept_values(overrides, keys)) == "max_length=512, seed=1"
    assert job_label({}) == "the only job"


def test_the_command_of_a_job_leaves_out_what_is_the_sweeps() -> None:
    overrides = ["seed=1", "dataset.path=my data.csv", "sweep.parent=x", "hydra.sweep.dir=/x", "sweep.swept=[seed]"]
    assert shlex.split(job_command(overrides)) == ["medft", "train", "seed=1", "dataset.path=my data.csv"]


@pytest.mark.parametrize("label", ["max_length=512, seed=1", "path=/a/b", "path=/a_b", "x=..", "é=1", "a" * 500])
def test_a_label_is_a_safe_name_of_a_folder(label: str) -> None:
    name = folder_name(label)
    assert "/" not in name
    assert name not in ("", ".", "..")
    assert len(name) < 140
    assert name == folder_name(label)


def test_other_labels_have_other_folders() -> None:
    labels = ["path=/a/b", "path=_a_b", "path=/a_b", "a" * 200, "a" * 201, "b=1, c=2", "b=1,c=2"]
    assert len({folder_name(label) for label in labels}) >= len(labels) - 1  # the last two are the same words


@pytest.mark.parametrize(
    "folder", ["/a b", "/it's", "/jürgen", "/(v2) [1] {b}", "/a=b,c#d&e", "/a\\b", "/$x:y", "/a\\'b\\"]
)
def test_any_folder_can_be_told_to_a_job(folder: str) -> None:
    parsed = OverridesParser.create().parse_overrides(own_overrides("0a1b", ["a/b", "dataset.c"], Path(folder)))
    assert [each.value() for each in parsed[1:]] == [["a/b", "dataset.c"], folder]
    assert not any(each.is_sweep_override() for each in parsed)
