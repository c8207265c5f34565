"""The settings of a search and its ranges: conf/search/*.yaml or a file of the user's, and `search.KEY=VALUE`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from medft.config.compose import describe_errors, load_yaml
from medft.config.paths import conf_dir
from medft.config.section import Count, Positive, Section
from medft.errors import InputError
from medft.jobs.plan import Value

_METRIC = "val/loss"


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


def format_value(value: Value) -> str:
    """A value for labels and tables: three digits of a float."""
    return f"{value:.3g}" if isinstance(value, float) else "null" if value is None else str(value)


class SamplerConfig(Section):
    """`search.sampler`."""

    name: Literal["tpe", "random"]
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    startup_trials: Count


class PrunerConfig(Section):
    """`search.pruner`."""

    name: Literal["median", "hyperband", "none"]
    startup_trials: Annotated[int, Field(ge=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    reduction_factor: Annotated[int, Field(ge=2)]


class SearchConfig(Section):
    """The whole of a search file."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    trials: Count
    timeout: Positive | None
    metric: str
    direction: Literal["minimize", "maximize"]
    sampler: SamplerConfig
    pruner: PrunerConfig
    fixed: list[str]
    storage: Annotated[str, Field(pattern="://")] | None
    ranges: Annotated[dict[str, Annotated[BaseDistribution, BeforeValidator(read_range)]], Field(min_length=1)]

    @field_validator("metric")
    @classmethod
    def _check_metric(cls, metric: str) -> str:
        if metric.startswith("train/"):
            raise ValueError(f"{metric} is lowest for what learns the training rows by heart; search by {_METRIC}")
        if metric != _METRIC:
            raise ValueError(
                f"{metric} is no metric of the validation rows. Settings chosen by what is measured on the test rows "
                f"leak them, and the test result of the winner is too good; search by {_METRIC}"
            )
        return metric


def read_search(name: str, overrides: Sequence[Override]) -> SearchConfig:
    """A file of conf/search or of the user's, with overrides of `search.KEY` on top.

    Raises:
        InputError: there is no such file, or a line for each key that is wrong.
    """
    settings = _load(conf_dir() / "search" / "default.yaml", name)
    if name != "default":
        is_own = name.endswith((".yaml", ".yml"))
        settings = _merge(settings, _load(Path(name) if is_own else conf_dir() / "search" / f"{name}.yaml", name))
    for override in overrides:  # search.trials=5, search.pruner=none, search.pruner.warmup_steps=9
        section, _, key = override.key_or_group.removeprefix("search.").partition(".")
        if section == "ranges" and key:  # search.ranges.optimizer.lr.low=1
            key, _, end = key.rpartition(".")
            ranges = settings["ranges"]
            if key not in ranges:
                raise InputError(f"search.ranges.{key or end}: not among the ranges; there are {', '.join(ranges)}")
            settings["ranges"] = {**ranges, key: {**ranges[key], end: override.value()}}
        else:
            settings = _merge(settings, {section: {key: override.value()} if key else override.value()})
    try:
        return SearchConfig.model_validate(settings)
    except ValidationError as error:
        raise InputError("\n".join(f"search.{line}" for line in describe_errors(error, settings))) from None


def _load(file: Path, name: str) -> dict[str, Any]:
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in (conf_dir() / "search").glob("*.yaml")))
        raise InputError(f"search={name}: no such file; there are {known}, or give a file of your own, such as my.yaml")
    try:
        settings = OmegaConf.to_container(load_yaml(file, f"search={name}"), resolve=True)
    except OmegaConfBaseException as error:
        raise InputError(f"search={name}: {' '.join(str(error).split())}") from None
    assert isinstance(settings, dict)
    return {str(key): value for key, value in settings.items()}


def _merge(settings: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Sections key by key, but ranges whole; a sampler or pruner may be given by its name alone."""
    merged = settings | own
    for key in {"sampler", "pruner"} & own.keys():
        merged[key] = settings[key] | (own[key] if isinstance(own[key], dict) else {"name": own[key]})
    return merged
