"""What nobody needs any more: found, and removed one by one, each only if nobody needs it at that moment either.

What goes is renamed first, so that a kill in the middle leaves nothing that looks like a run: only a rest, which the
next cleaning finds. Nothing is removed that a process holds.
"""

import contextlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from stat import S_ISREG
from uuid import uuid4

import psutil

from medft.config.schema import Config
from medft.data.rows import SKIPPED_ROWS
from medft.errors import DamagedFile, InputError
from medft.files import exclusive_lock, read_json
from medft.runs.database import list_deleted_artifacts
from medft.runs.index import DELIVERED, RunIndex, is_ahead
from medft.runs.local_run import EARLIER, LOCK, RUN_JSON, hold_folder, is_held, read_local_run
from medft.runs.state import FAILED, KILLED, PARENT, SUPERSEDED
from medft.runs.store import tracking_uri
from medft.training.checkpoints import has_checkpoint

CACHE = "cache: rows, tokens, baselines, converted models"
STARTS = "starts that failed: an error and nothing else"
COPIES = "copies of runs of other machines"
ARTIFACTS = "files of runs that were deleted in MLflow"
RESTS = "rests of processes that were killed"
FAILED_RUNS = "failed and killed runs with nothing to go on from"
DOWNLOADS = "downloaded models and data"

_DAY, _MINUTES = 86400.0, 600.0
_MADE_ANEW = ("data/rows-*.arrow", "data/tokens-*.arrow", "baselines/*.json", "models/*/config.json")
_DOWNLOADED = ("gguf/*.gguf", "medquad/*.zip", "medquad/*.part")
_START = {".hydra", "error.txt", LOCK, SKIPPED_ROWS}  # what a start leaves that came to no run
_OWN_FOLDERS = "outputs/[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]/*"  # not those that a user has named
_REST = re.compile(r".*\.[0-9a-f]{8}\.(part|removed)")


@dataclass(frozen=True)
class Unneeded:
    """A file or folder that may go.

    Attributes:
        size: in bytes.
        is_free: whether that still holds.
        run_id: of a run's folder.
    """

    kind: str
    path: Path
    size: int
    is_free: Callable[[], bool]
    run_id: str = ""


def find_unneeded(config: Config) -> list[Unneeded]:
    """All that may go, of all kinds; the cache stays while a run is alive, which may be reading it."""
    root, cache = Path(config.paths.root_dir).resolve(), config.paths.cache.resolve()
    index = RunIndex(root)
    found = [*_find_starts(root), *_find_failed_runs(root, index), *_find_artifacts(config, index)]
    found += [*_find_copies(index), *_find_rests(root, cache)]
    if not any(is_held(Path(entry.folder)) for entry in index.list_pending()):
        for kind, patterns in ((CACHE, _MADE_ANEW), (DOWNLOADS, _DOWNLOADED)):
            found += _find_cached(cache, kind, patterns)
    return found


def remove(unneeded: Unneeded, root: Path) -> bool:
    """Remove one, unless somebody needs it now; returns whether it is gone.

    Raises:
        OSError: it cannot be removed.
    """
    path = unneeded.path
    with ExitStack() as held:
        try:
            if (path / LOCK).exists() or unneeded.kind == STARTS:
                held.enter_context(hold_folder(path))
            elif (lock := path.with_name(f"{path.name}.lock")).exists():
                held.enter_context(exclusive_lock(lock, "in use"))
        except InputError:
            return False
        if path.is_symlink() or not path.exists() or not unneeded.is_free():
            return False
        gone = path.rename(path.with_name(f"{path.name}.{uuid4().hex[:8]}.removed"))
        if unneeded.run_id:
            RunIndex(root).remove(unneeded.run_id)
            (gone / RUN_JSON).unlink()  # what is left of it is no run
        shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
        path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)
    if unneeded.kind in (STARTS, FAILED_RUNS):
        with contextlib.suppress(OSError):  # the folder of its day, if it is empty now
            path.parent.rmdir()
    return True


def _find_cached(cache: Path, kind: str, patterns: tuple[str, ...]) -> Iterator[Unneeded]:
    for pattern in patterns:
        for file in cache.glob(pattern):
            path = file.parent if file.name == "config.json" else file
            # who has just written it may be about to open it
            if _is_older(path, _MINUTES):
                yield Unneeded(kind, path, _measure(path), partial(_is_older, path, _MINUTES))


def _find_starts(root: Path) -> Iterator[Unneeded]:
    for folder in root.glob(_OWN_FOLDERS):
        if _is_failed_start(folder):
            yield Unneeded(STARTS, folder, _measure(folder), partial(_is_failed_start, folder, held=True))


