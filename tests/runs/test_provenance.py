"""What counts as the same experiment."""

from collections.abc import Callable

import pytest

from medft.config.schema import Config
from medft.runs.provenance import code_tags, config_hash, flatten


@pytest.mark.parametrize(
    "override",
    [
        "paths.root_dir=/elsewhere",
        "paths.cache_dir=/elsewhere",
        "tracking.experiment_name=x",
        "judge=none",
        "judge.model=qwen",
        "trainer.resume_from=x",
    ],
)
def test_where_it_runs_and_who_judges_is_not_part_of_it(compose: Callable[..., Config], override: str) -> None:
    assert config_hash(compose(override).resolved) == config_hash(compose().resolved)


@pytest.mark.parametrize("override", ["seed=1", "dataset.size=50", "optimizer.lr=1", "generation.max_new_tokens=9"])
def test_what_is_learned_or_measured_is(compose: Callable[..., Config], override: str) -> None:
    assert config_hash(compose(override).resolved) != config_hash(compose().resolved)


def test_where_the_data_lies_is_not_part_of_it(compose: Callable[..., Config]) -> None:
    one, other = (compose("dataset=diseases", f"dataset.path={path}") for path in ("a.csv", "b.csv"))
    assert config_hash(one.resolved) == config_hash(other.resolved)


def test_flatten_names_every_value() -> None:
    assert dict(flatten({"a": {"b": 1, "c": {}}, "d": [1, 2]})) == {"a.b": "1", "a.c": "{}", "d": "[1, 2]"}


def test_versions_are_told() -> None:
    assert {"version.medft", "version.torch", "version.python"} <= set(code_tags())
