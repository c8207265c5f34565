"""Verdicts that were given once: an sqlite file that all runs share. What is in it is never asked again."""

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
_WAIT = 60.0  # seconds for another process that is writing


class VerdictCache:
    """Verdicts of one judge by item and repeat. Each is on disk as soon as it is given, so that a killed judging goes
    on where it stopped. Safe to use from several threads and several processes.
    """

    def __init__(self, file: Path, judge: Judge) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._judge, self._identity = judge, judge.identity()
        self._file, self._told, self._lock = file, False, threading.Lock()
        self._database = sqlite3.connect(file, timeout=_WAIT, check_same_thread=False)
        with self._lock, self._database:
            self._database.execute(_TABLE)

    def find(self, item: JudgeItem, repeat: int) -> Verdict | None:
        """The verdict on an item, if there is one; that a row was too long holds for no longer context than then."""
        with self._lock:
            try:
                row = self._database.execute(
                    "SELECT verdict FROM verdicts WHERE key = ? AND (status != 'too_long' OR context >= ?)",
                    (self._key(item, repeat), self._judge.context or 0),
                ).fetchone()
                return Verdict.from_dict(json.loads(row[0])) if row else None
            except (sqlite3.Error, ValueError, TypeError) as error:
                self._say(f"a verdict cannot be read: {self._file}: {error}")
                return None

    def keep(self, item: JudgeItem, repeat: int, verdict: Verdict) -> None:
        """Write a verdict down. If that fails (a full disk), it is said once, and the judging goes on."""
        with self._lock:
            try:
                context = self._judge.context or 0
                self._write((self._key(item, repeat), verdict.status, context, json.dumps(asdict(verdict))))
            except sqlite3.Error as error:
                self._say(f"verdicts are not kept: {self._file}: {error}")

    def _say(self, trouble: str) -> None:
        """Once: it will be the same for the next row."""
        if not self._told:
            warn(trouble)
        self._told = True

    def _write(self, row: tuple[str, str, int, str]) -> None:
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO verdicts (key, status, context, verdict) VALUES (?, ?, ?, ?)", row
            )

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _key(self, item: JudgeItem, repeat: int) -> str:
        parts = [self._identity, item.instruction, item.input, item.expected, item.answer, repeat]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def open_cache(judge: Judge, folder: Path) -> VerdictCache | None:
    """The cache of a judge, under `folder`; None if it wants none or the file cannot be used, which is said."""
    if not judge.cache:
        return None
    file = folder / "judge" / "verdicts.sqlite"
    try:
        return VerdictCache(file, judge)
    except (sqlite3.Error, OSError) as error:
        warn(f"the judge's cache {file} cannot be used ({error}): judging without it")
        return None
