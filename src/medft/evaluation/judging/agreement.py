"""How far a judge agrees with itself, with an earlier pass and with another judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from medft.evaluation.judging.verdicts import BOUNDS, pair_scores
from medft.evaluation.predictions import SIDES, Prediction, list_judges
from medft.metrics.statistics import Difference, Estimate, Ratio


@dataclass(frozen=True)
class Agreement:
    """Two judges on the answers that both have scored.

    Attributes:
        judges: their names.
        answers: how many those are.
        spearman: rank correlation; None where one judge gives every answer the same.
        bias: points that the first gives more than the second.
    """

    judges: tuple[str, str]
    answers: int
    spearman: float | None
    bias: Difference


def compare_judges(rows: Sequence[Prediction]) -> list[Agreement]:
    """Each pair of judges on the answers after fine-tuning, judges in alphabetical order."""
    from scipy.stats import spearmanr

    agreements = []
    for left, right in combinations(list_judges(rows), 2):
        if both := pair_scores(rows, (left, "test"), (right, "test")):
            first, second = both
            varied = all(len(set(each.sums)) > 1 for each in both)
            spearman = float(spearmanr(first.sums, second.sums).statistic) if varied else None
            agreements.append(Agreement((left, right), len(first.sums), spearman, first.subtract(second)))
    return agreements


def estimate_self_agreement(judge: str, rows: Sequence[Prediction]) -> dict[str, Estimate]:
    """With `judge.repeats`: the share of answers that got one score every time, and the mean range of points."""
    same, ranges, documents = [], [], []
    for row in rows:
        for side in SIDES:
            verdict = row.verdict(judge, side)
            scores = [each.score for each in verdict.repeats if each.score is not None] if verdict else []
            if len(scores) > 1:
                same.append(float(len(set(scores)) == 1))
                ranges.append(float(max(scores) - min(scores)))
                documents.append(row.document)
    return _estimate_agreement("self", same, ranges, documents)


def estimate_pass_agreement(pairs: Sequence[tuple[str, float, float]]) -> dict[str, Estimate]:
    """With an earlier pass of the same judge.

    Args:
        pairs: (document, score then, score now) of each answer that has both.
    """
    same, ranges = [float(old == new) for _, old, new in pairs], [abs(old - new) for _, old, new in pairs]
    return _estimate_agreement("pass", same, ranges, [document for document, _, _ in pairs])


def _estimate_agreement(
    kind: str, same: Sequence[float], ranges: Sequence[float], documents: Sequence[str]
) -> dict[str, Estimate]:
    if not same:
        return {}
    return {
        f"{kind}_agreement": Ratio.of(same, documents, bounds=(0, 1)).estimate(),
        f"{kind}_range": Ratio.of(ranges, documents, bounds=BOUNDS).estimate(),
    }
