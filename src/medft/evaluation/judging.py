"""The judge stage: verdicts on all answers. A judge that fails never loses a run."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean

from medft.console import say, track, warn
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.base import Judge, Question, Verdict
from medft.evaluation.predictions import Prediction


def judge_predictions(judge: Judge, predictions: Sequence[Prediction]) -> dict[str, float]:
    """Judge the answers before and after fine-tuning, and put the verdicts into `predictions`.

    Returns:
        `judge/<name>/score` and `baseline_score`, the means over scored rows; `scored` and `failed`, counts over all
        answers given to the judge, before and after. A mean of nothing is left out.
    """
    rows = predictions[: judge.limit] if judge.limit else predictions
    sides = {
        "test": [(row, row.generated_answer) for row in rows],
        "baseline": [(row, row.baseline_answer) for row in rows if row.baseline_answer is not None],
    }
    tasks = [(side, row, answer) for side, answers in sides.items() for row, answer in answers]
    verdicts = _verdicts(judge, [_question(row, answer) for _, row, answer in tasks])
    scores: dict[str, list[int]] = {"test": [], "baseline": []}
    for (side, row, _), verdict in zip(tasks, verdicts, strict=True):
        row.judge.setdefault(judge.name, {})[side] = asdict(verdict)
        if verdict.score is not None:
            scores[side].append(verdict.score)
    return _metrics(judge.name, scores, len(verdicts))


def _metrics(name: str, scores: dict[str, list[int]], asked: int) -> dict[str, float]:
    scored = sum(map(len, scores.values()))
    metrics = {f"judge/{name}/scored": float(scored), f"judge/{name}/failed": float(asked - scored)}
    for side, key in (("test", "score"), ("baseline", "baseline_score")):
        if scores[side]:
            metrics[f"judge/{name}/{key}"] = fmean(scores[side])
    return metrics


def _verdicts(judge: Judge, questions: Sequence[Question]) -> list[Verdict]:
    """A verdict for each, in order; once the judge is gone the rest are failed, with the reason."""
    verdicts: list[Verdict] = []
    try:
        for question in track(questions, f"Judging with {judge.name}"):
            verdicts.append(judge.score(question))
    except JudgeUnavailable as error:
        warn(f"{error}; {len(questions) - len(verdicts)} answers are left unjudged: medft judge run=<id>")
        verdicts += [Verdict(None, failure=str(error))] * (len(questions) - len(verdicts))
    failed = [verdict for verdict in verdicts if verdict.score is None]
    if failed:
        counts = f"{len(failed)} of {len(verdicts)} answers have no score"
        say(f"judge {judge.name}: {counts}, for example: {failed[0].failure}")
    return verdicts


def _question(row: Prediction, answer: str) -> Question:
    return Question(f"{row.instruction}\n{row.input}".strip(), row.expected, answer)
