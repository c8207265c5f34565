"""The cache of verdicts: an sqlite file that all runs share. What is in it is never asked again."""

import hashlib
import json
import sqlite3
import threading
from dataclasses import asdict
from pathlib import Path

from medft.console import warn
from medft.evaluation.judges.base import Judge, JudgeItem, Verdict

_TABLE = """
CREATE TABLE IF NOT EXISTS verdicts (
    key TEXT PRIMARY KEY, status TEXT NOT NULL, context INTEGER NOT NULL, verdict TEXT NOT NULL,
    at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
)"""
_INSERT = "INSERT OR REPLACE INTO verdicts (key, status, context, verdict) VALUES (?, ?, ?, ?)"
_WAIT = 60.0  # seconds for another process that is writing


class VerdictCache:
    """Verdicts of one judge by item and repeat. Each is on disk as soon as it is given, so that a killed judging goes
    on where it stopped. Safe to use from several threads and several processes.
    """

    def __init__(self, file: Path, judge: Judge) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._judge, self._identity = judge, judge.identity()
        self._file, self._has_warned, self._lock = file, False, threading.Lock()
        self._database = sqlite3.connect(file, timeout=_WAIT, check_same_thread=False)
        with self._lock, self._database:
            self._database.execute(_TABLE)

    def find(self, item: JudgeItem, repeat: int) -> Verdict | None:
        """The verdict on an item, if there is one; `too_long` counts only if the judge's context is no longer now."""
        with self._lock:
            try:
                row = self._database.execute(
                    "SELECT verdict FROM verdicts WHERE key = ? AND (status != 'too_long' OR context >= ?)",
                    (self._key(item, repeat), self._judge.context or 0),
                ).fetchone()
                return Verdict.from_dict(json.loads(row[0])) if row else None
            except (sqlite3.Error, ValueError, TypeError) as error:
                self._warn_once(f"a verdict cannot be read: {self._file}: {error}")
                return None

    def keep(self, item: JudgeItem, repeat: int, verdict: Verdict) -> None:
        """Store a verdict. If that fails (a full disk), there is one warning, and the judging goes on."""
        with self._lock:
            try:
                row = (self._key(item, repeat), verdict.status, self._judge.context or 0, json.dumps(asdict(verdict)))
                with self._database:
                    self._database.execute(_INSERT, row)
            except sqlite3.Error as error:
                self._warn_once(f"verdicts are not kept: {self._file}: {error}")

    def _warn_once(self, trouble: str) -> None:
        if not self._has_warned:
            warn(trouble)
        self._has_warned = True

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _key(self, item: JudgeItem, repeat: int) -> str:
        parts = [self._identity, item.instruction, item.input, item.expected, item.answer, repeat]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def open_cache(judge: Judge, folder: Path) -> VerdictCache | None:
    """The cache of a judge, under `folder`; None if it wants none or, with a warning, the file cannot be used."""
    if not judge.cache:
        return None
    file = folder / "judge" / "verdicts.sqlite"
    try:
        return VerdictCache(file, judge)
    except (sqlite3.Error, OSError) as error:
        warn(f"the judge's cache {file} cannot be used ({error}): judging without it")
        return None
