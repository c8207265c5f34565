"""Verdicts as numbers: the scores of one side, or of two on the questions that both have."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from medft.evaluation.judges.base import Verdict
from medft.evaluation.predictions import Prediction
from medft.metrics.statistics import Ratio

BOUNDS = (0.0, 100.0)  # of a judge's score


def merge_repeats(verdicts: Sequence[Verdict]) -> Verdict:
    """All repeats on one answer as one verdict, with the mean score of those that have one."""
    first = next((verdict for verdict in verdicts if verdict.score is not None), verdicts[0])
    if len(verdicts) == 1:
        return first
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return replace(first, score=fmean(scores) if scores else None, repeats=tuple(verdicts))


def collect_scores(judge: str, rows: Sequence[Prediction], side: str) -> Ratio | None:
    """The scores of one side, of the rows that have one; None if no row has."""
    scored = [(score, row.document) for row in rows if (score := row.judge_score(judge, side)) is not None]
    if not scored:
        return None
    return Ratio.of([score for score, _ in scored], [document for _, document in scored], bounds=BOUNDS)


def pair_scores(
    rows: Sequence[Prediction], left: tuple[str, str], right: tuple[str, str]
) -> tuple[Ratio, Ratio] | None:
    """The scores of two (judge, side) on the rows that both have scored; None if there are none."""
    both = [row for row in rows if row.judge_score(*left) is not None and row.judge_score(*right) is not None]
    first, second = (collect_scores(judge, both, side) for judge, side in (left, right))
    return (first, second) if first and second else None
