"""What a run logs, line by line, in its own folder before anything is sent anywhere.

A line is a CRC-32 (8 hex digits), a blank, and JSON. The CRC is of the line's place in the file and of the JSON: lines
that are changed, exchanged or gone are told; a line that a kill has cut short counts as never written.
"""

import json
import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Any, Literal

from medft.errors import NOT_AS_WRITTEN, DamagedFile

JOURNAL = "journal.jsonl"

Kind = Literal["opened", "metrics", "params", "tags", "untag", "inputs", "digests", "file", "status"]


@dataclass(frozen=True)
class Event:
    """One thing that a run has logged.

    Attributes:
        kind: `opened` (name, user), `metrics` (name: value), `params`, `tags` (key: value), `untag` (key: ""), `inputs`
            (split: its data), `digests` (path: SHA-256 of what is about to be there), `file` (path, folder), `status`.
        time: milliseconds since 1970.
        step: optimizer step, of metrics.
        end: the byte after it in the journal.
    """

    kind: Kind
    data: dict[str, Any]
    time: int
    step: int = 0
    end: int = 0


def checksum_line(place: int, body: bytes) -> str:
    """The checksum of a line that begins at byte `place`."""
    return f"{zlib.crc32(body, zlib.crc32(str(place).encode())):08x}"


class Journal:
    """The events of one run in the file `journal.jsonl` of its folder, in the order they came."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / JOURNAL
        self._lock = threading.Lock()
        self._end: int | None = None  # of what is whole in the file

    def append(self, kind: Kind, data: dict[str, Any], step: int = 0, time: int | None = None) -> Event:
        """Write an event down.

        Args:
            time: milliseconds since 1970; None = now.

        Raises:
            OSError: the disk is full, for example; the file then ends with the event before.
        """
        event = Event(kind, data, time_ns() // 1_000_000 if time is None else time, step)
        text = json.dumps({"kind": kind, "time": event.time, "step": step, "data": data}, ensure_ascii=False)
        body = text.encode()
        with self._lock, os.fdopen(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file:
            if self._end != file.seek(0, os.SEEK_END):  # another process wrote last, and was killed perhaps
                file.seek(0)
                self._end = file.read().rfind(b"\n") + 1
                file.truncate(self._end)
                file.seek(self._end)
            line = f"{checksum_line(self._end, body)} ".encode() + body + b"\n"
            try:
                if file.write(line) != len(line):  # the rest did not fit
                    raise OSError(28, os.strerror(28), str(self.file))
                if kind == "status":
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(self._end)
                raise
            self._end += len(line)
        return event

    def read(self, start: int = 0) -> list[Event]:
        """The events from byte `start` on.

        Raises:
            DamagedFile: a line is not what was written.
        """
        if not self.file.exists():
            return []
        with self.file.open("rb") as file:
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]  # what follows the last line break was cut short
        events = []
        for line in lines:
            checksum, _, body = line.partition(b" ")
            is_right = checksum == checksum_line(start, body).encode()
            start += len(line) + 1
            if not is_right:
                raise DamagedFile(
                    f"{self.file}: what ends at byte {start} {NOT_AS_WRITTEN}; "
                    "move the folder away and start the run anew"
                )
            events.append(Event(**json.loads(body), end=start))
        return events
