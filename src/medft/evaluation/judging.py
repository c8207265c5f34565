"""The judge stage: verdicts on all answers. A judge that fails never loses a run."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean

from medft.console import say, track, warn
from medft.errors import JudgeUnavailable
from medft.evaluation.judges.base import Judge, Question, Verdict
from medft.evaluation.predictions import Prediction

_AWAY_LIMIT = 3


def judge_predictions(judge: Judge, predictions: Sequence[Prediction]) -> dict[str, float]:
    """Judge the answers before and after fine-tuning, and put the verdicts into `predictions`.

    Returns:
        `judge/<name>/score` and `baseline_score`, the means over scored rows; `scored` and `failed`, counts over all
        answers given to the judge, before and after. A mean of nothing is left out.
    """
    rows = predictions[: judge.limit] if judge.limit else predictions
    # both answers to a question one after the other: if the judge goes away, both means are over the same questions
    sides = [(("test", row.generated_answer), ("baseline", row.baseline_answer)) for row in rows]
    tasks = [
        (side, row, answer)
        for row, pair in zip(rows, sides, strict=True)
        for side, answer in pair
        if answer is not None
    ]
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
    """A verdict for each, in order; when the judge was away for three answers in a row, the rest are not tried."""
    verdicts: list[Verdict] = []
    away = 0
    for question in track(questions, f"Judging with {judge.name}"):
        try:
            verdicts.append(judge.score(question))
            away = 0
        except JudgeUnavailable as error:
            verdicts.append(Verdict(None, failure=str(error)))
            away += 1
        except Exception as error:  # whatever a judge does, the run is measured and must not be lost
            verdicts.append(Verdict(None, failure=f"{type(error).__name__}: {error}"))
        if away == _AWAY_LIMIT:
            break
    left = len(questions) - len(verdicts)
    if left:
        warn(f"{verdicts[-1].failure}; {left} answers are left unjudged: medft judge run=<id>")
    verdicts += [Verdict(None, failure="not tried: the judge was away")] * left
    failed = [verdict for verdict in verdicts if verdict.score is None]
    if failed:
        counts = f"{len(failed)} of {len(verdicts)} answers have no score"
        say(f"judge {judge.name}: {counts}, for example: {failed[0].failure}")
    return verdicts


def _question(row: Prediction, answer: str) -> Question:
    return Question(f"{row.instruction}\n{row.input}".strip(), row.expected, answer)
