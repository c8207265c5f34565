"""Controls: answers whose score is known beforehand, judged among the others, to see how reliable a judge is."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from medft.evaluation.judging.verdicts import collect_scores, pair_scores
from medft.evaluation.predictions import Prediction
from medft.metrics.statistics import Estimate

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
