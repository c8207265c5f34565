"""The judge stage: verdicts on all answers and on the controls. A judge that fails never loses a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medft.console import say, warn
from medft.evaluation.judges.base import Judge, JudgeItem
from medft.evaluation.judging.agreement import estimate_pass_agreement
from medft.evaluation.judging.cache import open_cache
from medft.evaluation.judging.controls import Reliability, sample_controls
from medft.evaluation.judging.metrics import JudgeResults, summarize_judge
from medft.evaluation.judging.runner import Task, ask_all
from medft.evaluation.judging.verdicts import merge_repeats
from medft.evaluation.predictions import SIDES, Prediction


@dataclass(frozen=True)
class _Case:
    """One answer to judge, and where its verdict goes."""

    row: Prediction
    side: str
    answer: str

    @property
    def item(self) -> JudgeItem:
        return JudgeItem(self.row.instruction, self.row.input, self.row.expected, self.answer)


def judge_predictions(judge: Judge, predictions: Sequence[Prediction], cache: Path) -> JudgeResults:
    """Judge the answers before and after fine-tuning, and put the verdicts into `predictions`.

    Args:
        cache: the folder under which verdicts are kept, `paths.cache_dir`.

    Returns:
        The results; with `judge.cache=false` also how far this pass agrees with the one whose verdicts were in
        `predictions`.
    """
    cases = _collect_cases(judge, predictions)
    tasks = [Task(case.item, repeat) for case in cases for repeat in range(judge.repeats)]
    verdict_cache = open_cache(judge, cache)
    try:
        verdicts = ask_all(judge, tasks, verdict_cache)
    finally:
        if verdict_cache:
            verdict_cache.close()
    pairs = []
    for place, case in enumerate(cases):
        verdict = merge_repeats(verdicts[place * judge.repeats : (place + 1) * judge.repeats])
        old = case.row.judge_score(judge.name, case.side)
        if old is not None and verdict.score is not None and case.side in SIDES and not judge.cache:
            pairs.append((case.row.document, old, float(verdict.score)))
        if old is None or verdict.score is not None:  # a verdict that did not come does not replace one that did
            case.row.verdicts.setdefault(judge.name, {})[case.side] = verdict
    results = summarize_judge(judge.name, predictions, estimate_pass_agreement(pairs))
    if judge.controls:
        _announce_reliability(judge, results.reliability)
    return results


def _collect_cases(judge: Judge, predictions: Sequence[Prediction]) -> list[_Case]:
    """What is judged. Both answers to a question come one after the other: if the judge goes away, both means are over
    the same questions. Controls come first: what they say, all other scores hang on.
    """
    rows = predictions[: judge.limit] if judge.limit else predictions
    cases = [
        _Case(row, f"control_{name}", answer)
        for row, name, answer in sample_controls(rows, judge.controls, judge.controls_seed)
    ]
    for row in rows:
        cases.append(_Case(row, "test", row.test.answer))
        if row.baseline:
            cases.append(_Case(row, "baseline", row.baseline.answer))
    return cases


def _announce_reliability(judge: Judge, reliability: Reliability) -> None:
    if reliability.reliable:
        say(f"judge {judge.name}: reliable on its controls ({reliability.why})")
    else:
        word = "unreliable" if reliability.reliable is False else "of unknown worth"
        warn(f"judge {judge.name} is {word}: {reliability.why}")
