"""Which runs there are under a root, and in which folders: a small file for each under `mlruns/runs`.

A second file, under `mlruns/pending`, stands for each run that MLflow does not have whole yet. A run that was made
elsewhere has neither: what is logged to it here is in a copy under `outputs/copies`, which itself says how far MLflow
has it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from medft.errors import DamagedFile
from medft.files import read_json, write_atomically
from medft.runs.journal import JOURNAL

DELIVERED = "delivered.json"  # in a run's folder: how far it has been delivered
_SHORT = 8  # characters of an id that is shown
_COPY = re.compile(r"\w+-[0-9a-f]{8}")


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
        self._copies = root.resolve() / "outputs" / "copies"

    def add(self, entry: Entry) -> None:
        """Add a run that MLflow has not yet, or say that it lies elsewhere now."""
        with write_atomically(self._runs / f"{entry.run_id}.json") as partial:
            partial.write_text(json.dumps(asdict(entry), ensure_ascii=False), encoding="utf-8")
        self.mark_pending(entry.run_id)

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

    def mark_pending(self, run_id: str) -> None:
        """Say that MLflow has not all of a run."""
        self._pending.mkdir(parents=True, exist_ok=True)
        (self._pending / run_id).touch()

    def mark_delivered(self, run_id: str) -> None:
        """Say that MLflow has a run whole."""
        (self._pending / run_id).unlink(missing_ok=True)

    def mark_all_undelivered(self) -> None:
        """Have all runs delivered anew: their database had to be set aside."""
        for entry in self.list_entries():
            (Path(entry.folder) / DELIVERED).unlink(missing_ok=True)
            self.mark_pending(entry.run_id)

    def list_pending(self) -> list[Entry]:
        """The runs that MLflow has not whole, the oldest first, and the copies of which that holds."""
        entries = [self.get(file.name) for file in self._pending.glob("*")]
        copies = [Entry(_id_of_copy(folder), str(folder), "", 0.0) for folder in self.list_copies() if is_ahead(folder)]
        return sorted([*(entry for entry in entries if entry), *copies], key=lambda entry: entry.started)

    def name_copy(self, run_id: str) -> Path:
        """A folder for a new copy of a run of elsewhere, under `outputs/copies`."""
        return self._copies / f"{run_id}-{uuid4().hex[:8]}"

    def list_copies(self) -> list[Path]:
        """The folders of all copies."""
        return [folder for folder in self._copies.glob("*") if self.is_copy(folder) and folder.is_dir()]

    def find_copy_ahead(self, run_id: str) -> Path | None:
        """The folder of a copy with something of a run that MLflow has not."""
        copies = (folder for folder in self.list_copies() if _id_of_copy(folder) == run_id)
        return next(filter(is_ahead, copies), None)

    def is_copy(self, folder: Path) -> bool:
        """Whether a folder is that of a copy."""
        return folder.parent == self._copies and _COPY.fullmatch(folder.name) is not None

    def _read(self, file: Path) -> Iterator[Entry]:
        if (entry := _parse(file)) and Path(entry.folder).is_dir():
            yield entry


def is_ahead(folder: Path) -> bool:
    """Whether a run's folder has what MLflow has not."""
    try:
        return (folder / JOURNAL).stat().st_size > int(read_json(folder / DELIVERED)["end"])
    except OSError:  # its making was interrupted, or it is somebody else's
        return False
    except DamagedFile:
        return True


def _id_of_copy(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _parse(file: Path) -> Entry | None:
    try:
        return Entry(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # removed, or damaged: the run's folder can still be named
        return None


def _shorten(run_id: str, among: Sequence[str]) -> str:
    beginnings = (run_id[:length] for length in range(_SHORT, len(run_id)))
    return next((each for each in beginnings if sum(other.startswith(each) for other in among) == 1), run_id)
