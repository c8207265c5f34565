"""What runs of a sweep add to each question beyond what their setting, seed and group do: for `verdicts` to draw from.

    python -m benchmarks residuals EXPERIMENT [EXPERIMENT ...]

Writes runs.csv beside this file: the bits and bytes of each test question under each run of the newest sweeps of these
names, questions and groups as numbers. Printed are standard deviations in bits per byte: of seeds, of what they do to
all settings alike, of what a setting does to a group, of what a seed does to a group, and of the rest of a question.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("runs.csv")
COLUMNS = ["experiment", "setting", "seed", "question", "group", "bytes", "bits"]
LEAST = 3  # questions of a group, so that something is left of them beyond their mean


@dataclass(frozen=True)
class Runs:
    """The runs of one experiment.

    Attributes:
        values: (settings, seeds, questions), what each question adds to a run's bits per byte, times the questions.
        groups: (questions,), numbered from 0.
        shares: (questions,), of each question in all bytes.
    """

    values: np.ndarray
    groups: np.ndarray
    shares: np.ndarray

    def collect_residuals(self) -> np.ndarray:
        """(residuals,), of questions of groups of `LEAST` or more; what a seed does to all settings alike is left out,
        since differences between settings are without it.
        """
        settings, seeds, _ = self.values.shape
        apart = self.values - self.values.mean(1, keepdims=True)
        apart -= apart.mean(0)
        found = []
        for group in np.flatnonzero(np.bincount(self.groups) >= LEAST):
            own = apart[..., self.groups == group]
            count = own.shape[-1]
            left = own - own.mean(-1, keepdims=True)
            # each mean that is taken out makes the rest smaller
            lost = (1 - 1 / seeds) * (1 - 1 / settings) * (1 - 1 / count)
            found.append(left.ravel() / np.sqrt(lost))
        return np.concatenate(found)

    def describe(self) -> dict[str, float]:
        """Standard deviations of what the values are made of, by the sums of squares of a crossed design."""
        rest = self.collect_residuals().var()
        luck = self.values.mean(-1)
        settings, seeds = luck.shape
        apart = luck - luck.mean(1, keepdims=True)
        shared = apart.mean(0)
        df = (settings - 1) * (seeds - 1)
        own_variance = ((apart - shared) ** 2).sum() / df
        # a group's value beyond the run's, per setting and per run: what it adds by its share is of the run as a whole
        shares = np.bincount(self.groups, self.shares)
        by_group = self._sum_by_group() / shares - luck[..., None]
        by_group -= by_group.mean((0, 1))
        by_setting = by_group.mean(1)
        by_seed = by_group - by_setting[:, None]
        by_seed -= by_seed.mean(0)  # what a seed does to a group under all settings alike
        # what questions alone would make of it
        count = np.bincount(self.groups)
        noise = rest * count / (shares * len(self.groups)) ** 2
        seed_variance = np.average((by_seed**2).sum((0, 1)) / df - noise, weights=shares)
        setting_variance = np.average((by_setting**2).sum(0) / (settings - 1), weights=shares)
        setting_variance -= max(0.0, seed_variance) / seeds + np.average(noise, weights=shares) / seeds
        variances = {
            "seeds, each setting": own_variance,
            "seeds, all settings alike": (shared**2).sum() / (seeds - 1) - own_variance / settings,
            "setting by group": setting_variance,
            "seed by group": seed_variance,
            "rest of a question": rest,
        }
        return {name: float(np.sqrt(max(0.0, variance))) for name, variance in variances.items()}

    def _sum_by_group(self) -> np.ndarray:
        """(settings, seeds, groups), what each adds to a run's bits per byte."""
        places = np.eye(self.groups.max() + 1)[self.groups]
        return np.asarray(self.values @ places / self.values.shape[-1])


def read_runs() -> dict[str, Runs]:
    """The runs of runs.csv by experiment."""
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for experiment in dict.fromkeys(row["experiment"] for row in rows):
        own = [row for row in rows if row["experiment"] == experiment]
        settings, seeds = (list(dict.fromkeys(row[key] for row in own)) for key in ("setting", "seed"))
        bits = np.array([float(row["bits"]) for row in own]).reshape(len(settings), len(seeds), -1)
        questions = own[: bits.shape[-1]]
        counts = np.array([float(row["bytes"]) for row in questions])
        groups = np.array([int(row["group"]) for row in questions])
        found[experiment] = Runs(bits / counts.mean(), groups, counts / counts.sum())
    return found


def list_rows(experiment: str) -> Iterator[list[object]]:
    """The lines of runs.csv of a sweep: settings, their seeds, their questions."""
    from medft.comparison.metrics import collect_metrics
    from medft.comparison.variants import align_questions, make_variants
    from medft.config.compose import compose_config
    from medft.metrics.registry import PRIMARY
    from medft.runs.query import RunStore
    from medft.runs.record import RunQuery, load_runs
    from medft.runs.sweeps import read_sweep

    store = RunStore(compose_config([]))
    sweep = read_sweep(store.find_sweep(experiment).state)
    runs, _ = load_runs(store, RunQuery(parent=sweep.run_id))
    aligned, _ = align_questions(runs, shared_only=False)
    variants, _ = make_variants(aligned, swept=sweep.settings)
    metrics, _ = collect_metrics(variants)
    for variant in variants:
        for run, ratio in zip(variant.runs, metrics[PRIMARY][variant.name], strict=True):
            rows = zip(ratio.number_groups(), ratio.counts, ratio.sums, strict=True)
            for question, (group, count, bits) in enumerate(rows):
                yield [experiment, variant.name, run.seed, question, group, int(count), f"{bits:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT")
    experiments = parser.parse_args().experiments
    if experiments:
        with FILE.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for experiment in experiments:
                writer.writerows(list_rows(experiment))
    for experiment, runs in read_runs().items():
        print(f"{experiment}: {' x '.join(map(str, runs.values.shape))} settings, seeds, questions")
        for name, value in runs.describe().items():
            print(f"  {name:<27}{value:.4f}")


if __name__ == "__main__":
    main()
