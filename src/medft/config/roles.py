"""What the roles of the config's keys decide: which settings make two runs the same, what may be swept or searched.

`Role` says what each is; the schema gives every key one. Whoever needs to know what a key means asks here.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from medft.config.schema import Config
from medft.config.section import Component, Role, find_class, role_of_field, sections_in

# A run with these the same is the same run. Data count by their content, the fingerprint, not by where they lie.
SETTINGS = Role.DATA | Role.LEARNED | Role.MEASURED
SEED, TRAIN_SEED = "seed", "dataset.train_seed"
SEEDS = (SEED, TRAIN_SEED)  # runs that differ in nothing else are repetitions of one setting


def role_of(key: str, settings: Mapping[str, Any] | None = None) -> Role | None:
    """The role of a key, or of a config group; None if the schema has no such key.

    Args:
        key: dotted, or as an override names it: `+judge/prompt`.
        settings: the config that the key is of, flat. Its `_target_`s say whose options those of a reader and a judge
            are; without it they have the role of the whole.
    """
    parts = _parts(key)
    if parts[0] == "hydra":
        return Role.PLACE  # where runs write and how their jobs are started
    sections: list[type[BaseModel]] = [Config]
    role: Role | None = None
    for depth, part in enumerate(parts):
        owners = [section for section in sections if part in section.model_fields]
        if not owners:
            is_free = not sections or any(issubclass(section, Component) for section in sections)
            return role if is_free else None  # a key of `model.shape`, an option of somebody's reader
        role = role_of_field(owners[0], part, role)
        sections = [section for owner in owners for section in sections_in(owner.model_fields[part].annotation)]
        target = (settings or {}).get(".".join([*parts[: depth + 1], "_target_"]))
        if target:
            with suppress(ValueError):  # a run may come from where there are other classes
                sections = [find_class(target, each) if issubclass(each, Component) else each for each in sections]
    return role


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of a nested config with its dotted key."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def settings_with(config: Mapping[str, Any], roles: Role) -> dict[str, Any]:
    """The values of all keys of a nested config, or of parts of it, that have one of some roles, by dotted key."""
    flat = dict(flatten(config))
    return {key: value for key, value in flat.items() if (role_of(key, flat) or Role(0)) & roles}


def is_setting(key: str, settings: Mapping[str, Any]) -> bool:
    """Whether a key can tell runs apart: it changes what is learned or measured."""
    return bool((role_of(key, settings) or Role(0)) & SETTINGS)


def changes_measurement(key: str) -> bool:
    """Whether a key, where runs differ in it, makes their figures less comparable."""
    role = role_of(key) or Role(0)
    return Role.MEASURED in role and not role & (Role.LEARNED | Role.SHOWN)


def can_be_swept(key: str) -> bool:
    """Whether the jobs of a sweep may differ in a key or a group. A sweep is one experiment in one place, and what is
    only shown makes no other job of it; but the data of each may lie elsewhere.
    """
    role, section = role_of(key), role_of(_parts(key)[0])
    if role is None or section is None:
        return True  # `experiment`; composing it says what is wrong with others
    return bool(role & (SETTINGS | Role.JUDGE)) or (Role.PLACE in role and bool(section & (SETTINGS | Role.JUDGE)))


def can_be_searched(key: str) -> bool:
    """Whether the validation loss can say which value of a key or a group is better. It cannot for data, which it is
    measured on, nor for the seed, which says nothing of new questions.
    """
    return role_of(key) in (Role.LEARNED, None) and key not in SEEDS


def _parts(key: str) -> list[str]:
    return key.lstrip("+~").replace("/", ".").split(".")
