"""Asking a judge: verdicts in the cache are reused, the rest are asked for concurrently, and errors end no run."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from medft.console import Progress, say, warn
from medft.errors import JudgeUnavailable, MedftError
from medft.evaluation.judges.base import Judge, JudgeItem, Verdict
from medft.evaluation.judging.cache import VerdictCache

_AWAY_LIMIT = 3  # questions in a row that the judge could not be asked about, each after all its attempts


@dataclass(frozen=True)
class Task:
    """One request: an item, and which of its repeats it is."""

    item: JudgeItem
    repeat: int = 0


def ask_all(judge: Judge, tasks: Sequence[Task], cache: VerdictCache | None) -> list[Verdict]:
    """A verdict for each task, in order.

    A task that could not be put to the judge is failed and not cached; after three in a row the rest are not tried.
    Whatever a judge does, the run is measured and must not be lost, so nothing is raised.
    """
    judge.plan([task.item for task in tasks])
    known = [cache.find(task.item, task.repeat) if cache else None for task in tasks]
    # equal answers to a question (before and after, or both empty) are one request and get one verdict
    to_ask = list(dict.fromkeys(task for task, verdict in zip(tasks, known, strict=True) if verdict is None))
    answered = dict(zip(to_ask, _ask(judge, to_ask, cache) if to_ask else [], strict=True))
    verdicts = [verdict or answered[task] for task, verdict in zip(tasks, known, strict=True)]
    if any(known):
        count = sum(verdict is not None for verdict in known)
        say(f"judge {judge.name}: {count} of {len(verdicts)} verdicts were known, {len(to_ask)} asked for")
    for status in ("failed", "too_long"):
        those = [verdict for verdict in verdicts if verdict.status == status]
        if those:
            say(f"judge {judge.name}: {len(those)} of {len(verdicts)} {status}, for example: {those[0].failure}")
    return verdicts


def _ask(judge: Judge, tasks: Sequence[Task], cache: VerdictCache | None) -> list[Verdict]:
    try:
        judge.load()
    except Exception as error:
        why = _describe_error(error)
        warn(f"{why}; nothing was judged: medft judge run=<id>")
        return [Verdict("failed", failure=why)] * len(tasks)
    worker, counts = _Worker(judge, cache), Counter[str]()
    with Progress(f"Judging with {judge.name}", len(tasks)) as bar, ThreadPoolExecutor(judge.concurrency) as pool:
        futures = [pool.submit(worker.judge, task) for task in tasks]
        try:
            for future in as_completed(futures):
                counts[future.result().status] += 1
                bar.advance(", ".join(f"{count} {status}" for status, count in sorted(counts.items(), reverse=True)))
        except BaseException:  # interrupted: what is being asked is waited for, the rest is not begun
            judge.interrupt()
            pool.shutdown(cancel_futures=True)
            raise
    if worker.not_tried:
        warn(f"{worker.last}; {worker.not_tried} answers are left unjudged: medft judge run=<id>")
    return [future.result() for future in futures]


class _Worker:
    """Judges one task at a time; shared by all threads."""

    def __init__(self, judge: Judge, cache: VerdictCache | None) -> None:
        self._judge, self._cache = judge, cache
        self._lock = threading.Lock()
        self._away: set[str] = set()  # questions since the last verdict; one that never works is not an absence
        self.not_tried, self.last = 0, ""

    def judge(self, task: Task) -> Verdict:
        with self._lock:
            if len(self._away) >= _AWAY_LIMIT:
                self.not_tried += 1
                return Verdict("failed", failure="not tried: the judge was away")
        try:
            verdict = self._judge.score(task.item, task.repeat)
            if self._cache:
                self._cache.keep(task.item, task.repeat, verdict)
        except JudgeUnavailable as error:
            with self._lock:
                self._away.add(task.item.text)
                self.last = str(error)
            return Verdict("failed", failure=str(error))
        except Exception as error:
            return Verdict("failed", failure=_describe_error(error))
        with self._lock:
            self._away.clear()
        return verdict


def _describe_error(error: Exception) -> str:
    return str(error) if isinstance(error, MedftError) else f"{type(error).__name__}: {error}"
