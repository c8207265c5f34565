"""Every key of the config says what it is, and what follows from it."""

from collections.abc import Iterator
from typing import Annotated

import pytest
from pydantic import BaseModel

from medft.config.compose import compose_config
from medft.config.roles import (
    SETTINGS,
    can_be_searched,
    can_be_swept,
    changes_measurement,
    flatten,
    is_setting,
    role_of,
    settings_with,
)
from medft.config.schema import Config
from medft.config.section import Component, Role, Section, role_of_field, sections_in
from medft.data.readers.alpaca import Alpaca
from medft.data.readers.diseases import Diseases
from medft.data.readers.medquad import MedQuAD
from medft.data.readers.sample import Sample
from medft.evaluation.judges.auto import Auto
from medft.evaluation.judges.none import NoJudge
from medft.evaluation.judges.notebook import Notebook
from medft.evaluation.judges.openai import OpenAI

COMPONENTS = (Alpaca, Diseases, MedQuAD, Sample, Auto, NoJudge, Notebook, OpenAI)


def keys_without_role(section: type[BaseModel], inherited: Role | None = None, prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        role = role_of_field(section, name, inherited)
        below = sections_in(field.annotation)
        for each in below:
            yield from keys_without_role(each, role, f"{prefix}{name}.")
        if role is None and not below:
            yield f"{prefix}{name}"


def test_every_key_has_a_role() -> None:
    assert list(keys_without_role(Config)) == [], "give the key a Role, or its section a role"
    for component in COMPONENTS:
        assert list(keys_without_role(component)) == []


def test_a_key_without_a_role_is_noticed() -> None:
    class New(Section):
        key: int

    class Whole(Section):
        new: New
        seen: Annotated[int, Role.SHOWN]

    assert list(keys_without_role(Whole)) == ["new.key"]


@pytest.mark.parametrize(
    ("key", "role"),
    [
        ("seed", Role.LEARNED),
        ("optimizer.lr", Role.LEARNED),
        ("optimizer.momentum", Role.LEARNED),  # of one of the alternatives
        ("model.shape.n_layer", Role.LEARNED),  # below a key that takes any mapping
        ("trainer.log_every_n_steps", Role.SHOWN),
        ("trainer.resume_from", Role.PLACE),
        ("dataset.on_leak", Role.SHOWN),
        ("dataset.path", Role.PLACE),
        ("dataset.max_length", Role.LEARNED),
        ("dataset.batch_size", Role.LEARNED),
        ("dataset.split.seed", Role.DATA),
        ("dataset.continuation.overlap", Role.LEARNED),  # has it of the key that its section stands at
        ("dataset.reader.anything", Role.DATA),
        ("dataset.prompt", Role.DATA | Role.MEASURED),
        ("evaluation.batch_size", Role.PLACE),
        ("evaluation.max_length", Role.MEASURED),
        ("evaluation.probes", Role.MEASURED | Role.SHOWN),
        ("evaluation.weights", Role.LEARNED | Role.MEASURED),
        ("judge", Role.JUDGE),
        ("+judge/prompt", Role.JUDGE),
        ("audit.max_rows", Role.SHOWN),
        ("+tracking.tags.who", Role.SHOWN),
        ("tracking.uri", Role.PLACE),
        ("paths", Role.PLACE),
        ("hydra/launcher", Role.PLACE),
        ("launcher", Role.PLACE),
        ("launcher.n_jobs", Role.PLACE),
        ("experiment", None),
        ("dataset.size_used", None),
    ],
)
def test_roles_of_keys(key: str, role: Role | None) -> None:
    assert role_of(key) == role


def test_flatten_names_every_value() -> None:
    assert dict(flatten({"a": {"b": 1, "c": {}}, "d": [1, 2]})) == {"a.b": 1, "a.c": {}, "d": [1, 2]}


def test_options_of_a_reader_and_a_judge_have_the_roles_of_their_class() -> None:
    config = compose_config(["dataset=medquad", "judge=openai", "judge.model=m"])
    settings = dict(flatten(config.resolved))
    roles = {key: role_of(key, settings) for key in settings}
    assert roles["dataset.reader.path"] == roles["dataset.reader.cache_dir"] == Role.PLACE
    assert roles["dataset.reader.normalise"] == Role.DATA
    assert roles["judge.base_url"] == roles["judge.attempts"] == roles["judge.cache"] == Role.PLACE
    assert roles["judge.model"] == roles["judge.prompt.text"] == Role.JUDGE
    assert roles["judge.name"] == roles["judge.limit"] == Role.JUDGE | Role.SHOWN
    elsewhere = settings | {"dataset.reader._target_": "not.installed.here.Reader"}
    assert role_of("dataset.reader.path", elsewhere) == Role.DATA


def test_a_subclass_need_not_repeat_the_role_of_a_field() -> None:
    class First(Component, role=Role.JUDGE):
        host: Annotated[str, Role.PLACE]

    class Second(First):
        host: str = "here"

    assert role_of_field(Second, "host") == Role.PLACE


def test_settings_are_picked_by_role() -> None:
    config = {"seed": 1, "trainer": {"max_steps": 2, "log_every_n_steps": 3}, "paths": {"root_dir": "/x"}}
    assert settings_with(config, SETTINGS) == {"seed": 1, "trainer.max_steps": 2}
    assert settings_with(config, Role.PLACE | Role.SHOWN) == {"trainer.log_every_n_steps": 3, "paths.root_dir": "/x"}


def test_what_tells_runs_apart() -> None:
    keys = ("seed", "dataset.prompt", "evaluation.baseline", "judge.model", "dataset.on_leak", "paths.root_dir")
    assert [is_setting(key, {}) for key in keys] == [True, True, True, False, False, False]


def test_what_makes_figures_less_comparable() -> None:
    assert all(map(changes_measurement, ("evaluation.max_length", "generation.top_k", "dataset.prompt")))
    besides = (
        "evaluation.baseline",
        "evaluation.probes",
        "evaluation.weights",
        "dataset.max_length",
        "judge.seed",
        "x",
    )
    assert not any(map(changes_measurement, besides))


def test_what_can_be_swept() -> None:
    for key in ("seed", "model", "dataset.path", "dataset.reader.path", "judge", "judge/prompt", "experiment"):
        assert can_be_swept(key), key
    for key in ("tracking.uri", "paths.root_dir", "sweep.metric", "launcher.n_jobs", "hydra/x", "audit.seed"):
        assert not can_be_swept(key), key


def test_what_can_be_searched() -> None:
    for key in ("optimizer.lr", "finetune", "model", "dataset.batch_size", "dataset.loss_on", "dataset.max_length"):
        assert can_be_searched(key), key
    for key in ("seed", "dataset.size", "evaluation.weights", "generation.top_k", "judge.model", "tracking.uri"):
        assert not can_be_searched(key), key
