"""What an entry has cost, and which entries give the best score for their cost."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from medft.comparison.variants import Variant

TRAIN_SECONDS = "cost/train_seconds"
# each as a column of a table is called
COSTS = {
    TRAIN_SECONDS: "train s",
    "cost/train_tokens": "train tokens",
    "cost/tokens_per_second": "tokens/s",
    "cost/peak_memory": "peak MiB",
}


def costs_of(entry: Variant) -> dict[str, float]:
    """Means over the seeds, of what all runs have logged; nothing for the model before fine-tuning."""
    if entry.is_before:
        return {}
    logged = [key for key in COSTS if all(key in run.metrics for run in entry.runs)]
    return {key: fmean(run.metrics[key] for run in entry.runs) for key in logged}


def pareto_front(points: Mapping[str, tuple[float, float]], lower_is_better: bool) -> list[str]:
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
