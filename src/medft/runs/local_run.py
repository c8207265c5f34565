"""A run in its folder: which one it is (run.json), what it has logged (journal.jsonl), and its files."""

import contextlib
import getpass
import platform
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from medft.config.schema import Config
from medft.console import warn
from medft.data.rows import SKIPPED_ROWS
from medft.errors import NOT_AS_WRITTEN, DamagedFile, InputError
from medft.files import exclusive_lock, file_digest, is_locked, read_json, write_atomically, write_json
from medft.runs.index import Entry, RunIndex
from medft.runs.journal import JOURNAL, Journal, Kind
from medft.runs.state import (
    FAILED,
    FINISHED,
    ID,
    IDENTITY,
    NOTE,
    OUTPUT_DIR,
    PARENT,
    RUNNING,
    SUPERSEDED,
    SWEEP_NAME,
    Curve,
    RunState,
)
from medft.runs.store import shown_uri
from medft.secrets import hide_passwords
from medft.training.checkpoints import has_checkpoint

RUN_JSON = "run.json"
EARLIER = "earlier"  # folder, in a run's folder, of runs that were there before
LOCK = "run.lock"
_PARAM_LIMIT = 6000  # characters of a value that MLflow keeps
# what is not of one run but of its folder: the job's, locks that a process holds, and what was just read of the data
_STAYS = ("job.", ".hydra", EARLIER, LOCK, "begun", "result.json", SKIPPED_ROWS)


class LocalRun:
    """A run whose folder is on this machine.

    Attributes:
        card: what run.json says: `run_id`, `name`, `experiment`, `tracking_uri`, `root_dir`, and of a run that trains
            `config_hash` and `dataset_fingerprint`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.card = read_json(folder / RUN_JSON)
        self.run_id = str(self.card["run_id"])
        self.journal = Journal(folder)
        self._state, self._read, self._reading = RunState(self.run_id), 0, threading.Lock()

    @classmethod
    def create(
        cls, config: Config, folder: Path, name: str, tags: Mapping[str, str], facts: Mapping[str, str] | None = None
    ) -> Self:
        """A new run in a folder; one that was there before is kept in a folder within it.

        Args:
            config: says where runs are tracked.
            tags: its first, by which it is found.
            facts: for run.json.
        """
        folder, run_id = folder.resolve(), uuid4().hex  # it is looked up from other working directories
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / RUN_JSON).exists():
            earlier = _set_aside(folder)
            if earlier and PARENT in tags and earlier.state.tags.get(PARENT) == tags[PARENT]:
                earlier.set_tags({SUPERSEDED: run_id})
        write_card(config, folder, run_id, name, facts)
        run, user = cls(folder), ""
        with contextlib.suppress(KeyError, OSError):  # an id without a name, as in containers
            user = getpass.getuser()
        run._log("opened", {"name": name, "user": user, "host": platform.node()})
        run.set_tags({**tags, ID: run_id})
        run.index.add(run.make_entry())
        return run

    @property
    def state(self) -> RunState:
        """What it has logged so far comes to."""
        with self._reading:  # the courier reads, too
            for event in self.journal.read(self._read):
                self._state.apply(event)
                self._read = event.end
        return self._state

    @property
    def index(self) -> RunIndex:
        """Where it is found by its id."""
        return RunIndex(Path(self.card["root_dir"]))

    def make_entry(self) -> Entry:
        """What it is looked up by."""
        state = self.state
        parent, identity = state.tags.get(PARENT, ""), state.tags.get(IDENTITY, "")
        name = state.tags.get(SWEEP_NAME, state.name)
        return Entry(self.run_id, str(self.folder), name, state.started, state.kind or "", parent, identity)

    def is_alive(self) -> bool:
        """Whether a process writes to it, on any machine that shares its folder."""
        return is_held(self.folder)

    def can_go_on(self) -> bool:
        """Whether a later start goes on with it: it was interrupted, or has failed with something to go on from."""
        state = self.state
        if state.status == FINISHED or self.is_alive():
            return False
        return state.status != FAILED or state.kind is not None or has_checkpoint(self.folder)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log values under their exact names.

        Args:
            step: optimizer step; what a resumed run repeats of its steps is not logged twice. 0 = a final value, which
                may be measured anew.
        """
        curves = self.state.curves
        logged = {name: curves.get(name, {}) for name in metrics}
        new = {
            name: value
            for name, value in metrics.items()
            if step not in logged[name] or (step == 0 and value != logged[name][0])
        }
        self._log("metrics", new, step)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Log parameters whole; of what MLflow would cut there is a warning instead."""
        for key in (key for key, value in params.items() if len(value) > _PARAM_LIMIT):
            warn(f"{key} is longer than an MLflow parameter may be; it stands whole in the artifact config.yaml")
        known = self.state.params
        short = {key: value for key, value in params.items() if len(value) <= _PARAM_LIMIT and key not in known}
        self._log("params", short)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags; addresses in them lose their passwords."""
        self._log("tags", {key: hide_passwords(value) for key, value in tags.items()})

    def remove_tags(self, keys: Iterable[str]) -> None:
        """Remove tags, those of them that it has."""
        self._log("untag", {key: "" for key in keys if key in self.state.tags})

    def log_inputs(self, inputs: Mapping[str, Mapping[str, str]]) -> None:
        """Log the data it uses, once: by split their `name`, `digest` and `source`."""
        self._log("inputs", {split: dict(facts) for split, facts in inputs.items() if split not in self.state.inputs})

    def set_description(self, text: str) -> None:
        """Describe the run in Markdown, where people look first."""
        self.set_tags({NOTE: text})

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Log a file or a whole directory, which lies in the run's folder, as an artifact."""
        files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
        own = [each for each in files if each.is_relative_to(self.folder)]
        self._log("digests", {str(each.relative_to(self.folder)): file_digest(each) for each in own})
        self._log_written(path, folder)

    @contextmanager
    def write_file(self, name: str) -> Iterator[Path]:
        """Give a path to write to; when the block ends it becomes a file of the run's folder, and is logged."""
        with write_atomically(self.folder / name) as partial:
            yield partial
            self._log("digests", {name: file_digest(partial)})
        self._log_written(self.folder / name)

    def log_text(self, name: str, text: str) -> None:
        """Write a file into the run's folder and log it."""
        with self.write_file(name) as partial:
            partial.write_text(text, encoding="utf-8")

    def log_figure(self, figure: Any, name: str) -> None:
        """Draw a picture into the run's folder and log it."""
        figure.savefig(self.folder / name)
        self.log_file(self.folder / name)

    def set_status(self, status: str) -> None:
        """Say that it runs again, or how it ended."""
        self._log("status", {"status": status, "host": platform.node()})

    def history(self, metric: str) -> Curve:
        """(step, value) of a metric so far, by step."""
        return self.state.curve(metric)

    def artifact(self, name: str, key: str = "run") -> Path:
        """The path of a file or directory that it has logged.

        Args:
            key: where the user named the run.

        Raises:
            InputError: it has logged none of that name.
            DamagedFile: it is not what was written.
        """
        place = self.folder / name
        if not place.exists():
            raise InputError(f"{key}={self.run_id}: it logged no {name}")
        for path, known in self.state.digests.items():
            file = self.folder / path
            is_meant = file == place or place in file.parents
            if is_meant and (not file.is_file() or file_digest(file) not in known):
                raise DamagedFile(f"{file}: {NOT_AS_WRITTEN}")
        return place

    def _log_written(self, path: Path, folder: str | None = None) -> None:
        place = path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
        self._log("file", {"path": str(place), "folder": folder})

    def _log(self, kind: Kind, data: dict[str, Any], step: int = 0) -> None:
        if data:
            self.journal.append(kind, data, step)
            has_ended = kind == "status" or self.state.status != RUNNING  # MLflow had it whole, perhaps
            if has_ended and not self.index.is_copy(self.folder):
                self.index.mark_pending(self.run_id)


