"""What a run logs, line by line, in its own folder before anything is sent anywhere.

A line is the CRC-32 (8 hex digits) of the JSON behind it, a blank, and the JSON: what changed on the disk is told, and
a line that a kill has cut short counts as never written.
"""

import json
import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Any, Literal

from medft.errors import DamagedFile

JOURNAL = "journal.jsonl"

Kind = Literal["opened", "metrics", "params", "tags", "untag", "inputs", "file", "status"]


@dataclass(frozen=True)
class Event:
    """One thing that a run has logged.

    Attributes:
        kind: `opened` (name, user), `metrics` (name: value), `params`, `tags` (key: value), `untag` (key: ""), `inputs`
            (split: its data), `file` (path, folder), `status` (status).
        time: milliseconds since 1970.
        step: optimizer step, of metrics.
        end: the byte after it in the journal.
    """

    kind: Kind
    data: dict[str, Any]
    time: int
    step: int = 0
    end: int = 0


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
            line = f"{zlib.crc32(body):08x} ".encode() + body + b"\n"
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
            start += len(line) + 1
            checksum, _, body = line.partition(b" ")
            if checksum != f"{zlib.crc32(body):08x}".encode():
                raise DamagedFile(
                    f"{self.file}: what ends at byte {start} is not what was written (the disk, or an editor); "
                    "move the folder away and start the run anew"
                )
            events.append(Event(**json.loads(body), end=start))
        return events
