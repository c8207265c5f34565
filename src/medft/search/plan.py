"""The plan of a search, read from its command line and checked before the first trial."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, distribution_to_json

from medft.config.compose import compose_config, compose_raw, parse_overrides
from medft.config.roles import SEEDS, can_be_searched, can_be_swept, role_of, settings_with
from medft.config.schema import Config
from medft.config.section import Role
from medft.console import track
from medft.errors import InputError
from medft.files import json_digest
from medft.jobs.plan import Value, check_launcher, format_override, range_argument
from medft.search.config import SearchConfig, list_ends, match_type, read_search


@dataclass(frozen=True)
class SearchPlan:
    """A search."""

    settings: SearchConfig
    own: list[str]  # the user's overrides, which the best settings are trained with too
    fixed: list[str]  # the search file's overrides that the user has not replaced, then `own`
    in_experiment: bool  # whether an experiment among them is a sweep, which one trial is not
    ranges: dict[str, BaseDistribution]  # by key, without keys that the user fixed
    config: Config  # at one point of the ranges
    resource: int  # validations of a whole trial, the most over the ends of the ranges

    @property
    def identity(self) -> str:
        """SHA-256 (16 hex digits) of what makes a search this one: what it holds fixed, its ranges and its metric."""
        facts = {
            "search": sorted(each for each in self.fixed if can_be_swept(each.partition("=")[0])),
            "ranges": {key: distribution_to_json(space) for key, space in self.ranges.items()},
            "metric": [self.settings.metric, self.settings.direction],
            "experiment": self.config.tracking.experiment_name,
        }
        return json_digest(facts)


def plan_search(arguments: Sequence[str]) -> SearchPlan:
    """Read, compose and check everything that a search needs.

    Raises:
        InputError: a line for what is wrong: a key, a file, an end of a range.
    """
    parsed = _parse(arguments)
    about = [each for each in parsed if each.key_or_group == "search" or each.key_or_group.startswith("search.")]
    own = {each.get_key_element(): each for each in parsed if each not in about}
    names = [each for each in about if each.key_or_group == "search"]
    name = str(names[-1].value()) if names else "default"
    settings = read_search(name, [each for each in about if each not in names])
    fixed = {each.get_key_element(): each for each in _parse(settings.fixed)} | own
    metric = [f"sweep.metric={settings.metric}", f"sweep.direction={settings.direction}"]  # for the tables of a sweep
    own_lines = [each.input_line or "" for each in own.values()] + metric
    fixed_lines = [each.input_line or "" for each in fixed.values()] + metric
    given = {each.key_or_group for each in fixed.values()}
    ranges = {key: space for key, space in settings.ranges.items() if key not in given}
    if not ranges:
        raise InputError(f"search={name}: every range is fixed by an override; nothing is left to search")
    ranges = _check_ranges(ranges, fixed_lines)
    configs = _compose_ends(ranges, fixed_lines)
    check_launcher(configs[0])
    if configs[0].launcher.n_jobs is None:
        raise InputError("launcher.n_jobs: a search needs a number, as trials learn from those that have ended")
    resource = max(each.trainer.max_epochs * each.trainer.val_checks_per_epoch for each in configs)
    in_experiment = compose_raw(fixed_lines, with_hydra=True).hydra.mode == RunMode.MULTIRUN
    return SearchPlan(settings, own_lines, fixed_lines, in_experiment, ranges, configs[0], resource)


def format_overrides(values: Mapping[str, Value]) -> list[str]:
    """The overrides of a trial's values."""
    return [format_override(key, value) for key, value in values.items()]


def _check_ranges(ranges: Mapping[str, BaseDistribution], fixed: Sequence[str]) -> dict[str, BaseDistribution]:
    """The ranges with the types of the config's values; refuses keys that cannot be searched."""
    for key in ranges:
        if key in SEEDS:
            raise InputError(
                f"search.ranges.{key}: the luckiest seed says nothing about new questions; search first, then run the "
                "best settings with several: medft train -m seed=1,2,3 ..."
            )
        role = role_of(key) or Role(0)
        if not can_be_searched(key) and Role.DATA not in role:  # of data, `_compose_ends` says why
            why = "cannot be searched" if Role.PLACE in role else "val/loss does not depend on it"
            raise InputError(f"search.ranges.{key}: {why}; give it one value")
    groups = [format_override(key, list_ends(space)[0]) for key, space in ranges.items() if "." not in key]
    raw = compose_raw([*fixed, *groups])
    return {key: match_type(OmegaConf.select(raw, key), space) for key, space in ranges.items()}


def _compose_ends(ranges: Mapping[str, BaseDistribution], fixed: Sequence[str]) -> list[Config]:
    """The configs at each end of each range, with the other ranges at their first end."""
    start = {key: list_ends(space)[0] for key, space in ranges.items()}
    configs = [_compose_point(fixed, start, next(iter(start)))]
    points = [(key, value) for key, space in ranges.items() for value in list_ends(space)[1:]]
    for key, value in track(points, "checking the ranges"):
        configs.append(_compose_point(fixed, {**start, key: value}, key))
        if _select_data_settings(configs[-1]) != _select_data_settings(configs[0]):
            raise InputError(
                f"search.ranges.{key}: val/loss is measured on other text where {key} is another, so trials cannot be "
                "compared by it; give it one value"
            )
    return configs


def _compose_point(fixed: Sequence[str], values: Mapping[str, Value], key: str) -> Config:
    try:
        config = compose_config([*fixed, *format_overrides(values)])
    except InputError as error:
        of_a_range = key != next(iter(values)) or str(error).startswith(tuple(values))
        raise InputError(f"search.ranges.{key}={values[key]}: {error}" if of_a_range else str(error)) from None
    if config.trainer.resume_from:
        raise InputError("trainer.resume_from: a search resumes interrupted trials itself; repeat its command")
    return config


def _select_data_settings(config: Config) -> dict[str, object]:
    """The settings that decide which tokens val/loss is a mean over."""
    tokenizer_of = config.model.source if config.model.tokenizer == "own" else None
    return {**settings_with(config.resolved, Role.DATA), "tokenizer": tokenizer_of}


def _parse(arguments: Sequence[str]) -> list[Override]:
    parsed = parse_overrides(arguments)
    for each in parsed:
        if each.is_sweep_override():
            raise InputError(
                f"{each.key_or_group}: one value here fixes it; what is searched is given under search.ranges: "
                f"{range_argument(each)}, or in a file, search=my.yaml"
            )
    return parsed
