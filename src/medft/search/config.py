"""What a search is told by conf/search/*.yaml, a file of the user's, and `search.KEY=VALUE` on the command line."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BeforeValidator, Field, ValidationError, field_validator
from yaml import YAMLError

from medft.config.check import error_lines
from medft.config.paths import conf_dir
from medft.config.schema import Count, NotNegative, Positive, Section
from medft.errors import InputError
from medft.search.space import Space, space_of

_METRIC = "val/loss"


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

    trials: Count
    timeout: Positive | None
    n_jobs: Count
    time_limit: Positive | None
    grace: NotNegative
    metric: str
    direction: Literal["minimize", "maximize"]
    sampler: SamplerConfig
    pruner: PrunerConfig
    fixed: list[str]
    storage: Annotated[str, Field(pattern="://")] | None
    ranges: Annotated[dict[str, Annotated[Space, BeforeValidator(space_of)]], Field(min_length=1)]

    @field_validator("metric")
    @classmethod
    def _of_validation_rows(cls, metric: str) -> str:
        if metric == _METRIC:
            return metric
        if metric.startswith("train/"):
            raise ValueError(f"{metric} is lowest for what learns the training rows by heart; search by {_METRIC}")
        raise ValueError(
            f"{metric} is no metric of the validation rows. Settings chosen by what is measured on the test rows "
            f"leak them, and the test result of the winner is too good; search by {_METRIC}"
        )

    @classmethod
    def read(cls, name: str, overrides: Sequence[Override]) -> Self:
        """A file of conf/search or of the user's, with overrides of `search.KEY` on top.

        Raises:
            InputError: there is no such file, or a line for each key that is wrong.
        """
        settings = _load(conf_dir() / "search" / "default.yaml", name)
        if name != "default":
            own = _load(_file(name), name)
            if "ranges" in own:  # they are taken whole
                settings.pop("ranges")
            settings = _merged(settings, own)
        for override in overrides:
            _put(settings, override)
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise InputError("\n".join(f"search.{line}" for line in error_lines(error))) from None


def _file(name: str) -> Path:
    is_own = name.endswith((".yaml", ".yml"))
    file = Path(name) if is_own else conf_dir() / "search" / f"{name}.yaml"
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in (conf_dir() / "search").glob("*.yaml")))
        raise InputError(f"search={name}: no such file; there are {known}, or give a file of your own, such as my.yaml")
    return file


def _load(file: Path, name: str) -> dict[str, Any]:
    try:
        found = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise InputError(f"search={name}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise InputError(f"search={name}: not a mapping of keys to values")
    return {str(key): value for key, value in found.items()}


def _merged(settings: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Sections key by key; a sampler or pruner may be given by its name alone."""
    merged = dict(settings)
    for key, value in own.items():
        before = merged.get(key)
        if key in ("sampler", "pruner") and isinstance(value, str):
            value = {"name": value}
        both = key != "ranges" and isinstance(before, dict) and isinstance(value, dict)
        merged[key] = {**before, **value} if both and before is not None else value
    return merged


def _put(settings: dict[str, Any], override: Override) -> None:
    """`search.trials=5`, `search.pruner=none`, `search.pruner.warmup_steps=9`, `search.ranges.seed.low=1`."""
    key, value = override.key_or_group.removeprefix("search."), override.value()
    section, _, rest = key.partition(".")
    if section == "ranges" and rest:
        name, _, end = rest.rpartition(".")
        ranges = settings["ranges"]
        if name not in ranges:
            raise InputError(f"search.ranges.{name or rest}: not among the ranges; there are {', '.join(ranges)}")
        settings["ranges"] = {**ranges, name: {**ranges[name], end: value}}
        return
    settings.update(_merged(settings, {section: {rest: value} if rest else value}))
