"""What counts as the same experiment."""

from collections.abc import Callable

import pytest

from medft.config.schema import Config
from medft.runs.provenance import collect_code_tags, config_hash, judge_hash


@pytest.mark.parametrize(
    "override",
    [
        "paths.root_dir=/elsewhere",
        "paths.cache_dir=/elsewhere",
        "tracking.experiment_name=x",
        "judge=none",
        "judge.model=qwen",
        "trainer.resume_from=x",
        "trainer.log_every_n_steps=9",
        "dataset.on_leak=error",
        "audit.max_rows=9",
        "sweep.metric=test/loss",
    ],
)
def test_where_it_runs_and_who_judges_is_not_part_of_it(compose: Callable[..., Config], override: str) -> None:
    assert config_hash(compose(override).resolved) == config_hash(compose().resolved)


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "dataset.size=50",
        "optimizer.lr=1",
        "generation.max_new_tokens=9",
        "evaluation.baseline=false",
        "evaluation.weights=last",
        "dataset.on_bad_row=skip",
    ],
)
def test_what_is_learned_or_measured_is(compose: Callable[..., Config], override: str) -> None:
    assert config_hash(compose(override).resolved) != config_hash(compose().resolved)


def test_where_the_data_lies_is_not_part_of_it(compose: Callable[..., Config]) -> None:
    one, other = (compose("dataset=diseases", f"dataset.path={path}") for path in ("a.csv", "b.csv"))
    assert config_hash(one.resolved) == config_hash(other.resolved)
    one, other = (compose("dataset=medquad", f"paths.cache_dir={path}") for path in ("/a", "/b"))
    assert config_hash(one.resolved) == config_hash(other.resolved)
    assert config_hash(compose("dataset=medquad", "dataset.reader.normalise=false").resolved) != config_hash(
        one.resolved
    )


@pytest.mark.parametrize("override", ["judge.host=http://elsewhere", "judge.timeout=1", "judge.attempts=1", "seed=1",
                                      "judge.concurrency=4", "judge.cache=false", "dataset.size=50"])  # fmt: skip
def test_how_a_judge_is_reached_and_asked_does_not_make_another_of_it(
    compose: Callable[..., Config], override: str
) -> None:
    assert judge_hash(compose("judge=ollama", override).resolved) == judge_hash(compose("judge=ollama").resolved)


@pytest.mark.parametrize("override", ["judge=auto", "judge.model=qwen", "judge.limit=5", "judge.controls=3",
                                      "judge.name=other", "judge/prompt=rubric", "judge.seed=1"])  # fmt: skip
def test_who_judges_what_does(compose: Callable[..., Config], override: str) -> None:
    assert judge_hash(compose("judge=ollama", override).resolved) != judge_hash(compose("judge=ollama").resolved)


def test_versions_are_told() -> None:
    assert {"version.medft", "version.torch", "version.python"} <= set(collect_code_tags())
