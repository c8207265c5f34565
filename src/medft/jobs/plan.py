"""The jobs of a command line: composed and checked before the first is run, each with a label and a frozen config."""

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from hydra.errors import HydraException
from hydra.types import RunMode

from medft.comparison.labels import shorten_keys
from medft.config.compose import (
    CHOSEN,
    check_composed,
    choose_larger_data,
    compose_config,
    compose_raw,
    parse_overrides,
    validate,
)
from medft.config.environment import SECRETS, collect_secrets, list_addresses, reveal
from medft.config.launchers import JobInfo
from medft.config.roles import can_be_swept
from medft.config.schema import Config
from medft.errors import InputError
from medft.runs.provenance import command_line
from medft.secrets import hide_passwords

Value = str | int | float | bool | None
JOB = "job.yaml"
_SWEEP_KEYS = ("hydra.", "hydra/", "sweep.", "sweep/", "launcher=", "launcher.")
_ALONE = "hydra.mode=RUN"
_MAX_LENGTH = 120  # characters of a folder's name


@dataclass(frozen=True)
class Job:
    """A job with its final config; its number is its place among the jobs, from 0."""

    number: int
    config: Config

    @property
    def label(self) -> str:
        """Its name in its sweep."""
        return self.config.job.label

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return self.config.paths.output


def make_job(number: int, config: Config, info: JobInfo, sweep_folder: Path) -> Job:
    """A job in a folder of its own under its sweep's."""
    return Job(number, config.as_job(info, sweep_folder / folder_name(info.label)))


