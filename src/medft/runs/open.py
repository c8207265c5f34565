"""Finished runs: their logged config, with overrides on top, and their artifacts."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from medft.config.compose import check, compose_config, compose_raw, load_yaml, parse_overrides
from medft.config.environment import guard, list_addresses, reveal
from medft.config.paths import conf_dir
from medft.config.schema import Config
from medft.errors import InputError, TrackerUnavailable
from medft.runs.delivery import deliver, find_mlflow_id
from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun
from medft.runs.query import LAST, PLACES, SPLIT_RUN, RunStore
from medft.runs.remote_run import RemoteRun, StoredRun, adopt
from medft.runs.state import FINISHED
from medft.runs.store import connect
from medft.secrets import fill_passwords, map_texts


@dataclass(frozen=True)
class FinishedRun:
    """A run with its config.

    Attributes:
        config: as the run logged it, with overrides; of a run of another machine with the places of this one.
    """

    config: Config
    stored: StoredRun

    def describe(self) -> str:
        """The run in a line: its model, its data, its id."""
        model, data = self.config.model.name, self.config.dataset.name
        return f"{model} fine-tuned on {data}, run {self.stored.run_id[:8]}"


def open_run(name: str, overrides: Sequence[str]) -> FinishedRun:
    """Find a run and read its config.

    Args:
        name: `last`, an id or a unique beginning of one, or the run's name.
        overrides: Hydra overrides on top of the logged config: `judge=ollama`, `generation.max_new_tokens=64`.

    Raises:
        InputError: there is no such run here, it is a sweep, or an override does not fit.
    """
    store = RunStore(compose_config([each for each in overrides if each.startswith(PLACES)]))
    run, own = store.find_run(name), store.config
    if run.state.kind:
        jobs = [job for job in store.find_children(run.run_id) if job.state.status == FINISHED]
        such = f", such as run={jobs[-1].run_id} ({jobs[-1].state.label})" if jobs else ""
        raise InputError(f"run={name}: it is a {run.state.kind}; choose one of its jobs{such}: medft runs --jobs")
    logged, addresses = read_logged(run), list_addresses(own.tracking.uri)
    if isinstance(run, LocalRun) and store.knows(run):
        logged = reveal(logged, addresses, strict=False)
    else:
        # the folders of another machine are not here, nor does somebody else's folder say where our passwords are sent
        ours = ("tracking", "judge", "paths") if isinstance(run, LocalRun) else ("tracking", "paths")
        logged |= {key: own.resolved[key] for key in ours}
        logged = map_texts(lambda text: fill_passwords(text, addresses), logged)
    return FinishedRun(check(override_config(OmegaConf.create(guard(logged)), overrides)), run)


def open_for_writing(run: FinishedRun) -> LocalRun:
    """The run itself, or a copy in a folder of its own where it was made elsewhere or by somebody else.

    Raises:
        InputError: there is no room for a copy.
    """
    stored = run.stored
    if isinstance(stored, LocalRun) and os.access(stored.folder, os.W_OK):
        return stored
    index, client = RunIndex(Path(run.config.paths.root_dir)), connect(run.config)
    if ahead := index.find_copy_ahead(stored.run_id):
        copy = LocalRun(ahead)
        try:
            deliver(copy, client)
        except TrackerUnavailable:  # what others have logged meanwhile comes later
            return copy
    mlflow_id = find_mlflow_id(stored, client) if isinstance(stored, LocalRun) else stored.mlflow_id
    folder = index.name_copy(stored.run_id)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"paths.root_dir={run.config.paths.root_dir}: what is logged to a run of elsewhere needs a folder here "
            f"({error.strerror})"
        ) from None
    return adopt(RemoteRun(client, client.get_run(mlflow_id)), run.config, folder)


def read_logged(run: StoredRun) -> dict[str, Any]:
    """The config that a run has logged, with the names of environment variables and without passwords.

    Raises:
        InputError: it has logged none, or it is none.
    """
    logged = OmegaConf.to_container(load_yaml(run.artifact("config.yaml"), f"run={run.run_id}: config.yaml"))
    assert isinstance(logged, dict)
    return {str(key): value for key, value in logged.items()}


def read_logged_split(config: Config, name: str) -> dict[str, list[str]]:
    """The ids of each split that a run logged as split.json, looked up where `config` tracks.

    Raises:
        InputError: there is no such run, or it logged no split.
    """
    if name == LAST:
        raise InputError(f"{SPLIT_RUN}={LAST}: in a file it means another run each time; give the id of the run")
    run = RunStore(config).find_run(name, SPLIT_RUN)
    split = json.loads(run.artifact("split.json", SPLIT_RUN).read_text(encoding="utf-8"))
    return {name: list(split[name]) for name in ("train", "validation", "test")}


def override_config(logged: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """A logged config with overrides: a group's name puts that file of `conf/` in place, a key changes a value."""
    OmegaConf.set_struct(logged, True)
    parsed = parse_overrides(overrides)
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
