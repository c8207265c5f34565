"""What verdicts come to: means with intervals, the gain over the baseline, reliability on controls, agreement."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import get_args

from medft.evaluation.judges.base import Status, Verdict
from medft.evaluation.predictions import SIDES, Prediction, list_groups, list_judges
from medft.metrics.registry import BeforeAfter
from medft.metrics.statistics import Difference, Estimate, Ratio

BOUNDS = (0.0, 100.0)  # of a judge's score
_WRONG = {  # the controls beside `expected`
    "other": "another question's answer",
    "empty": "an empty answer",
    "claim": "another question's answer that says it deserves 100",
}
_LATER = ("claim",)  # which verdicts of earlier versions do not have
_APART = 30.0  # points that the expected answer has to be above a wrong one


def merge_repeats(verdicts: Sequence[Verdict]) -> Verdict:
    """All repeats on one answer as one verdict, with the mean score of those that have one."""
    first = next((verdict for verdict in verdicts if verdict.score is not None), verdicts[0])
    if len(verdicts) == 1:
        return first
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    return replace(first, score=fmean(scores) if scores else None, repeats=tuple(verdicts))


def collect_scores(judge: str, rows: Sequence[Prediction], side: str) -> Ratio | None:
    """The scores of one side, of the rows that have one; None if no row has."""
    given = [(row.judge_score(judge, side), group) for row, group in zip(rows, list_groups(rows), strict=True)]
    scored = [(score, group) for score, group in given if score is not None]
    if not scored:
        return None
    return Ratio.of([score for score, _ in scored], [group for _, group in scored], bounds=BOUNDS)


def pair_scores(
    rows: Sequence[Prediction], left: tuple[str, str], right: tuple[str, str]
) -> tuple[Ratio, Ratio] | None:
    """The scores of two (judge, side) on the rows that both have scored; None if there are none."""
    both = [row for row in rows if row.judge_score(*left) is not None and row.judge_score(*right) is not None]
    first, second = (collect_scores(judge, both, side) for judge, side in (left, right))
    return (first, second) if first and second else None


@dataclass(frozen=True)
class Reliability:
    """Whether a judge tells the expected answer from a wrong one (None = its controls are too few), and why."""

    reliable: bool | None
    why: str


def assess_reliability(judge: str, rows: Sequence[Prediction]) -> Reliability:
    """A judge is reliable if it puts the expected answer at least 30 points above another question's answer, above the
    same where it claims a score of 100, and above an empty one, on average over the same questions. Where the 95%
    interval of a difference reaches 0, it is unknown.
    """
    gaps = {}
    for wrong in _WRONG:
        if wrong in _LATER and not any(row.verdict(judge, f"control_{wrong}") for row in rows):
            continue
        both = pair_scores(rows, (judge, "control_expected"), (judge, f"control_{wrong}"))
        if both is None:
            return Reliability(None, f"no question has a score for the expected answer and for control {wrong}")
        gaps[wrong] = both[0].subtract(both[1])
    if any(gap.low is None for gap in gaps.values()):
        return Reliability(None, "all its controls are of one group")
    small = [f"{gap.value:.1f} points above {_WRONG[wrong]}" for wrong, gap in gaps.items() if gap.value < _APART]
    if small:
        return Reliability(False, f"it puts the expected answer only {' and only '.join(small)}")
    if any((gap.low or 0) <= 0 for gap in gaps.values()):
        return Reliability(None, "its controls are of too few groups to tell (judge.controls, more test questions)")
    proof = " that claims a score of 100" if "claim" in gaps else ""
    return Reliability(True, f"it tells the expected answer from another question's{proof} and from an empty one")


@dataclass(frozen=True)
class Agreement:
    """Two judges on the answers that both have scored.

    Attributes:
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


def estimate_agreement(kind: str, answers: Sequence[tuple[str, Sequence[float]]]) -> dict[str, Estimate]:
    """The share of answers that got the same score every time, and the mean range of points.

    Args:
        kind: `self` = of the repeats, `pass` = with an earlier pass of the same judge.
        answers: (group, scores) of each answer; an answer with a single score does not count.
    """
    groups, several = [], []
    for group, scores in answers:
        if len(scores) > 1:
            groups.append(group)
            several.append(scores)
    if not several:
        return {}
    same = [float(len(set(scores)) == 1) for scores in several]
    ranges = [max(scores) - min(scores) for scores in several]
    return {
        f"{kind}_agreement": Ratio.of(same, groups, bounds=(0, 1)).estimate(),
        f"{kind}_range": Ratio.of(ranges, groups, bounds=BOUNDS).estimate(),
    }


@dataclass(frozen=True)
class JudgeResults:
    """The results of one judge.

    Attributes:
        score: means over the answers that have one; where there are scores before and after, over the questions that
            have both.
        questions: how many those are.
        counts: by status, answers before and after together.
        controls: by control, the mean score; one that has no scores is left out.
        agreement: of the judge with itself, see `estimate_agreement`.
    """

    name: str
    score: BeforeAfter
    questions: int
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
    grouped = list(zip(list_groups(rows), rows, strict=True))
    answers = [(group, verdict) for group, row in grouped for side in SIDES if (verdict := row.verdict(judge, side))]
    statuses = Counter(verdict.status for _, verdict in answers)
    repeats = [(group, [each.score for each in verdict.repeats if each.score is not None])
               for group, verdict in answers]  # fmt: skip
    sides = ("baseline", "test", "control_expected", *(f"control_{wrong}" for wrong in _WRONG))
    scored = {side: ratio for side in sides if (ratio := collect_scores(judge, rows, side))}
    means = {side: ratio.estimate() for side, ratio in scored.items()}
    both = pair_scores(rows, (judge, "test"), (judge, "baseline"))
    score = BeforeAfter(means.pop("baseline", None), means.pop("test", None))
    if both:  # an answer that got none is seldom any answer: its question is left out on the other side, too
        score = BeforeAfter(both[1].estimate(), both[0].estimate(), both[0].subtract(both[1]))
    return JudgeResults(
        name=judge,
        score=score,
        questions=len(both[0].sums) if both else len(scored["test"].sums) if "test" in scored else 0,
        counts={status: statuses[status] for status in get_args(Status)},
        reliability=assess_reliability(judge, rows),
        controls={side.removeprefix("control_"): mean for side, mean in means.items()},
        agreement=estimate_agreement("self", repeats) | (pass_agreement or {}),
    )
