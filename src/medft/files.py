"""Files that are whole or not there, locks between processes, and hashes of contents."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from filelock import FileLock, Timeout

from medft.errors import NOT_AS_WRITTEN, DamagedFile, InputError

Row = TypeVar("Row")

_CHECKSUM = "checksum"
_REMEMBERED = 6  # checksums of a file and of those before it


def temporary_path(target: Path) -> Path:
    """A path beside `target` that nobody else uses; the folder is made. Renaming it to `target` is one step there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f"{target.name}.{uuid4().hex[:8]}.part")


@contextmanager
def write_atomically(target: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `target` when the block ends; after an error nothing is left of it.

    Whoever reads `target` meanwhile sees the old content or none, never half of the new one.
    """
    partial = temporary_path(target)
    try:
        yield partial
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, which takes no room; on another disk, or where links are not known, copy it."""
    with write_atomically(target) as partial:
        try:
            os.link(source, partial)
        except OSError:
            shutil.copyfile(source, partial)


def apply_umask(path: Path) -> None:
    """Give a file, or each file of a directory, the mode of any new one: of safetensors, only its owner reads them."""
    probe = temporary_path(path)  # to ask for the umask is to set it, for all threads
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for file in (each for each in (path, *path.rglob("*")) if each.is_file()):
        file.chmod(mode)


@contextmanager
def exclusive_lock(file: Path, busy: str | None = None) -> Iterator[None]:
    """Hold a lock that one process at a time can hold; the file stays, the lock goes with its process.

    Args:
        file: the lock's; its folder is made.
        busy: what to say when another process holds the lock; None = wait for it.

    Raises:
        InputError: another process holds it, and `busy` says what that means.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(file).acquire(timeout=-1 if busy is None else 0)
    except Timeout:
        raise InputError(busy or "") from None
    with held:
        yield


def is_locked(file: Path) -> bool:
    """Whether a process holds a lock, on any machine that shares its folder."""
    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0):
            return False
    except Timeout:
        return True


def file_digest(file: Path) -> str:
    """SHA-256 (hex) of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def json_digest(facts: Any, length: int = 16) -> str:
    """SHA-256 of plain data, its first hex digits; the order of keys does not count."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:length]


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write an object with a checksum of it, whole or not at all."""
    with write_atomically(file) as partial:
        checked = {**content, _CHECKSUM: json_digest(content)}
        partial.write_text(json.dumps(checked, indent=2, ensure_ascii=False), encoding="utf-8")


def write_json_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write an object a line."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def read_json_lines(path: Path, read: Callable[[dict[str, Any]], Row], what: str) -> list[Row]:
    """Read what `write_json_lines` has written.

    Args:
        read: makes of an object what it stands for, or fails.
        what: an object should be, for the message.

    Raises:
        DamagedFile: it is something else; names the line.
    """
    rows = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                rows.append(read(json.loads(line)))
            except (ValueError, TypeError, KeyError, AttributeError):
                raise DamagedFile(f"{path}:{number}: not {what}") from None
    return rows


def read_json(file: Path) -> dict[str, Any]:
    """Read what `write_json` has written.

    Raises:
        DamagedFile: it is something else by now.
        FileNotFoundError: it is not there.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        checksum = content.pop(_CHECKSUM)
    except (ValueError, KeyError, TypeError, AttributeError):
        checksum, content = "", {}
    if checksum != json_digest(content):
        raise DamagedFile(f"{file}: {NOT_AS_WRITTEN}")
    return dict(content)


@contextmanager
def write_checked(target: Path, keep: Path | None = None) -> Iterator[Path]:
    """`write_atomically` for what takes hours to make: on the disk before it gets its name, with a checksum beside it.

    Args:
        keep: what was there under the name before goes here.
    """
    with write_atomically(target) as partial:
        yield partial
        apply_umask(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        # a kill may come between any two of these lines: those before this file are known until the next one is whole
        known = _read_checksums(target)
        remember_checksum(target, partial)
        if keep and target.exists():
            _write_checksums(keep, [*known, *_read_checksums(keep)])
            target.replace(keep)


def remember_checksum(target: Path, content: Path) -> None:
    """Put the checksum of what is about to become `target` beside it; those that it had before still count."""
    _write_checksums(target, [file_digest(content), *_read_checksums(target)])


def is_as_written(file: Path) -> bool:
    """Whether a file is there, and is what was written."""
    return file.is_file() and file_digest(file) in _read_checksums(file)


def _read_checksums(file: Path) -> list[str]:
    sums = _checksum_file(file)
    return sums.read_text().split() if sums.exists() else []


def _write_checksums(file: Path, digests: Sequence[str]) -> None:
    with write_atomically(_checksum_file(file)) as partial:
        partial.write_text("\n".join(digests[:_REMEMBERED]))


def _checksum_file(file: Path) -> Path:
    return file.with_name(f"{file.name}.sha256")
