"""MLflow's door for numbers: typed results become flat names here, and flat names become typed results again.

test/<metric>, baseline/<metric>         after and before fine-tuning
difference/<metric>                      after less before
judge/<judge>/score, baseline_score, difference, scored, failed, too_long, reliable, control_<name>, ...
agreement/<judge>_<judge>/spearman, bias, answers
human/better, worse, equal, marks, questions, people, agreement_<judge>, agreement_<judge>_pairs
reference/unigram_loss, cost/<cost>
<key>_ci_low, <key>_ci_high, <key>_p     the interval and, of a difference, the p-value of any of them
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from medft.evaluation.judging.human import HumanResults
from medft.evaluation.judging.metrics import Agreement, JudgeResults
from medft.metrics.registry import METRICS, BeforeAfter
from medft.metrics.statistics import Difference, Estimate

if TYPE_CHECKING:  # torch takes seconds to import
    from medft.training.fit import TrainingCosts

UNIGRAM_LOSS = "reference/unigram_loss"
LOSS_CURVES = TRAIN_LOSS, VAL_LOSS = ("train/loss", "val/loss")
_COST = "cost/"
_SIDES = ("baseline", "test", "difference")

Metrics = Mapping[str, float]


def flatten_estimate(key: str, estimate: Estimate | None) -> dict[str, float]:
    """One estimate under `key`, with its ends and its p-value where it has them."""
    if estimate is None:
        return {}
    parts = {f"{key}_ci_low": estimate.low, f"{key}_ci_high": estimate.high}
    if isinstance(estimate, Difference):
        parts[f"{key}_p"] = estimate.p
    return {key: estimate.value} | {name: number for name, number in parts.items() if number is not None}


def read_estimate(metrics: Metrics, key: str) -> Estimate | None:
    """The reverse of `flatten_estimate`."""
    if key not in metrics:
        return None
    low, high, p = (metrics.get(f"{key}_{part}") for part in ("ci_low", "ci_high", "p"))
    return Estimate(metrics[key], low, high) if p is None else Difference(metrics[key], low, high, p)


def flatten_results(results: Mapping[str, BeforeAfter], unigram_loss: Estimate) -> dict[str, float]:
    """The metrics of the answers, and the reference that they are read against."""
    flat = flatten_estimate(UNIGRAM_LOSS, unigram_loss)
    for name, result in results.items():
        for side, estimate in zip(_SIDES, (result.before, result.after, result.difference), strict=True):
            flat |= flatten_estimate(f"{side}/{name}", estimate)
    return flat


def read_results(metrics: Metrics) -> dict[str, BeforeAfter]:
    """The reverse of `flatten_results`, of the metrics that the run has."""
    results = {}
    for name in METRICS:
        before, after, difference = (read_estimate(metrics, f"{side}/{name}") for side in _SIDES)
        if after:
            results[name] = BeforeAfter(before, after, difference if isinstance(difference, Difference) else None)
    return results


def flatten_costs(costs: "TrainingCosts") -> dict[str, float]:
    """What training has cost."""
    return {f"{_COST}{name}": value for name, value in asdict(costs).items() if value is not None}


def read_costs(metrics: Metrics) -> dict[str, float]:
    """The reverse of `flatten_costs`, of the costs that the run has."""
    return {key.removeprefix(_COST): value for key, value in metrics.items() if key.startswith(_COST)}


def flatten_judge(results: JudgeResults, agreements: Sequence[Agreement] = ()) -> dict[str, float]:
    """The results of a judge, and how far it agrees with others.

    `reliable` is 1 or 0 and left out where the controls do not say; a mean of nothing is left out.
    """
    flat: dict[str, float] = {status: float(count) for status, count in results.counts.items()}
    flat["questions"] = float(results.questions)
    if results.reliability.reliable is not None:
        flat["reliable"] = float(results.reliability.reliable)
    score, controls = results.score, {f"control_{name}": estimate for name, estimate in results.controls.items()}
    estimates = {"score": score.after, "baseline_score": score.before, "difference": score.difference}
    estimates |= controls | dict(results.agreement)
    for key, estimate in estimates.items():
        flat |= flatten_estimate(key, estimate)
    named = {f"judge/{results.name}/{key}": value for key, value in flat.items()}
    for agreement in agreements:
        base = f"agreement/{'_'.join(agreement.judges)}"
        named |= {f"{base}/answers": float(agreement.answers)} | flatten_estimate(f"{base}/bias", agreement.bias)
        if agreement.spearman is not None:
            named[f"{base}/spearman"] = agreement.spearman
    return named


def flatten_human(results: HumanResults) -> dict[str, float]:
    """What the marks by people come to; a share of nothing is left out."""
    counts = {"marks": sum(results.counts.values()), "questions": results.questions, "people": len(results.people)}
    flat = {f"human/{name}": float(count) for name, count in counts.items()}
    for choice, share in results.shares.items():
        flat |= flatten_estimate(f"human/{choice}", share)
    for each in results.agreement:
        key = f"human/agreement_{each.judge}"
        flat |= {f"{key}_pairs": float(each.pairs)} | flatten_estimate(key, each.share)
    return flat
