"""How often a comparison calls settings different that are not, and how often it finds what is there.

    python -m benchmarks verdicts [--comparisons 10000] [--seeds 1,2,3,5] [--entries 2,8] [--luck shared,own] [--jobs 2]
        [--cells FILE.csv]

Simulated comparisons of settings with the code that compares them (`medft.comparison.settings`, Holm's correction):
runs of the same seeds on questions of 12 and 30 groups of MedQuAD's sizes. A run's metric is the sum of a setting's, of
its seed's luck (a standard deviation of 0.003, 0.0075 or 0.02, of what it does to all settings alike, or to each by
itself), of what the setting does to a group (0 or 0.02), of what the seed does to a group, and of a rest that questions
average out: drawn from what real runs have beside all that (runs.csv, see `residuals`). In some comparisons one setting
has three times the luck of the others; in some it is the reference.

The peer is the test of trained models, over groups alone, which is what p-values without seeds are. Printed are shares
of comparisons with at least one false finding, the coverage of 95% intervals of differences, the share of comparisons
that find a true difference of 0.04 (2 seeds) or 0.02 (more), and the power at the smallest detectable difference of the
true variances with the 10th to 90th percentile of those estimated.
"""

import argparse
import csv
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np
from benchmarks.residuals import read_runs
from scipy.stats import t

from medft.comparison.settings import Spread, estimate_spread, expect_spread, pool_seeds
from medft.comparison.significance import LEVEL, correct_holm

SIZES = {
    # the questions of each of the first groups of MedQuAD's test side
    12: (1, 2, 4, 3, 2, 2, 1, 1, 1, 2, 6, 2),
    30: (1, 2, 4, 3, 2, 2, 1, 1, 1, 2, 6, 2, 5, 1, 4, 1, 3, 1, 1, 5, 1, 1, 3, 1, 11, 1, 9, 7, 1, 1),
}
SEED_BY_GROUP = 0.007  # standard deviation of a group under a seed, over the experiments of runs.csv
SHARES = ("false", "peer", "covered", "power")  # of comparisons, as `measure` finds them
CHUNK = 500  # comparisons simulated at once


Method = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, Spread]]


@dataclass(frozen=True)
class Case:
    seeds: int
    entries: int
    spread: float
    groups: int
    by_group: float
    is_shared: bool  # luck is the same for all entries of a seed
    odd: int | None = None  # the entry with three times the luck; 0 = the reference
    effect: float = 0.0  # of the last entry


@functools.cache
def collect_residuals() -> np.ndarray:
    """What questions add to a run beyond its setting, seed and groups, in the runs of runs.csv."""
    return np.concatenate([runs.collect_residuals() for runs in read_runs().values()])