def freeze(job: Job) -> None:
    """Write a job's config down, so that nothing edited while a sweep runs changes its later jobs.

    Its secrets are not written; the job's process gets them through its environment.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    config = job.config
    secrets = _read_secrets() | collect_secrets(config.logged, config.resolved)
    os.environ[SECRETS] = json.dumps(secrets)
    frozen = {"job": config.job.model_dump(), "config": config.logged}
    (job.folder / JOB).write_text(yaml.safe_dump(frozen, sort_keys=False, allow_unicode=True), encoding="utf-8")


def load_frozen(folder: Path) -> Config:
    """The config of the job that was frozen in a folder."""
    frozen = yaml.safe_load((folder / JOB).read_text(encoding="utf-8"))
    config = validate(reveal(frozen["config"], list_addresses(), _read_secrets()), frozen["config"])
    return config.as_job(JobInfo.model_validate(frozen["job"]), folder)


def _read_secrets() -> dict[str, Any]:
    return dict(json.loads(os.environ.get(SECRETS, "{}")))


def job_label(values: Mapping[str, str]) -> str:
    """The swept values of a job as its name, such as `max_length=512, seed=1`."""
    return ", ".join(f"{short}={value}" for short, value in values.items()) or "the only job"


def swept_values(overrides: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """The value of each swept key under its short name, in an order that the command line does not change."""
    given = {each.key_or_group: each for each in parse_overrides(overrides)}
    names = shorten_keys(keys)
    ordered = sorted(given.keys() & set(keys), key=lambda key: (key == "seed", key))
    return {names[key]: hide_passwords(given[key].get_value_element_as_str()) for key in ordered}


def job_command(overrides: Sequence[str], in_experiment: bool = False) -> str:
    """The command that runs the job alone.

    Args:
        in_experiment: whether it is the experiment's own file that makes a sweep of it.
    """
    own = [each for each in overrides if not each.lstrip("+~").startswith(_SWEEP_KEYS)]
    return command_line("medft train", [*own, *([_ALONE] if in_experiment else [])])


def folder_name(label: str) -> str:
    """A label as the name of a folder, which other labels do not share."""
    plain = label.replace(", ", ",")
    safe = re.sub(r"[^A-Za-z0-9=._,+-]+", "_", plain)[:_MAX_LENGTH].strip(".") or "job"
    return safe if safe == plain else f"{safe}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Plan:
    """The jobs of a command line."""

    is_sweep: bool  # whether there may be several (-m, or `hydra.mode: MULTIRUN` in an experiment)
    jobs: list[list[str]]  # the overrides of each
    keys: list[str]  # what is swept, in the order it was given
    fixed: list[str]  # the overrides that all jobs share
    in_experiment: bool  # whether an experiment's file says that it is a sweep
    configs: list[Config]  # of the jobs; that of a run of its own has its folder

    @property
    def identity(self) -> str:
        """SHA-256 (16 hex digits) of what the sweep holds fixed and which keys it varies, not of their values: a
        command line with more values resumes the same sweep.
        """
        fixed = sorted(each for each in self.fixed if can_be_swept(each.partition("=")[0]))
        facts = {"fixed": fixed, "keys": sorted(self.keys), "experiment": self.configs[0].tracking.experiment_name}
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]

    def make_jobs(self, parent: str, folder: Path) -> list[Job]:
        """The jobs of the sweep whose MLflow run is `parent`, each in a folder of its own under `folder`."""
        jobs = []
        for number, (overrides, config) in enumerate(zip(self.jobs, self.configs, strict=True)):
            values = swept_values(overrides, self.keys)
            info = JobInfo(
                parent=parent,
                label=job_label(values),
                values=values,
                command=job_command(overrides, self.in_experiment),
            )
            jobs.append(make_job(number, config, info, folder))
        return jobs


def plan(overrides: Sequence[str], multirun: bool) -> Plan:
    """Compose and check every job the command line stands for.

    Raises:
        InputError: the first job that is wrong, with its overrides when there are several.
    """
    parsed = parse_overrides(overrides)
    fixed = [each for each in parsed if not each.is_sweep_override()]
    composed = compose_raw([each.input_line or "" for each in fixed], with_hydra=True)
    if not multirun and composed.hydra.mode != RunMode.MULTIRUN:
        if len(fixed) < len(parsed):
            compose_raw(overrides)  # raises: several values need --multirun
        config = check_composed(composed, overrides)
        folder = choose_folder(config, Path(composed.hydra.run.dir).resolve())
        config = config.as_job(JobInfo(command=command_line("medft train", overrides)), folder)
        return Plan(False, [list(overrides)], [], list(overrides), False, [config])
    if composed.hydra.runtime.choices["hydra/launcher"] != "basic":
        raise InputError("hydra/launcher: jobs are started by launcher=local, launcher=slurm or launcher=ray")
    committed = composed.hydra.sweeper.get("params") or {}
    choices: dict[str, list[str]] = {}
    swept: dict[str, Override] = {}
    for override in [*parse_overrides([f"{key}={value}" for key, value in committed.items()]), *parsed]:
        key = override.get_key_element()
        choices[key] = _list_choices(override)
        swept.pop(key, None)
        if override.is_sweep_override():
            swept[key] = override
    keys = [override.key_or_group for override in swept.values()]
    for key in keys:
        if not can_be_swept(key):
            raise InputError(f"{key}: cannot be swept; give it one value")
    if empty := next((key for key, lines in choices.items() if not lines), None):
        raise InputError(f"{empty}: a sweep over no value; say some, such as {empty}=1,2,3")
    jobs = [list(combination) for combination in itertools.product(*choices.values())]
    constant = [line for key, lines in choices.items() if key not in swept for line in lines]
    sizes = (line.partition("=")[2] for line in choices.get("dataset.size", ()))
    configs = _compose_jobs(jobs, keys, max((int(size) for size in sizes if size.isdecimal()), default=0))
    has_larger_data = [CHOSEN in config.tracking.tags for config in configs]
    # a job that is repeated alone does not know the sizes of the others
    jobs = [choose_larger_data(job) if larger else job for job, larger in zip(jobs, has_larger_data, strict=True)]
    fixed_lines = choose_larger_data(constant) if all(has_larger_data) else constant
    return Plan(True, jobs, keys, fixed_lines, composed.hydra.mode == RunMode.MULTIRUN, configs)


def check_launcher(config: Config) -> None:
    """Make sure that jobs can be started, and that what they log to is fit for it.

    Raises:
        InputError: what the launcher needs is not installed, or jobs may run on other machines and runs would be kept
            in a database file, which is for one machine: over a network disk, writers from several spoil it.
    """
    launcher = config.launcher
    if launcher.name == "local":
        return
    module = "submitit" if launcher.name == "slurm" else "ray"
    if find_spec(module) is None:
        raise InputError(f"launcher={launcher.name}: {module} is not installed; pip install 'medft[{launcher.name}]'")
    if launcher.is_elsewhere and config.tracking.uri is None:
        raise InputError(
            f"launcher={launcher.name}: jobs on other machines need a server to log to, MLFLOW_TRACKING_URI=http://"
            "HOST:5000 (docs/cluster.md); if all of them run on this one, tracking.uri=sqlite:////DIRECTORY/mlflow.db"
        )


def format_override(key: str, value: Value) -> str:
    """A value as a Hydra override that is read back as exactly the same value."""
    if value is None or isinstance(value, bool):
        return f"{key}={json.dumps(value)}"
    return f"{key}={_quote(value) if isinstance(value, str) else repr(value)}"


def range_argument(override: Override) -> str:
    """How `medft search` is told to search what an override sweeps."""
    value = override.value()
    space = f"low: {value.start:g}, high: {value.end:g}" if isinstance(value, IntervalSweep) else "choices: [...]"
    return f"'search.ranges={{{override.key_or_group}: {{{space}}}}}'"


def choose_folder(config: Config, new: Path) -> Path:
    """Where a run of its own writes: the folder that its config names, that of the run it resumes, or a new one."""
    if config.paths.output_dir:
        return Path(config.paths.output_dir)
    if config.trainer.resume_from:
        return Path(config.trainer.resume_from).resolve().parents[1]
    return new


def _compose_jobs(jobs: Sequence[list[str]], keys: Sequence[str], largest_size: int) -> list[Config]:
    """The configs of all jobs.

    Args:
        largest_size: the largest `dataset.size` that an override says. One that an experiment says may be larger, and
            then decides.
    """
    configs: list[Config] = []
    for number, job in enumerate(jobs):
        try:
            configs.append(compose_config(job, largest_size))
        except InputError as error:
            label = job_label(swept_values(job, keys))
            raise InputError(str(error) if len(jobs) == 1 else f"job {number} ({label}): {error}") from None
        if configs[-1].trainer.resume_from:
            raise InputError("trainer.resume_from cannot be used in a sweep, which resumes interrupted jobs itself")
    asked = [config.dataset.size or 0 for config in configs if CHOSEN in config.tracking.tags]
    if len(asked) < len(configs) and max(asked, default=0) > largest_size:
        return _compose_jobs(jobs, keys, max(asked))
    check_launcher(configs[0])
    return configs


def _list_choices(override: Override) -> list[str]:
    """The values of a key, each as an override, as Hydra's basic sweeper makes them."""
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if not override.is_discrete_sweep():
        raise InputError(
            f"{override.key_or_group}: a sweep takes values, such as 1,2,3; ranges are for medft search, under "
            f"search.ranges: {range_argument(override)}"
        )
    if isinstance(override.value(), Glob):
        raise InputError(f"{override.input_line}: a sweep takes names, not patterns: {override.key_or_group}=A,B")
    return [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]


def _quote(text: str) -> str:
    """The text, in quotes unless Hydra reads it as the same text without them."""
    with contextlib.suppress(HydraException):
        if OverridesParser.create().parse_overrides([f"key={text}"])[0].value() == text:
            return text
    escaped = re.sub(r"(\\*)('|$)", lambda match: match[1] * 2 + match[2].replace("'", "\\'"), text)
    return f"'{escaped}'"
