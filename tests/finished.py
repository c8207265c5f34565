"""Finished runs that several tests read: made once in a process, and copied where a test writes to one."""

import io
import json
import shutil
import sqlite3
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medft.config.schema import Config
from medft.runs.store import connect
from tests.composed import TINY, composed

# enough questions of several documents for intervals, and a tag of one's own
THIRTY = ("dataset.split.test=30", "+tracking.tags.who=me")


@dataclass(frozen=True)
class Finished:
    """A run and the places that are its own.

    Attributes:
        place: the folder of its root directory, its cache and its output.
        printed: what it printed.
        metrics: what it returned.
    """

    place: Path
    overrides: tuple[str, ...]
    config: Config
    printed: str
    metrics: dict[str, float]

    @property
    def run_id(self) -> str:
        return str(json.loads((self.config.paths.output / "run.json").read_text())["run_id"])

    @property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(f"sqlite:///{self.place / 'root' / 'mlruns' / 'mlflow.db'}")

    @property
    def run(self) -> Any:
        """As MLflow has it."""
        return self.client.get_run(self.run_id)

    @property
    def artifacts(self) -> Path:
        return Path(self.run.info.artifact_uri.removeprefix("file://"))

    def copied_to(self, place: Path) -> "Finished":
        """The same run elsewhere, with MLflow connected to it: a test may write to it."""
        for name in ("root", "cache", "out"):
            shutil.copytree(self.place / name, place / name, dirs_exist_ok=True)
        relocate(place, str(self.place), str(place))
        with pytest.MonkeyPatch.context() as patch:
            config = placed(patch, place, self.overrides)
        connect(config)
        return Finished(place, self.overrides, config, self.printed, self.metrics)


def relocate(place: Path, old: str, new: str) -> None:
    """Change the paths that a run's files and store hold, where both were moved from `old` to `new`."""
    for file in [*place.glob("root/**/*.*"), *place.glob("out/**/*.*")]:
        if file.suffix in (".yaml", ".json"):
            file.write_text(file.read_text().replace(old, new))
    with sqlite3.connect(place / "root" / "mlruns" / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri"),
                              ("tags", "value"), ("params", "value")):  # fmt: skip
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (old, new))
    database.execute("VACUUM")  # nothing of the old paths stays in the file
    database.close()


def placed(patch: pytest.MonkeyPatch, place: Path, overrides: tuple[str, ...]) -> Config:
    """The config of a tiny run all of whose files are under one folder."""
    patch.setenv("MEDFT_ROOT", str(place / "root"))
    patch.setenv("MEDFT_CACHE", str(place / "cache"))
    return composed(*TINY, *overrides, f"paths.output_dir={place / 'out'}")


def finish(place: Path, empty_store: Path, overrides: tuple[str, ...]) -> Finished:
    """Make a run in a folder."""
    from medft.experiment import run

    (place / "root" / "mlruns").mkdir(parents=True)
    shutil.copy(empty_store, place / "root" / "mlruns" / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        config = placed(patch, place, overrides)
        metrics = run(config)
    return Finished(place, overrides, config, printed.getvalue(), metrics)