def draw(case: Case, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(comparisons, entries, seeds, groups) of what each group adds, and the share of each group."""
    sizes = np.array(SIZES[case.groups])
    shares = sizes / sizes.sum()
    scale = np.ones((case.entries, 1))
    if case.odd is not None:
        scale[case.odd] = 3.0
    shape = (count, case.entries, case.seeds)
    luck = random.normal(0, case.spread, (count, 1, case.seeds) if case.is_shared else shape) * scale
    values = luck[..., None] + random.normal(0, case.by_group / np.sqrt(2), (count, case.entries, 1, case.groups))
    values = values + random.normal(0, SEED_BY_GROUP, (*shape, case.groups))
    rest = random.choice(collect_residuals(), (*shape, sizes.sum()))
    values += np.add.reduceat(rest, np.cumsum(sizes) - sizes, axis=-1) / sizes
    values[:, -1] += case.effect
    return values * shares, shares


def compare(tables: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, Spread]:
    """Differences of all entries to the first, (comparisons, entries - 1), as a comparison computes them."""
    differences = tables[:, 1:] - tables[:, :1]
    if tables.shape[1] > 2:
        pool = pool_seeds(tables.sum(-1))
        apart = pool.is_apart[:, 1:] | pool.is_apart[:, :1]
        spread = estimate_spread(differences, shares, replace(pool, variance=pool.variance[:, None], is_apart=apart))
    else:
        spread = estimate_spread(differences, shares)
    return differences.sum(-1).mean(-1), spread


def compute_p_without_seeds(tables: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The peer: a t test over groups of the differences averaged over seeds."""
    apart = (tables[:, 1:] - tables[:, :1]).mean(2)
    value = apart.sum(-1)
    beyond = apart - value[..., None] * shares
    groups = len(shares)
    error = np.sqrt((beyond**2).sum(-1) * groups / (groups - 1))
    return np.asarray(2 * t.sf(np.abs(value) / error, groups - 1))


def know_spread(case: Case) -> Spread:
    """The spread of a difference by the variances that a case is drawn with; no entry is odd."""
    sizes = np.array(SIZES[case.groups])
    squares = (sizes / sizes.sum()) ** 2
    by_both = 2 * (squares * (SEED_BY_GROUP**2 + collect_residuals().var() / sizes)).sum() / case.seeds
    luck = 0.0 if case.is_shared else 2 * case.spread**2 / case.seeds
    parts = (luck + by_both, case.by_group**2 * squares.sum() + by_both, by_both)
    return expect_spread(*parts, seeds=case.seeds, groups=case.groups, variants=case.entries)


def simulate(case: Case, comparisons: int, tells: bool = False, method: Method = compare) -> dict[str, float]:
    """Shares of comparisons with a false finding, of intervals that cover the truth, and of a found last entry."""
    random = np.random.default_rng(1)
    seen: list[dict[str, np.ndarray]] = []
    for _ in range(0, comparisons, CHUNK):
        tables, shares = draw(case, CHUNK, random)
        peer = np.asarray((correct_holm(compute_p_without_seeds(tables, shares)) < LEVEL).any(-1))
        truth = np.zeros(case.entries - 1)
        truth[-1] = case.effect
        if case.seeds < 2:
            seen.append({"peer": peer})
            continue
        value, spread = method(tables, shares)
        found = np.asarray(correct_holm(spread.compute_p(value)) < LEVEL)
        false = np.asarray((found & (truth == 0)).any(-1))
        covered = (spread.compute_p(value - truth) >= LEVEL).mean(-1)  # in the interval
        told = {"told": np.median(spread.compute_detectable(LEVEL / (case.entries - 1)), -1)} if tells else {}
        seen.append({"peer": peer, "false": false, "covered": covered, "found": found[:, -1], **told})
    columns = {name: np.concatenate([each[name] for each in seen]) for name in seen[0]}
    result = {name: float(values.mean()) for name, values in columns.items()}
    if "told" in columns:
        result |= {f"told {share}": float(np.quantile(columns["told"], share / 100)) for share in (10, 50, 90)}
    return result


def list_cases(seeds: list[int], entries: list[int], lucks: list[bool]) -> Iterator[Case]:
    for groups in (30, 12):
        for count in entries:
            for several in seeds:
                for is_shared in lucks:
                    for odd in (None, 1, 0) if several > 1 else (None,):
                        for spread in (0.003, 0.0075, 0.02):
                            for by_group in (0.0, 0.02):
                                yield Case(several, count, spread, groups, by_group, is_shared, odd)


def measure(case: Case, comparisons: int) -> dict[str, float]:
    """What `simulate` finds where nothing differs, and the power where something does."""
    result = simulate(case, comparisons)
    if case.seeds > 1 and case.odd is None:
        effect = 0.04 if case.seeds == 2 else 0.02
        result["power"] = simulate(replace(case, effect=effect), comparisons)["found"]
    return result


def describe(case: Case) -> list[object]:
    odd = {None: "", 0: "reference", 1: "another"}[case.odd]
    return [case.groups, case.entries, case.seeds, "shared" if case.is_shared else "own", odd]


def summarize(cells: list[tuple[Case, dict[str, float]]]) -> list[str]:
    """The cells of one row of the table, over spreads and effects by group."""
    found = {name: [result[name] for _, result in cells if name in result] for name in ("false", "peer", "covered")}
    low, high = min(found["peer"]), max(found["peer"])
    if not found["false"]:
        return ["no sentence of settings", f"{low:.2f} to {high:.2f}", "", ""]
    power = [f"{result['power']:.2f}" for case, result in cells if case.spread == 0.0075 and "power" in result]
    return [
        f"{np.mean(found['false']):.3f} ({max(found['false']):.3f})",
        f"{low:.2f} to {high:.2f}",
        f"{min(found['covered']):.3f} to {max(found['covered']):.3f}",
        " / ".join(power),
    ]


def describe_detectable(case: Case, comparisons: int) -> str:
    told = simulate(case, min(comparisons, 2000), tells=True)
    low, middle, high = (told[f"told {share}"] for share in (10, 50, 90))
    true = float(know_spread(case).compute_detectable(LEVEL / (case.entries - 1)))
    found = simulate(replace(case, effect=true), comparisons)["found"]
    luck = "shared" if case.is_shared else "own"
    return (
        f"{case.entries} entries, {case.seeds} seeds, {luck} luck: {true:.4f}, power {found:.2f}; "
        f"told {middle:.4f} [{low:.4f}, {high:.4f}]"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--seeds", default="1,2,3,5")
    parser.add_argument("--entries", default="2,8")
    parser.add_argument("--luck", default="shared,own")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--cells", type=Path, help="a CSV file for each cell by itself")
    arguments = parser.parse_args()
    seeds, entries = ([int(each) for each in text.split(",")] for text in (arguments.seeds, arguments.entries))
    lucks = [luck == "shared" for luck in arguments.luck.split(",")]
    cases = list(list_cases(seeds, entries, lucks))
    print("| groups | entries | seeds | luck | odd entry | false, mean (worst) | without seeds | coverage | power |")
    print("|---|---|---|---|---|---|---|---|---|")
    cells = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        results = pool.map(measure, cases, [arguments.comparisons] * len(cases))
        for key, row in groupby(zip(cases, results, strict=True), key=lambda cell: describe(cell[0])):
            cells += (found := list(row))
            print(f"| {' | '.join(map(str, [*key, *summarize(found)]))} |", flush=True)
        print("\nThe smallest detectable difference with 30 groups, a spread of 0.0075 and 0.02 by group: by the true "
              "variances, the power there, and the median of what is told [10th, 90th percentile]")  # fmt: skip
        several = [Case(more, count, 0.0075, 30, 0.02, is_shared)
                   for count in entries for more in seeds if more > 1 for is_shared in lucks]  # fmt: skip
        for line in pool.map(describe_detectable, several, [arguments.comparisons] * len(several)):
            print(line, flush=True)
    if arguments.cells:
        with arguments.cells.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["groups", "entries", "seeds", "luck", "odd", "spread", "by_group", *SHARES])
            for case, result in cells:
                shares = [f"{result[name]:.4f}" if name in result else "" for name in SHARES]
                writer.writerow([*describe(case), case.spread, case.by_group, *shares])


if __name__ == "__main__":
    main()
