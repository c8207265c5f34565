"""The typed schema of `launcher=local|slurm|ray`: where the jobs of a sweep run, and how many at once."""

from typing import Annotated, Literal

from pydantic import Field

from medft.config.section import Count, NotNegative, Positive, Role, Section


class LocalLauncherConfig(Section, role=Role.PLACE):
    name: Literal["local"]
    n_jobs: Count
    time_limit: Positive | None
    grace: NotNegative


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


class RayLauncherConfig(Section, role=Role.PLACE):
    name: Literal["ray"]
    address: Annotated[str, Field(min_length=1)] | None
    n_jobs: Count | None
    cpus: NotNegative
    gpus: NotNegative
    time_limit: Positive | None
    grace: NotNegative


LauncherConfig = LocalLauncherConfig | SlurmLauncherConfig | RayLauncherConfig
