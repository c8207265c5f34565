"""The judge stage: verdicts on all answers and on the controls. A judge that fails never loses a run."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from medft.console import Progress, say, warn
from medft.errors import JudgeUnavailable, MedftError
from medft.evaluation.judges.base import Judge, JudgeItem, Verdict
from medft.evaluation.judging.cache import VerdictCache, open_cache
from medft.evaluation.judging.metrics import (
    JudgeResults,
    estimate_pass_agreement,
    merge_repeats,
    sample_controls,
    summarize_judge,
)
from medft.evaluation.predictions import SIDES, Prediction

Case = tuple[Prediction, str, str]  # a question, a side, and the answer to judge


def judge_predictions(judge: Judge, predictions: Sequence[Prediction], cache: Path) -> JudgeResults:
    """Judge the answers before and after fine-tuning, and put the verdicts into `predictions`.

    Args:
        cache: the folder under which verdicts are kept, `paths.cache_dir`.

    Returns:
        The results; with `judge.cache=false` also how far this pass agrees with the one whose verdicts were in
        `predictions`.
    """
    cases = _collect_cases(judge, predictions)
    items = [JudgeItem(row.instruction, row.input, row.expected, answer) for row, _, answer in cases]
    tasks = [Task(item, repeat) for item in items for repeat in range(judge.repeats)]
    verdict_cache = open_cache(judge, cache)
    try:
        verdicts = ask_all(judge, tasks, verdict_cache)
    finally:
        if verdict_cache:
            verdict_cache.close()
    pairs = []
    for place, (row, side, _) in enumerate(cases):
        verdict = merge_repeats(verdicts[place * judge.repeats : (place + 1) * judge.repeats])
        old = row.judge_score(judge.name, side)
        if old is not None and verdict.score is not None and side in SIDES and not judge.cache:
            pairs.append((row.document, old, float(verdict.score)))
        if old is None or verdict.score is not None:  # a verdict that did not come does not replace one that did
            row.verdicts.setdefault(judge.name, {})[side] = verdict
    results = summarize_judge(judge.name, predictions, estimate_pass_agreement(pairs))
    reliability = results.reliability
    if judge.controls and reliability.reliable:
        say(f"judge {judge.name}: reliable on its controls ({reliability.why})")
    elif judge.controls:
        word = "unreliable" if reliability.reliable is False else "of unknown worth"
        warn(f"judge {judge.name} is {word}: {reliability.why}")
    return results


def _collect_cases(judge: Judge, predictions: Sequence[Prediction]) -> list[Case]:
    """What is judged. Both answers to a question come one after the other: if the judge goes away, both means are over
    the same questions. Controls come first: whether the other scores mean anything depends on them.
    """
    rows = predictions[: judge.limit] if judge.limit else predictions
    controls = sample_controls(rows, judge.controls, judge.controls_seed)
    cases = [(row, f"control_{name}", answer) for row, name, answer in controls]
    for row in rows:
        cases.append((row, "test", row.test.answer))
        if row.baseline:
            cases.append((row, "baseline", row.baseline.answer))
    return cases


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
