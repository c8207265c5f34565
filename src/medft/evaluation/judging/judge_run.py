"""The judge stage: verdicts on all answers and on the controls. A judge that fails never loses a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medft.console import say, warn
from medft.evaluation.judges.base import Judge, JudgeItem
from medft.evaluation.judging.agreement import SIDES, pass_agreement
from medft.evaluation.judging.cache import open_cache
from medft.evaluation.judging.controls import chosen, reliability
from medft.evaluation.judging.metrics import judge_metrics
from medft.evaluation.judging.runner import Task, ask_all
from medft.evaluation.judging.verdicts import record, score
from medft.evaluation.predictions import Prediction
from medft.metrics.statistics import named


@dataclass(frozen=True)
class _Case:
    """One answer to judge, and where its verdict goes."""

    row: Prediction
    side: str
    answer: str

    @property
    def item(self) -> JudgeItem:
        return JudgeItem(self.row.instruction, self.row.input, self.row.expected, self.answer)


def judge_predictions(judge: Judge, predictions: Sequence[Prediction], cache: Path) -> dict[str, float]:
    """Judge the answers before and after fine-tuning, and put the verdicts into `predictions`.

    Args:
        cache: the folder under which verdicts are kept, `paths.cache_dir`.

    Returns:
        The metrics, see `judge_metrics`; with `judge.cache=false` also `pass_agreement` and `pass_range`: how far this
        pass agrees with the one whose verdicts are in `predictions`.
    """
    cases = _cases(judge, predictions)
    tasks = [Task(case.item, repeat) for case in cases for repeat in range(judge.repeats)]
    kept = open_cache(judge, cache)
    try:
        verdicts = ask_all(judge, tasks, kept)
    finally:
        if kept:
            kept.close()
    pairs = []
    for place, case in enumerate(cases):
        found = record(verdicts[place * judge.repeats : (place + 1) * judge.repeats])
        old, new = score(case.row, judge.name, case.side), found["score"]
        if old is not None and new is not None and case.side in SIDES and not judge.cache:
            pairs.append((case.row.document, old, float(new)))
        _write(judge.name, case, found)
    earlier = {f"judge/{judge.name}/{key}": each for key, each in pass_agreement(pairs).items()}
    _announce(judge, predictions)
    return judge_metrics(judge.name, predictions) | named(earlier)


def _cases(judge: Judge, predictions: Sequence[Prediction]) -> list[_Case]:
    """What is judged. Both answers to a question come one after the other: if the judge goes away, both means are over
    the same questions. Controls come first: what they say, all other scores hang on.
    """
    rows = predictions[: judge.limit] if judge.limit else predictions
    controls = [
        _Case(row, f"control_{name}", answer) for row, name, answer in chosen(rows, judge.controls, judge.controls_seed)
    ]
    answers = [(row, side, text) for row in rows for side, text in _answers(row)]
    return controls + [_Case(row, side, text) for row, side, text in answers if text is not None]


def _answers(row: Prediction) -> list[tuple[str, str | None]]:
    return [("test", row.generated_answer), ("baseline", row.baseline_answer)]


def _write(judge: str, case: _Case, found: dict[str, Any]) -> None:
    """Put a verdict into its row; one that did not come does not replace one that did."""
    own: dict[str, Any] = case.row.judge.setdefault(judge, {})
    if found["score"] is not None or own.get(case.side, {}).get("score") is None:
        own[case.side] = found


def _announce(judge: Judge, predictions: Sequence[Prediction]) -> None:
    if not judge.controls:
        return
    found = reliability(judge.name, predictions)
    if found.reliable:
        say(f"judge {judge.name}: reliable on its controls ({found.why})")
    else:
        word = "unreliable" if found.reliable is False else "of unknown worth"
        warn(f"judge {judge.name} is {word}: {found.why}")
