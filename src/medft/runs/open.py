"""Finished runs: their logged config, with overrides on top, and their artifacts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from medft.config.check import check
from medft.config.compose import compose_config, compose_raw
from medft.config.paths import conf_dir
from medft.config.schema import Config
from medft.errors import InputError
from medft.runs.store import connect, tracking_uri
from medft.runs.tracker import Tracker


@dataclass(frozen=True)
class FinishedRun:
    """A run that MLflow knows.

    Attributes:
        config: as the run logged it, with overrides.
        tracker: logs to the run without changing its status.
    """

    config: Config
    tracker: Tracker


def open_run(run_id: str, overrides: Sequence[str]) -> FinishedRun:
    """Find a run and read its config.

    Args:
        overrides: Hydra overrides on top of the logged config: `judge=ollama`, `generation.max_new_tokens=64`.

    Raises:
        InputError: there is no such run here, or an override does not fit.
    """
    places = [each for each in overrides if each.startswith(("tracking.uri=", "paths."))]
    tracker = _find(compose_config(places), run_id)
    logged = OmegaConf.load(tracker.artifact("config.yaml"))
    assert isinstance(logged, DictConfig)
    config = check(override_config(logged, overrides))
    tracker.folder = config.paths.output
    return FinishedRun(config, tracker)


def read_logged_split(config: Config, run_id: str) -> dict[str, list[str]]:
    """The ids of each split that a run logged as split.json, looked up where `config` tracks.

    Raises:
        InputError: there is no such run, or it logged no split.
    """
    key = "dataset.split.from_run"
    split = json.loads(_find(config, run_id, key).artifact("split.json", key).read_text(encoding="utf-8"))
    return {name: list(split[name]) for name in ("train", "validation", "test")}


def _find(config: Config, run_id: str, key: str = "run") -> Tracker:
    """A tracker of the run; `key` is where the user named it."""
    import mlflow

    client = connect(config)
    try:
        client.get_run(run_id)
    except mlflow.exceptions.MlflowException:
        raise InputError(f"{key}={run_id}: no such run in {tracking_uri(config)}") from None
    return Tracker(client, run_id, config.paths.output)


def split_arguments(argv: Sequence[str], usage: str) -> tuple[str, list[str], list[str]]:
    """(run id, overrides, what is neither) of a command line.

    Raises:
        InputError: there is no `run=<id>`; shows `usage`.
    """
    overrides = [each for each in argv if "=" in each and " " not in each.split("=")[0]]
    runs = [each.removeprefix("run=") for each in overrides if each.startswith("run=")]
    if len(runs) != 1 or not runs[0]:
        raise InputError(f"usage: {usage}")
    others = [each for each in argv if each not in overrides]
    return runs[0], [each for each in overrides if not each.startswith("run=")], others


def override_config(logged: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A logged config with overrides: a group's name puts that file of `conf/` in place, a key changes a value."""
    OmegaConf.set_struct(logged, True)
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException as error:
        raise InputError(" ".join(str(error).split())) from None
    groups = [override for override in parsed if (conf_dir() / override.key_or_group).is_dir()]
    if groups:
        composed = compose_raw([override.input_line or "" for override in groups])
        for override in sorted(groups, key=lambda group: group.key_or_group.count("/")):
            key = override.key_or_group.replace("/", ".")
            _put(logged, key, OmegaConf.select(composed, key))
    for override in parsed:
        if override not in groups:
            _put(logged, override.key_or_group, override.value())
    return logged


def _put(logged: DictConfig, key: str, value: Any) -> None:
    parent, _, name = key.rpartition(".")
    section = OmegaConf.select(logged, parent) if parent else logged
    if not isinstance(section, DictConfig) or name not in section.keys():  # noqa: SIM118 - `in` skips ???
        raise InputError(f"{key}: no such key in the run's config")
    OmegaConf.update(logged, key, value, merge=False)