def is_held(folder: Path) -> bool:
    """Whether a process runs in a folder, on any machine that shares it."""
    return is_locked(folder / LOCK)


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from running in a folder.

    Raises:
        InputError: one does.
    """
    busy = f"{folder}: another process runs in this folder; give this run its own paths.output_dir"
    with exclusive_lock(folder / LOCK, busy):
        yield


def write_card(config: Config, folder: Path, run_id: str, name: str, facts: Mapping[str, str] | None = None) -> None:
    """Write run.json: which run a folder is of, and where it is tracked.

    Args:
        facts: what else it says.
    """
    where = {
        "tracking_uri": shown_uri(config),
        "experiment": config.tracking.experiment_name,
        "root_dir": str(Path(config.paths.root_dir).resolve()),
        "output_dir": str(folder),
    }
    write_json(folder / RUN_JSON, {"run_id": run_id, "name": name, **where, **(facts or {})})


def read_local_run(folder: Path) -> LocalRun | None:
    """The run in a folder, if there is one."""
    return LocalRun(folder) if (folder / RUN_JSON).is_file() and (folder / JOURNAL).is_file() else None


def _set_aside(folder: Path) -> LocalRun | None:
    """Move an earlier run out of the way, where it keeps its id and all its files; a kill meanwhile is made good.

    Returns:
        The run; None where it was killed before it had logged anything.
    """
    card = read_json(folder / RUN_JSON)
    home = folder / EARLIER / card["run_id"][:8]
    home.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if not path.name.startswith((*_STAYS, RUN_JSON)):
            path.rename(home / path.name)
    if not (home / JOURNAL).exists():
        (folder / RUN_JSON).unlink()
        return None
    write_json(home / RUN_JSON, {**card, "output_dir": str(home)})
    (folder / RUN_JSON).unlink()
    moved = LocalRun(home)
    moved.set_tags({OUTPUT_DIR: str(home)})
    moved.index.add(moved.make_entry())
    return moved
