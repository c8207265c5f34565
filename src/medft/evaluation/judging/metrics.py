"""What verdicts come to: means with intervals, the gain over the baseline, reliability on controls, agreement."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from medft.evaluation.judges.base import Status, Verdict
from medft.evaluation.predictions import SIDES, Prediction, list_judges
from medft.metrics.registry import BeforeAfter
from medft.metrics.statistics import Difference, Estimate, Ratio

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


CONTROLS = ("expected", "other", "empty")
_WRONG = {"other": "another question's answer", "empty": "an empty answer"}
_APART = 30.0  # points that the expected answer has to be above a wrong one


@dataclass(frozen=True)
class Reliability:
    """Whether a judge tells the expected answer from a wrong one.

    Attributes:
        reliable: None = its controls are too few to decide.
        why: the reason, as text.
    """

    reliable: bool | None
    why: str


def sample_controls(rows: Sequence[Prediction], count: int, seed: int) -> list[tuple[Prediction, str, str]]:
    """(row, control, answer) of the rows that get controls: the `count` whose hash of (seed, id) is the lowest, so
    that runs on the same questions share them. `other` is the expected answer of another question, of another
    document if there is one.
    """
    order = sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row.id}".encode()).digest())
    controls = []
    for place, row in enumerate(order[:count]):
        controls.append((row, "expected", row.expected))
        others = [each for each in order[place + 1 :] + order[:place] if each.expected != row.expected]
        elsewhere = [each for each in others if each.document != row.document and each.group != row.group]
        if others:
            controls.append((row, "other", (elsewhere or others)[0].expected))
        controls.append((row, "empty", ""))
    return controls


def estimate_controls(judge: str, rows: Sequence[Prediction]) -> dict[str, Estimate]:
    """Mean scores by control; one that has no scores is left out."""
    ratios = {name: collect_scores(judge, rows, f"control_{name}") for name in CONTROLS}
    return {name: ratio.estimate() for name, ratio in ratios.items() if ratio}


def assess_reliability(judge: str, rows: Sequence[Prediction]) -> Reliability:
    """A judge is reliable if it puts the expected answer at least 30 points above another question's answer and above
    an empty one, on average over the same questions. Where the 95% interval of a difference reaches 0, it is unknown.
    """
    gaps = {}
    for wrong in CONTROLS[1:]:
        both = pair_scores(rows, (judge, "control_expected"), (judge, f"control_{wrong}"))
        if both is None:
            return Reliability(None, f"no question has a score for the expected answer and for control {wrong}")
        gaps[wrong] = both[0].subtract(both[1])
    if any(gap.low is None for gap in gaps.values()):
        return Reliability(None, "all its controls are of one document")
    small = [f"{gap.value:.1f} points above {_WRONG[wrong]}" for wrong, gap in gaps.items() if gap.value < _APART]
    if small:
        return Reliability(False, f"it puts the expected answer only {' and only '.join(small)}")
    if any((gap.low or 0) <= 0 for gap in gaps.values()):
        return Reliability(None, "its controls are of too few documents to tell (judge.controls, more test questions)")
    return Reliability(True, "it tells the expected answer from another question's and from an empty one")


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
