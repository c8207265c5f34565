"""One job of a sweep or a search: its label, the command that repeats it alone, and its frozen config."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from medft.comparison.labels import shorten_keys
from medft.config.compose import validate
from medft.config.schema import Config, JobInfo
from medft.runs.provenance import command_line

JOB = "job.yaml"
_SWEEP_KEYS = ("hydra.", "hydra/", "sweep.", "sweep/", "launcher=", "launcher.")
_MAX_LENGTH = 120  # characters of a folder's name


@dataclass(frozen=True)
class Job:
    """A job with its final config.

    Attributes:
        number: its place among the jobs, from 0.
    """

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
    """Write a job's config down, resolved, so that nothing edited while a sweep runs changes its later jobs."""
    job.folder.mkdir(parents=True, exist_ok=True)
    frozen = {"job": job.config.job.model_dump(), "config": job.config.resolved}
    (job.folder / JOB).write_text(yaml.safe_dump(frozen, sort_keys=False, allow_unicode=True), encoding="utf-8")


def load_frozen(folder: Path) -> Config:
    """The config of the job that was frozen in a folder."""
    frozen = yaml.safe_load((folder / JOB).read_text(encoding="utf-8"))
    return validate(frozen["config"]).as_job(JobInfo.model_validate(frozen["job"]), folder)


def job_label(values: Mapping[str, str]) -> str:
    """The swept values of a job as its name, such as `max_length=512, seed=1`."""
    return ", ".join(f"{short}={value}" for short, value in values.items()) or "the only job"


def swept_values(overrides: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """The value of each swept key under its short name, in an order that the command line does not change."""
    parsed = {each.key_or_group: each for each in OverridesParser.create().parse_overrides(list(overrides))}
    names = shorten_keys(keys)
    ordered = sorted((key for key in keys if key in parsed), key=lambda key: (key == "seed", key))
    return {names[key]: parsed[key].get_value_element_as_str() for key in ordered}


def job_command(overrides: Sequence[str]) -> str:
    """The command that runs the job alone."""
    return command_line("medft train", [each for each in overrides if not each.lstrip("+~").startswith(_SWEEP_KEYS)])


def folder_name(label: str) -> str:
    """A label as the name of a folder, which other labels do not share."""
    plain = label.replace(", ", ",")
    safe = re.sub(r"[^A-Za-z0-9=._,+-]+", "_", plain)[:_MAX_LENGTH].strip(".") or "job"
    return safe if safe == plain else f"{safe}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
