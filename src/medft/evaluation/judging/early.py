"""Judging while a run still trains and writes (`judge.early`): verdicts wait in the judge's cache for the judge stage.

What goes wrong here is said and left to that stage, which asks for every verdict that is missing.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from pathlib import Path

from medft.console import progress, warn
from medft.data.example import Example
from medft.evaluation.judges.base import Judge, JudgeItem, Verdict
from medft.evaluation.judging.judge_run import Worker, collect_cases, make_item, open_cache
from medft.evaluation.predictions import make_predictions
from medft.metrics.metric import AnswerScores

_LETTERS = 4  # of a token, about; a prompt that needs more room than was planned for is asked again later


class EarlyJudge:
    """Asks a judge about answers as they come, from threads of its own."""

    def __init__(self, judge: Judge, test: Sequence[Example], worker: Worker, pool: ThreadPoolExecutor) -> None:
        self._judge, self._test, self._worker, self._pool = judge, test, worker, pool
        self._futures: dict[tuple[JudgeItem, int], Future[Verdict | None]] = {}
        self._loading = threading.Lock()
        self._is_loaded: bool | None = None

    def add_baseline(self, answers: Sequence[AnswerScores]) -> None:
        """Ask about the answers before fine-tuning, and the controls."""
        # what came after is not known yet; an answer is asked about once, whichever side it is on
        for row, _, answer in collect_cases(self._judge, make_predictions(self._test, answers, answers)):
            self._ask(make_item(row, answer))

    def add(self, place: int, answer: str) -> None:
        """Ask about an answer after fine-tuning to the test question at that place; beyond them are the probes, which
        are not judged.
        """
        if place < len(self._test) and place < (self._judge.limit or len(self._test)):
            self._ask(_make_item(self._test[place], answer))

    def wait(self) -> None:
        """Wait for all verdicts."""
        left = [future for future in self._futures.values() if not future.done()]
        with progress(f"Judging with {self._judge.name}", len(left)) as advance:
            for _ in as_completed(left):
                advance("", 1)

    def _ask(self, item: JudgeItem) -> None:
        for task in ((item, repeat) for repeat in range(self._judge.repeats)):
            if task not in self._futures:
                self._futures[task] = self._pool.submit(self._answer, task)

    def _answer(self, task: tuple[JudgeItem, int]) -> Verdict | None:
        return self._worker.find(task) or (self._worker.judge(task) if self._load() else None)

    def _load(self) -> bool:
        """Load the judge's model, once, when something has to be asked; whether that went well."""
        with self._loading:
            if self._is_loaded is None:
                try:
                    self._judge.load()
                    self._is_loaded = True
                except Exception as error:
                    warn(f"{error}; answers are judged when all are written")
                    self._is_loaded = False
            return self._is_loaded


@contextmanager
def judge_early(
    judge: Judge | None, test: Sequence[Example], most_tokens: int, cache: Path
) -> Iterator[EarlyJudge | None]:
    """Inside this context answers can be judged as they come; at its end all verdicts are waited for.

    Args:
        most_tokens: of an answer.
        cache: the folder under which verdicts are kept, `paths.cache_dir`.

    Returns:
        None if there is no judge, if it is not to be asked before all is written, or if its cache cannot be used.
    """
    kept = open_cache(judge, cache) if judge and judge.early else None
    if judge is None or kept is None:
        yield None
        return
    # the room for prompts is planned before there are answers
    longest = "a" * _LETTERS * most_tokens
    judge.plan([_make_item(row, max(longest, row.output, key=len)) for row in test])
    with closing(kept), ThreadPoolExecutor(judge.concurrency) as pool:
        early = EarlyJudge(judge, test, Worker(judge, kept), pool)
        try:
            yield early
            early.wait()
        except BaseException:  # what is being asked is waited for, the rest is not begun
            judge.interrupt()
            pool.shutdown(cancel_futures=True)
            raise


def _make_item(row: Example, answer: str) -> JudgeItem:
    return JudgeItem(row.instruction, row.input, row.output, answer)
