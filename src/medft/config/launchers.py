"""The typed schema of `launcher=local|slurm|ray`: where jobs of a sweep run, how many at once, what each is told."""

import os
from typing import Annotated, Literal

from pydantic import Field

from medft.config.section import Count, NotNegative, Positive, Role, Section


class JobInfo(Section):
    """What a sweep or search tells one of its jobs. It is no part of the user's config."""

    parent: str | None = None  # the MLflow run of the sweep; None = this is a run of its own
    label: str = ""  # what the job is called in it
    values: dict[str, str] = Field(default_factory=dict)  # of the swept keys, by their short names
    command: str = ""  # that runs the job alone


class LocalLauncherConfig(Section, role=Role.PLACE):
    name: Literal["local"]
    n_jobs: Count
    time_limit: Positive | None
    grace: NotNegative

    @property
    def is_elsewhere(self) -> bool:
        """Whether jobs may run on other machines."""
        return False


class SlurmLauncherConfig(Section, role=Role.PLACE):
    name: Literal["slurm"]
    cluster: Literal["slurm", "local"]
    n_jobs: Count | None
    timeout_min: Count
    signal_delay_s: Annotated[int, Field(ge=0)]
    partition: str | None
    gpus: Count | None
    cpus: Count | None
    mem_gb: Positive | None
    sbatch: dict[str, str | int | float | bool]

    @property
    def is_elsewhere(self) -> bool:
        """Whether jobs may run on other machines."""
        return self.cluster == "slurm"


class RayLauncherConfig(Section, role=Role.PLACE):
    name: Literal["ray"]
    address: Annotated[str, Field(min_length=1)] | None
    n_jobs: Count | None
    cpus: NotNegative
    gpus: NotNegative
    time_limit: Positive | None
    grace: NotNegative

    @property
    def is_elsewhere(self) -> bool:
        """Whether jobs may run on other machines."""
        return (self.address or os.environ.get("RAY_ADDRESS")) not in (None, "local")


LauncherConfig = LocalLauncherConfig | SlurmLauncherConfig | RayLauncherConfig
