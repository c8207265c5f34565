"""Which runs there are under a root, and in which folders: a small file for each under `mlruns/runs`.

A second file, under `mlruns/pending`, stands for each run that MLflow does not have whole yet. Copies of runs that were
made elsewhere, in `outputs/copies`, have only such files: the run itself is not here.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from medft.files import write_atomically

DELIVERED = "delivered.json"  # in a run's folder: how far it has been delivered
_SHORT = 8  # characters of an id that is shown


@dataclass(frozen=True)
class Entry:
    """Where a run lies, and what it is looked up by.

    Attributes:
        started: seconds since 1970.
        kind: `sweep` or `search`; empty = a run that trains.
        parent: the run of its sweep; empty = a run of its own.
        identity: of a sweep or a search, by which the same command finds it again.
    """

    run_id: str
    folder: str
    name: str
    started: float
    kind: str = ""
    parent: str = ""
    identity: str = ""


class RunIndex:
    """The runs under `paths.root_dir`."""

    def __init__(self, root: Path) -> None:
        self._runs, self._pending = root / "mlruns" / "runs", root / "mlruns" / "pending"
        self.copies = root / "outputs" / "copies"

    def add(self, entry: Entry) -> None:
        """Add a run that MLflow has not yet, or say that it lies elsewhere now."""
        with write_atomically(self._runs / f"{entry.run_id}.json") as partial:
            partial.write_text(json.dumps(asdict(entry), ensure_ascii=False), encoding="utf-8")
        self.mark_pending(entry)

    def get(self, run_id: str) -> Entry | None:
        """The entry of a run whose folder is there."""
        return next(self._read(self._runs / f"{run_id}.json"), None)

    def list_entries(self) -> list[Entry]:
        """All runs whose folders are there, the oldest first."""
        entries = (entry for file in self._runs.glob("*.json") for entry in self._read(file))
        return sorted(entries, key=lambda entry: entry.started)

    def list_lost(self) -> list[str]:
        """What is wrong with the entries that `list_entries` leaves out, a line each."""
        lost = []
        for file in sorted(self._runs.glob("*.json")):
            entry = _parse(file)
            if entry is None:
                lost.append(f"{file}: cannot be read")
            elif not Path(entry.folder).is_dir():
                lost.append(f"run {entry.run_id} ({entry.name}): its folder {entry.folder} is gone")
        return lost

    def shorten_ids(self) -> dict[str, str]:
        """The beginning of each run's id that no other has, 8 characters or more."""
        ids = sorted(file.stem for file in self._runs.glob("*.json"))
        return {each: _shorten(each, ids[max(0, place - 1) : place + 2]) for place, each in enumerate(ids)}

    def shorten_id(self, run_id: str) -> str:
        """The same of one run."""
        return self.shorten_ids().get(run_id, run_id)

    def remove(self, run_id: str) -> None:
        """Forget a run whose folder goes."""
        (self._runs / f"{run_id}.json").unlink(missing_ok=True)

    def mark_pending(self, entry: Entry) -> None:
        """Say that MLflow has not all of a run, or of a copy of one."""
        self._pending.mkdir(parents=True, exist_ok=True)
        if self._is_copy(Path(entry.folder)):
            self._name_mark(entry).write_text(json.dumps(asdict(entry), ensure_ascii=False), encoding="utf-8")
        else:
            self._name_mark(entry).touch()

    def mark_delivered(self, entry: Entry) -> None:
        """Say that MLflow has it whole."""
        self._name_mark(entry).unlink(missing_ok=True)

    def mark_all_undelivered(self) -> None:
        """Have all runs delivered anew: their database had to be set aside."""
        for entry in self.list_entries():
            (Path(entry.folder) / DELIVERED).unlink(missing_ok=True)
            self.mark_pending(entry)

    def list_pending(self) -> list[Entry]:
        """The runs, and copies of runs, that MLflow has not whole, the oldest first."""
        marks = list(self._pending.glob("*"))
        entries = [self.get(mark.name) or next(self._read(mark), None) for mark in marks]
        return sorted((entry for entry in entries if entry), key=lambda entry: entry.started)

    def find_pending_copy(self, run_id: str) -> Path | None:
        """The folder of a copy with what MLflow has not of a run."""
        folders = [Path(entry.folder) for entry in self.list_pending() if entry.run_id == run_id]
        return next(filter(self._is_copy, folders), None)

    def _is_copy(self, folder: Path) -> bool:
        return folder.parent.resolve() == self.copies.resolve()

    def _name_mark(self, entry: Entry) -> Path:
        copy = f"-{Path(entry.folder).name}" if self._is_copy(Path(entry.folder)) else ""
        return self._pending / f"{entry.run_id}{copy}"

    def _read(self, file: Path) -> Iterator[Entry]:
        if (entry := _parse(file)) and Path(entry.folder).is_dir():
            yield entry


def _parse(file: Path) -> Entry | None:
    try:
        return Entry(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # removed, or damaged: the run's folder can still be named
        return None


def _shorten(run_id: str, among: Sequence[str]) -> str:
    beginnings = (run_id[:length] for length in range(_SHORT, len(run_id)))
    return next((each for each in beginnings if sum(other.startswith(each) for other in among) == 1), run_id)
