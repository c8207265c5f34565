"""A judge that is no model, and rows to judge."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from medft.evaluation.judges.base import Judge, JudgeItem, Verdict
from medft.evaluation.judging.judge_run import judge_predictions
from medft.evaluation.predictions import Prediction
from medft.runs.metric_names import flatten_judge
from tests.comparison.helpers import answer


class Scripted(Judge):
    """Scores by a function of (item, repeat); keeps what it was asked."""

    name: str = "scripted"
    rule: Callable[[JudgeItem, int], int | Exception | None]
    told: list[tuple[JudgeItem, int]]
    loads: list[int]
    window: int | None = None

    def prepare(self) -> "Scripted":
        return self

    def load(self) -> None:
        self.loads.append(1)

    @property
    def context(self) -> int | None:
        return self.window

    def depends_on(self) -> dict[str, object]:
        return {"name": self.name}

    def score(self, item: JudgeItem, repeat: int = 0) -> Verdict:
        with LOCK:
            self.told.append((item, repeat))
        found = self.rule(item, repeat)
        if isinstance(found, Exception):
            raise found
        if found is None:
            return Verdict("failed", failure="not a score", reply="?")
        return Verdict("scored", found, reply=str(found)) if found >= 0 else Verdict("too_long", failure="long")


LOCK = threading.Lock()


def scripted(rule: Callable[[JudgeItem, int], int | Exception | None], **settings: object) -> Scripted:
    """A judge with its own lists; rules give a score, None for a failure, -1 for too long, or raise."""
    return Scripted(rule=rule, told=[], loads=[], **settings)


def rows(count: int, baseline: bool = True, documents: int = 0) -> list[Prediction]:
    """Row n expects "e<n>", was answered "old<n>" and "new<n>"."""
    return [
        Prediction(
            id=f"id{n}", group=f"g{n}", document=f"d{n % documents if documents else n}", instruction=f"q{n}", input="",
            expected=f"e{n}", baseline=answer(f"old{n}") if baseline else None, test=answer(f"new{n}"),
        )
        for n in range(count)
    ]  # fmt: skip


def judge_rows(judge: Judge, predictions: Sequence[Prediction], cache: Path) -> dict[str, float]:
    """What a judge makes of rows, under the names that MLflow has."""
    return flatten_judge(judge_predictions(judge, predictions, cache))
