"""The ranges of a search: Optuna's distributions, read from YAML, and their values as overrides."""

import contextlib
import json
import re
import warnings
from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import Field

from medft.config.section import Section

Value = str | int | float | bool | None


class _Range(Section):
    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None


class _Choices(Section):
    choices: list[Value] = Field(min_length=1)


def read_range(node: object) -> BaseDistribution:
    """Read a distribution from a mapping in YAML: of integers where all of its numbers are integers.

    Raises:
        ValueError: the mapping has neither ends nor choices, or Optuna refuses them.
    """
    if not isinstance(node, dict):
        raise ValueError("must be {low: ..., high: ...} or {choices: [...]}")
    if "choices" in node:
        choices = _Choices.model_validate(node).choices
        if len({repr(each) for each in choices}) < len(choices):
            raise ValueError("a choice stands there twice")
        return CategoricalDistribution(choices)
    ends = _Range.model_validate(node)
    low, high, log, step = ends.low, ends.high, ends.log, ends.step
    if low >= high:
        raise ValueError(f"low must be below high (got {low} and {high})")
    try:
        with warnings.catch_warnings():  # of an end that is not a whole number of steps away from the other
            warnings.simplefilter("error")
            if all(isinstance(each, int) for each in (low, high, step or 1)):
                return IntDistribution(low, high, log=log, step=step or 1)
            return FloatDistribution(low, high, log=log, step=step)
    except UserWarning as error:
        raise ValueError(str(error)) from None


def match_type(value: object, space: BaseDistribution) -> BaseDistribution:
    """The distribution with the type of the config's value: of floats where `value` is one."""
    if isinstance(space, IntDistribution) and isinstance(value, float):
        return FloatDistribution(space.low, space.high, log=space.log, step=space.step if space.step > 1 else None)
    return space


def list_ends(space: BaseDistribution) -> Sequence[Value]:
    """The values to try a config with before the first trial: both ends, or each choice."""
    return list(space.choices) if isinstance(space, CategoricalDistribution) else [space.low, space.high]


def suggest(trial: Any, key: str, space: BaseDistribution) -> Value:
    """The value of a key in an Optuna trial; one that it has already stays."""
    if isinstance(space, CategoricalDistribution):
        return trial.suggest_categorical(key, space.choices)  # type: ignore[no-any-return]
    number = trial.suggest_int if isinstance(space, IntDistribution) else trial.suggest_float
    return number(key, space.low, space.high, log=space.log, step=space.step)  # type: ignore[no-any-return]


def format_override(key: str, value: Value) -> str:
    """A value as a Hydra override that is read back as exactly the same value."""
    if value is None or isinstance(value, bool):
        return f"{key}={json.dumps(value)}"
    return f"{key}={_quote(value) if isinstance(value, str) else repr(value)}"


def format_value(value: Value) -> str:
    """A value for labels and tables: three digits of a float."""
    return f"{value:.3g}" if isinstance(value, float) else "null" if value is None else str(value)


def _quote(text: str) -> str:
    """The text, in quotes unless Hydra reads it as the same text without them."""
    with contextlib.suppress(HydraException):
        if OverridesParser.create().parse_overrides([f"key={text}"])[0].value() == text:
            return text
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + match[2].replace("'", "\\'"), text)
    return f"'{escaped}'"
