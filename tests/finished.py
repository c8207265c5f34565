"""Finished runs that several tests read: made once in a process, and copied where a test writes to one."""

import io
import json
import shutil
import sqlite3
import uuid
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from medft.config.schema import Config
from medft.files import file_digest, write_json
from medft.runs.journal import checksum_line
from medft.runs.store import connect
from tests.composed import TINY, composed

# enough questions of several documents for intervals, and a tag of one's own
THIRTY = ("dataset.split.test=30", "+tracking.tags.who=me")


def mlflow_id(folder: Path) -> str:
    """The id that MLflow has given the run in a folder."""
    return str(json.loads((folder / "delivered.json").read_text())["mlflow_run_id"])


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
    def mlflow_id(self) -> str:
        """The id that MLflow has given it."""
        return mlflow_id(self.config.paths.output)

    @property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(f"sqlite:///{self.place / 'root' / 'mlruns' / 'mlflow.db'}")

    @property
    def run(self) -> Any:
        """As MLflow has it."""
        return self.client.get_run(self.mlflow_id)

    @property
    def artifacts(self) -> Path:
        return Path(self.run.info.artifact_uri.removeprefix("file://"))

    def copied_to(self, place: Path) -> "Finished":
        """The same run elsewhere under another id, with MLflow connected to it: a test may write to it.

        MLflow remembers where the artifacts of an id are, whatever store it is in, so the copy must have its own.
        """
        changes = {str(self.place): str(place), self.run_id: uuid.uuid4().hex, self.mlflow_id: uuid.uuid4().hex}
        for name in ("root", "cache", "out"):
            shutil.copytree(self.place / name, place / name, dirs_exist_ok=True)
        artifacts, entry = place / "root" / "mlruns" / "artifacts", place / "root" / "mlruns" / "runs" / self.run_id
        (artifacts / self.mlflow_id).rename(artifacts / changes[self.mlflow_id])
        entry.with_suffix(".json").rename(entry.with_name(f"{changes[self.run_id]}.json"))
        relocate(place, changes)
        with pytest.MonkeyPatch.context() as patch:
            config = placed(patch, place, self.overrides)
        connect(config)
        return Finished(place, self.overrides, config, self.printed, self.metrics)


def relocate(place: Path, changes: dict[str, str]) -> None:
    """Replace texts (paths, ids) in all files of a run and in its store, which lie under `place`."""
    files = (*place.glob("root/**/*.*"), *place.glob("out/**/*.*"))
    # the journal knows what the other files are, and delivered.json how long it is
    order = ("journal.jsonl", "delivered.json")
    for file in sorted(files, key=lambda file: order.index(file.name) if file.name in order else -1):
        if file.suffix in (".yaml", ".json", ".jsonl", ".html"):
            text = file.read_text(encoding="utf-8")
            for old, new in changes.items():
                text = text.replace(old, new)
            if file.name == "journal.jsonl":
                text = rewrite_journal(file.parent, text)
            file.write_text(text, encoding="utf-8")
            if file.name in ("run.json", "delivered.json"):
                content = json.loads(text)
                if file.name == "delivered.json":
                    content["end"] = (file.parent / "journal.jsonl").stat().st_size
                write_json(file, {key: value for key, value in content.items() if key != "checksum"})
    with closing(sqlite3.connect(place / "root" / "mlruns" / "mlflow.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for _, column, kind, *_ in database.execute(f"PRAGMA table_info('{table}')").fetchall():
                if kind.upper().startswith(("VARCHAR", "TEXT", "CHAR")):
                    for old, new in changes.items():
                        database.execute(
                            f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                            f'WHERE instr("{column}", ?)', (old, new, old),
                        )  # fmt: skip
        database.commit()
        database.execute("VACUUM")  # nothing of the old texts stays in the file


def rewrite_journal(folder: Path, text: str) -> str:
    """The same events with the checksums that they must have now."""
    lines, place = [], 0
    for line in text.split("\n")[:-1]:
        event = json.loads(line[9:])
        if event["kind"] == "digests":
            event["data"] = {name: file_digest(folder / name) for name in event["data"] if (folder / name).is_file()}
        body = json.dumps(event, ensure_ascii=False).encode()
        lines.append(f"{checksum_line(place, body)} ".encode() + body + b"\n")
        place += len(lines[-1])
    return b"".join(lines).decode()


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
