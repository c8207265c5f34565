"""The training costs of each variant, and the Pareto front of score and cost."""

from collections.abc import Mapping
from statistics import fmean

from medft.comparison.variants import Variant

COSTS = ("train_seconds", "train_tokens", "tokens_per_second", "peak_memory")
TRAIN_SECONDS = COSTS[0]


def average_costs(variant: Variant) -> dict[str, float]:
    """Means over the seeds, of what all runs have logged; nothing for the model before fine-tuning."""
    if variant.is_baseline:
        return {}
    logged = [name for name in COSTS if all(name in run.costs for run in variant.runs)]
    return {name: fmean(run.costs[name] for run in variant.runs) for name in logged}


def find_pareto_front(points: Mapping[str, tuple[float, float]], lower_is_better: bool) -> list[str]:
    """Names of the points that no other one dominates, by costing at most as much and scoring at least as well, one of
    both strictly.

    Args:
        points: by name, (cost, score).
    """
    sign = 1 if lower_is_better else -1
    losses = {name: (cost, sign * score) for name, (cost, score) in points.items()}
    return [
        name
        for name, (cost, loss) in losses.items()
        if not any(other[0] <= cost and other[1] <= loss and other != (cost, loss) for other in losses.values())
    ]
