"""What verdicts come to: means with intervals, the gain over the baseline, counts, controls."""

from collections import Counter
from collections.abc import Sequence

from medft.evaluation.judging.agreement import SIDES, self_agreement
from medft.evaluation.judging.controls import control_estimates, reliability
from medft.evaluation.judging.verdicts import paired, scores_of
from medft.evaluation.predictions import Prediction
from medft.metrics.statistics import Estimate, named

_KEYS = {"test": "score", "baseline": "baseline_score"}


def judge_metrics(judge: str, rows: Sequence[Prediction]) -> dict[str, float]:
    """All metrics of one judge, under `judge/<judge>/`.

    `score` and `baseline_score` are means over the answers that have one, `difference` is paired, over questions with
    both; `scored`, `failed` and `too_long` count answers before and after together; `control_*` see `controls`;
    `reliable` is 1 or 0 and left out where the controls do not say. A mean of nothing is left out.
    """
    counts = Counter(
        verdicts[side]["status"]
        for row in rows
        if (verdicts := row.judge.get(judge))
        for side in SIDES
        if side in verdicts
    )
    numbers = {status: float(counts[status]) for status in ("scored", "failed", "too_long")}
    found = reliability(judge, rows).reliable
    if found is not None:
        numbers["reliable"] = float(found)
    numbers |= named({**_means(judge, rows), **control_estimates(judge, rows), **self_agreement(judge, rows)})
    return {f"judge/{judge}/{key}": value for key, value in numbers.items()}


def _means(judge: str, rows: Sequence[Prediction]) -> dict[str, Estimate]:
    sides = {key: scores_of(judge, rows, side) for side, key in _KEYS.items()}
    means: dict[str, Estimate] = {key: scores.estimate() for key, scores in sides.items() if scores}
    both = paired(rows, (judge, "test"), (judge, "baseline"))
    return means | ({"difference": both[0].less(both[1])} if both else {})
