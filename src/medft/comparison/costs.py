"""What a variant has cost, and which variants give the best score for their cost."""

from collections.abc import Mapping, Sequence
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
    """Names of the points that no other one beats: costs at most as much and scores at least as well, one of both
    strictly.

    Args:
        points: by name, (cost, score).
    """
    sign = 1 if lower_is_better else -1
    losses = {name: (cost, sign * score) for name, (cost, score) in points.items()}
    return [name for name, own in losses.items() if not _is_beaten(own, list(losses.values()))]


def _is_beaten(own: tuple[float, float], others: Sequence[tuple[float, float]]) -> bool:
    return any(other[0] <= own[0] and other[1] <= own[1] and other != own for other in others)
