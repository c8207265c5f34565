"""The metrics of verdicts: means with intervals, the gain over the baseline, counts, controls."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from medft.evaluation.judges.base import Status
from medft.evaluation.judging.agreement import estimate_self_agreement
from medft.evaluation.judging.controls import Reliability, assess_reliability, estimate_controls
from medft.evaluation.judging.verdicts import collect_scores, pair_scores
from medft.evaluation.predictions import SIDES, Prediction
from medft.metrics.aggregate import BeforeAfter
from medft.metrics.statistics import Estimate

STATUSES: tuple[Status, ...] = ("scored", "failed", "too_long")


@dataclass(frozen=True)
class JudgeResults:
    """The results of one judge.

    Attributes:
        score: means over the answers that have one; the difference is paired, over questions with both.
        counts: by status, answers before and after together.
        controls: by control, the mean score.
        agreement: of the judge with itself, see `estimate_self_agreement` and `estimate_pass_agreement`.
    """

    name: str
    score: BeforeAfter
    counts: dict[Status, int]
    reliability: Reliability
    controls: dict[str, Estimate]
    agreement: dict[str, Estimate]


def summarize_judge(
    judge: str, rows: Sequence[Prediction], pass_agreement: dict[str, Estimate] | None = None
) -> JudgeResults:
    """All results of one judge.

    Args:
        pass_agreement: with an earlier pass, where there was one.
    """
    statuses = Counter(verdict.status for row in rows for side in SIDES if (verdict := row.verdict(judge, side)))
    before, after = (collect_scores(judge, rows, side) for side in ("baseline", "test"))
    both = pair_scores(rows, (judge, "test"), (judge, "baseline"))
    return JudgeResults(
        name=judge,
        score=BeforeAfter(
            before.estimate() if before else None,
            after.estimate() if after else None,
            both[0].subtract(both[1]) if both else None,
        ),
        counts={status: statuses[status] for status in STATUSES},
        reliability=assess_reliability(judge, rows),
        controls=estimate_controls(judge, rows),
        agreement=estimate_self_agreement(judge, rows) | (pass_agreement or {}),
    )
