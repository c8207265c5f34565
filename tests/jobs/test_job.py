"""What a job is called, and the command that repeats it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from medft.comparison.labels import shorten_keys
from medft.config.compose import validate
from medft.config.schema import Config, JobInfo
from medft.jobs.job import folder_name, freeze, job_command, job_label, load_frozen, make_job, swept_values


def test_names_are_short_unless_two_end_alike() -> None:
    assert shorten_keys(["dataset.max_length", "seed", "judge/prompt"]) == {
        "dataset.max_length": "max_length", "seed": "seed", "judge/prompt": "prompt",
    }  # fmt: skip
    assert shorten_keys(["dataset.seed", "seed"]) == {"dataset.seed": "dataset.seed", "seed": "seed"}
    keys = ["dataset.split.seed", "seed"]
    assert shorten_keys(keys) == {"dataset.split.seed": "split.seed", "seed": "seed"}


def test_a_label_does_not_follow_the_order_of_the_command_line() -> None:
    overrides = ["seed=1", "dataset.max_length=512", "model=gpt2", "+tracking.tags.who=me"]
    for keys in (["seed", "dataset.max_length"], ["dataset.max_length", "seed"]):
        assert job_label(swept_values(overrides, keys)) == "max_length=512, seed=1"
    assert job_label({}) == "the only job"


def test_the_command_of_a_job_leaves_out_what_is_the_sweeps() -> None:
    overrides = ["seed=1", "dataset.path=my data.csv", "sweep.fresh=true", "launcher=slurm", "launcher.n_jobs=2"]
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


@pytest.mark.parametrize("name", ["a b", "it's", "jürgen", "(v2) [1] {b}", "a=b,c#d&e", "a\\b", "$x:y", "${z}", "1e-3"])
def test_a_frozen_job_is_read_back_as_it_was(tmp_path: Path, compose: Callable[..., Config], name: str) -> None:
    info = JobInfo(parent="0a1b", label=f"tag={name}", values={"tag": name, "lr": "1e-3"}, command=f"medft {name}")
    given = compose("optimizer.lr=1.0000000000000002e-05")
    resolved = given.resolved
    resolved["tracking"]["tags"] = {"who": name}  # whatever signs are in it, they mean nothing any more
    job = make_job(3, validate(resolved), info, tmp_path / name)
    freeze(job)
    config = load_frozen(job.folder)
    assert repr(config) == repr(job.config)
    assert (config.job, config.resolved, config.paths.output) == (info, job.config.resolved, job.folder)
    assert (config.tracking.tags, config.optimizer.lr) == ({"who": name}, 1.0000000000000002e-05)


def test_only_runs_of_their_own_keep_their_weights_unless_told_otherwise(compose: Callable[..., Config]) -> None:
    info = JobInfo(parent="0a1b", label="seed=1")
    for setting, alone, in_sweep in (("auto", True, False), ("best", True, True), ("none", False, False)):
        config = compose(f"tracking.save_model={setting}")
        assert (config.saves_model, config.as_job(info, Path("x")).saves_model) == (alone, in_sweep)
