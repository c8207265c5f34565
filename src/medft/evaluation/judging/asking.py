"""Asking a judge: what the cache knows is not asked, the rest several at a time, and nothing is lost."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from medft.console import Progress, say, warn
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.base import Judge, Question, Verdict
from medft.evaluation.judging.cache import VerdictCache

_AWAY_LIMIT = 3  # answers in a row that the judge could not be asked about, each after all its attempts


@dataclass(frozen=True)
class Task:
    """One request: an item, and the how manieth time it is judged."""

    item: Question
    repeat: int = 0


def ask_all(judge: Judge, tasks: Sequence[Task], cache: VerdictCache | None) -> list[Verdict]:
    """A verdict for each task, in order.

    A row that the judge could not be asked about is failed and not cached; after three in a row the rest are not
    tried. Whatever a judge does, the run is measured and must not be lost, so nothing is raised.
    """
    judge.plan([task.item for task in tasks])
    known = [cache.find(task.item, task.repeat) if cache else None for task in tasks]
    to_ask = [place for place, verdict in enumerate(known) if verdict is None]
    if to_ask:
        found = _ask(judge, [tasks[place] for place in to_ask], cache)
        for place, verdict in zip(to_ask, found, strict=True):
            known[place] = verdict
    verdicts = [verdict for verdict in known if verdict is not None]
    _report(judge, verdicts, asked=len(to_ask))
    return verdicts


def _ask(judge: Judge, tasks: Sequence[Task], cache: VerdictCache | None) -> list[Verdict]:
    try:
        judge.load()
    except JudgeUnavailable as error:
        warn(f"{error}; nothing was judged: medft judge run=<id>")
        return [Verdict("failed", failure=str(error))] * len(tasks)
    asking, counts = _Asking(judge, cache), Counter[str]()
    with Progress(f"Judging with {judge.name}", len(tasks)) as bar, ThreadPoolExecutor(judge.concurrency) as pool:
        futures = [pool.submit(asking.verdict, task) for task in tasks]
        try:
            for future in as_completed(futures):
                counts[future.result().status] += 1
                bar.advance(", ".join(f"{count} {status}" for status, count in sorted(counts.items(), reverse=True)))
        except BaseException:  # interrupted: what is being asked is waited for, the rest is not begun
            pool.shutdown(cancel_futures=True)
            raise
    if asking.not_tried:
        warn(f"{asking.last}; {asking.not_tried} answers are left unjudged: medft judge run=<id>")
    return [future.result() for future in futures]


class _Asking:
    """What the threads share."""

    def __init__(self, judge: Judge, cache: VerdictCache | None) -> None:
        self._judge, self._cache = judge, cache
        self._lock, self._away = threading.Lock(), 0
        self.not_tried, self.last = 0, ""

    def verdict(self, task: Task) -> Verdict:
        with self._lock:
            if self._away >= _AWAY_LIMIT:
                self.not_tried += 1
                return Verdict("failed", failure="not tried: the judge was away")
        try:
            verdict = self._judge.score(task.item, task.repeat)
            if self._cache:
                self._cache.keep(task.item, task.repeat, verdict)
        except JudgeUnavailable as error:
            with self._lock:
                self._away, self.last = self._away + 1, str(error)
            return Verdict("failed", failure=str(error))
        except Exception as error:
            return Verdict("failed", failure=f"{type(error).__name__}: {error}")
        with self._lock:
            self._away = 0
        return verdict


def _report(judge: Judge, verdicts: Sequence[Verdict], asked: int) -> None:
    if asked < len(verdicts):
        say(f"judge {judge.name}: {len(verdicts) - asked} of {len(verdicts)} verdicts were known, {asked} asked for")
    for status in ("failed", "too_long"):
        found = [verdict for verdict in verdicts if verdict.status == status]
        if found:
            say(f"judge {judge.name}: {len(found)} of {len(verdicts)} {status}, for example: {found[0].failure}")