def _is_failed_start(folder: Path, held: bool = False) -> bool:
    """Whether a start came to no run; one without an error may be reading its data yet.

    Args:
        held: the lock of the folder is ours.
    """
    if not folder.is_dir() or folder.is_symlink():
        return False
    names = {path.name for path in folder.iterdir()}
    has_ended = "error.txt" in names or _is_older(folder, _DAY)
    return names <= _START and has_ended and (held or not is_held(folder))


def _find_failed_runs(root: Path, index: RunIndex) -> Iterator[Unneeded]:
    own = set(root.glob(_OWN_FOLDERS))
    for entry in index.list_entries():
        folder = Path(entry.folder)
        is_own = folder in own and not entry.kind and not entry.parent
        is_earlier = folder.parent.name == EARLIER and folder.is_relative_to(root / "outputs")
        if (is_own or is_earlier) and _is_failed_run(folder, index) and not is_held(folder):
            is_free = partial(_is_failed_run, folder, index)
            yield Unneeded(FAILED_RUNS, folder, _measure(folder), is_free, entry.run_id)


def _is_failed_run(folder: Path, index: RunIndex) -> bool:
    """Whether a run has ended without a result and cannot go on; of a job a later attempt must have taken its place."""
    try:
        run = read_local_run(folder)
        if run is None or run.state.status not in (FAILED, KILLED):
            return False
    except (DamagedFile, OSError):
        return False
    is_pending = any(entry.run_id == run.run_id for entry in index.list_pending())
    others = [card for card in folder.rglob(RUN_JSON) if card.parent != folder]
    is_needed = bool(run.state.tags.get(PARENT)) and SUPERSEDED not in run.state.tags
    return not (is_pending or others or is_needed or has_checkpoint(folder))


def _find_artifacts(config: Config, index: RunIndex) -> Iterator[Unneeded]:
    uri = tracking_uri(config)
    if not uri.startswith("sqlite:///"):
        return  # a server looks after its own
    file = Path(uri.removeprefix("sqlite:///"))
    used = {mlflow_id for entry in index.list_pending() if (mlflow_id := _read_mlflow_id(Path(entry.folder)))}
    for mlflow_id, folder in list_deleted_artifacts(file).items():
        if mlflow_id not in used and folder.is_dir():
            yield Unneeded(ARTIFACTS, folder, _measure(folder), partial(_is_deleted, mlflow_id, file))


def _is_deleted(mlflow_id: str, file: Path) -> bool:
    return mlflow_id in list_deleted_artifacts(file)


def _read_mlflow_id(folder: Path) -> str | None:
    try:
        return str(read_json(folder / DELIVERED)["mlflow_run_id"])
    except (DamagedFile, OSError, KeyError):
        return None


def _find_copies(index: RunIndex) -> Iterator[Unneeded]:
    for folder in index.list_copies():
        if _is_delivered(folder):
            yield Unneeded(COPIES, folder, _measure(folder), partial(_is_delivered, folder))


def _is_delivered(folder: Path) -> bool:
    """Whether MLflow has all of a copy, and nobody has written to it for a week: a server may have it open."""
    return _is_older(folder, 7 * _DAY) and not is_ahead(folder)


def _find_rests(root: Path, cache: Path) -> Iterator[Unneeded]:
    """Files that were being written, and what an earlier cleaning has left."""
    places = (root / "mlruns", root / "outputs", cache)
    rests = [path for place in places for path in place.rglob("*.[pr]*") if _REST.fullmatch(path.name)]
    rests += [path for name in ("models", "gguf") for path in (cache / name).glob("tmp????????")]
    exports = (root / "outputs" / "export").glob(".export-*")
    rests += [path for path in exports if not (path / "old").exists()]  # a kill between its last two steps leaves both
    rests = [path for path in rests if not path.is_symlink() and _is_rest(path)]
    opened = _list_open_files() if rests else set()
    for path in rests:
        if not any(each == path or path in each.parents for each in opened):
            yield Unneeded(RESTS, path, _measure(path), partial(_is_rest, path))


def _is_rest(path: Path) -> bool:
    """Whether nobody goes on with it: a cleaning that was killed, or one who has not written for a day."""
    return path.name.endswith(".removed") or _is_older(path, _DAY)


def _list_open_files() -> set[Path]:
    """The files that processes of this machine have open, as far as we may know."""
    opened: set[Path] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            opened |= {Path(file.path) for file in process.open_files()}
    return opened


def _is_older(path: Path, seconds: float) -> bool:
    """Whether nothing of a file or folder was written for so long."""
    with contextlib.suppress(FileNotFoundError):
        newest = max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
        return time.time() - newest > seconds
    return False


def _measure(path: Path) -> int:
    """The bytes that are free without it: not those of files that have a second name elsewhere."""
    found = (each.lstat() for each in (path, *path.rglob("*")))
    return sum(each.st_size for each in found if S_ISREG(each.st_mode) and each.st_nlink == 1)
