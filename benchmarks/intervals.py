"""How often a 95% interval covers the truth: medft's bootstrap-t over documents against scipy's bootstraps and plain t.

    python benchmarks/intervals.py [--sets 1000]

Simulated test sets of 30 and 100 documents of unequal size whose questions are alike: a judge's scores in fives, scores
of which 8 in 100 are not 0, a share of 0.24 and one of 0.03, a loss in nats a token over answers of unequal length, and
a long-tailed cost. The truth is the ratio of 400,000 documents. The peers resample documents too
(`scipy.stats.bootstrap` on per-document sums and counts, paired).
"""

import argparse
import math
import warnings
from collections import Counter
from importlib.metadata import version

import numpy as np
from scipy import stats

from medft.metrics.statistics import Ratio

KINDS = {
    "score": (0.0, 100.0),
    "mostly zero": (0.0, 100.0),
    "share": (0.0, 1.0),
    "rare share": (0.0, 1.0),
    "loss": (0.0, math.inf),
    "long tail": (0.0, math.inf),
}
RESAMPLES = 2_000


def simulated(kind: str, documents: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum, count and document of each question of a test set."""
    sizes = 1 + random.geometric(0.3, documents)
    place = np.repeat(np.arange(documents), sizes)
    latent, own = random.normal(0, 1, documents)[place], random.normal(0, 1, len(place))
    values = {
        "score": np.clip(np.round((30 + 25 * latent + 25 * own) / 5) * 5, 0, 100),
        "mostly zero": np.where(latent + own > 2.0, random.integers(1, 101, len(place)), 0.0),
        "share": (latent + own > 1.0).astype(float),
        "rare share": (latent + own > 2.6).astype(float),
        "loss": np.exp(0.8 + 0.2 * latent + 0.2 * own),
        "long tail": np.exp(0.6 * latent + 0.5 * own),
    }[kind]
    counts = np.ones(len(place))
    if kind == "loss":
        counts = np.ceil(np.exp(4.5 - 0.3 * latent + 0.8 * random.normal(0, 1, len(place))))
    return values * counts, counts, place


def ratio(sums: np.ndarray, counts: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(sums.sum(axis=axis) / counts.sum(axis=axis))


def intervals(kind: str, documents: int, random: np.random.Generator) -> dict[str, tuple[float, float]]:
    values, weights, place = simulated(kind, documents, random)
    found = Ratio.of(values, [str(document) for document in place], weights, KINDS[kind]).estimate()
    sums, counts = np.bincount(place, values), np.bincount(place, weights)
    value, size = ratio(sums, counts), len(sums)
    error = np.sqrt(((sums - value * counts) ** 2).sum() * size / (size - 1)) / counts.sum()
    reach = stats.t.ppf(0.975, size - 1) * error
    ends = {"medft": (found.low, found.high), "t": (value - reach, value + reach)}
    drawn = None
    for method in ("percentile", "BCa"):
        drawn = stats.bootstrap(
            (sums, counts), ratio, paired=True, vectorized=True, method=method, rng=random,
            n_resamples=0 if drawn else RESAMPLES, bootstrap_result=drawn,
        )  # fmt: skip
        ends[method] = tuple(drawn.confidence_interval)
    return ends


def main() -> None:
    warnings.simplefilter("ignore")  # BCa warns of resamples that are all alike
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1_000)
    sets = parser.parse_args().sets
    print(f"{sets} simulated test sets each, scipy {version('scipy')}, numpy {version('numpy')}")
    print("| metric | documents | medft | t | percentile | BCa |\n|---|---|---|---|---|---|")
    for kind in KINDS:
        truth = ratio(*simulated(kind, 400_000, np.random.default_rng(1))[:2])
        for documents in (30, 100):
            random, covered = np.random.default_rng(documents), Counter[str]()
            for _ in range(sets):
                for name, (low, high) in intervals(kind, documents, random).items():
                    covered[name] += bool(low <= truth <= high)
            cells = " | ".join(f"{covered[name] / sets:.3f}" for name in ("medft", "t", "percentile", "BCa"))
            print(f"| {kind} | {documents} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
