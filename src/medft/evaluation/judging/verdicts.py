"""What a judge said, as it stands in the predictions."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from medft.evaluation.judges.base import Verdict
from medft.evaluation.predictions import Prediction
from medft.metrics.statistics import Ratio

BOUNDS = (0.0, 100.0)


def record(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The verdicts of all repeats on one answer as plain data: the mean score of those that have one."""
    first = asdict(next((verdict for verdict in verdicts if verdict.score is not None), verdicts[0]))
    if len(verdicts) == 1:
        return first
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return {
        **first,
        "score": fmean(scores) if scores else None,
        "repeats": [asdict(verdict) for verdict in verdicts],
    }


def score(row: Prediction, judge: str, side: str) -> float | None:
    """What a judge gave to one side of a row; None if it gave nothing."""
    found = row.judge.get(judge, {}).get(side, {}).get("score")
    return None if found is None else float(found)


def scores_of(judge: str, rows: Sequence[Prediction], side: str) -> Ratio | None:
    """The scores of one side, of the rows that have one; None if no row has."""
    found = [(number, row.document) for row in rows if (number := score(row, judge, side)) is not None]
    if not found:
        return None
    return Ratio.of([number for number, _ in found], [document for _, document in found], bounds=BOUNDS)


def paired(rows: Sequence[Prediction], left: tuple[str, str], right: tuple[str, str]) -> tuple[Ratio, Ratio] | None:
    """The scores of two (judge, side) on the rows that both have scored; None if there are none."""
    both = [row for row in rows if score(row, *left) is not None and score(row, *right) is not None]
    sides = [scores_of(judge, both, side) for judge, side in (left, right)]
    return (sides[0], sides[1]) if sides[0] and sides[1] else None
