"""The judge stage: verdicts on all answers and on the controls. A judge that fails never loses a run."""

from collections.abc import Sequence
from pathlib import Path

from medft.console import say, warn
from medft.evaluation.judges.base import Judge, JudgeItem
from medft.evaluation.judging.agreement import estimate_pass_agreement
from medft.evaluation.judging.cache import open_cache
from medft.evaluation.judging.controls import sample_controls
from medft.evaluation.judging.metrics import JudgeResults, summarize_judge
from medft.evaluation.judging.runner import Task, ask_all
from medft.evaluation.judging.verdicts import merge_repeats
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
