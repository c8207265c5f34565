"""The typed schema of `tracking`, `sweep` and `paths`: where runs are logged, what a sweep is, where files lie."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from medft.config.section import Role, Section


class TrackingConfig(Section, role=Role.SHOWN):
    uri: Annotated[str | None, Role.PLACE]
    # a key that is younger than the first runs has a default, so that their configs can still be opened
    required: Annotated[bool, Role.PLACE] = False
    patience: Annotated[float, Field(ge=0), Role.PLACE] = 20.0
    experiment_name: Annotated[str, Field(min_length=1), Role.PLACE]
    run_name: str | None
    save_model: Literal["auto", "best", "none"]
    system_metrics: bool
    tags: dict[str, str | int | float | bool]


class SweepConfig(Section, role=Role.SHOWN):
    fresh: bool
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")] | None
    metric: Annotated[str, Field(min_length=1)]
    direction: Literal["minimize", "maximize"]
    question: str | None
    reference: str | None
    limits: str | None


class PathsConfig(Section, role=Role.PLACE):
    root_dir: str
    cache_dir: str
    output_dir: str | None

    @property
    def output(self) -> Path:
        """The run's own folder."""
        return Path(self.output_dir or Path(self.root_dir) / "outputs" / "run")

    @property
    def cache(self) -> Path:
        """Downloads, converted weights, cached baselines."""
        return Path(self.cache_dir)

    def lock(self, name: str) -> Path:
        """The file of a lock that all processes of this cache share."""
        return self.cache / "locks" / f"{name}.lock"
