"""How often a comparison calls settings different that are not, and how often it finds what is there.

    python -m benchmarks verdicts [--comparisons 10000] [--seeds 1,2,3,5] [--entries 2,8] [--luck shared,own]

Simulated comparisons of settings with the code that compares them (`medft.comparison.settings`, Holm's correction):
runs of the same seeds on questions of 12 and 30 groups of MedQuAD's sizes. A run's metric is the sum of a setting's, of
its seed's luck (a standard deviation of 0.003, 0.0075 or 0.02, of what it does to all settings alike, or to each by
itself), of what the setting does to a group (0 or 0.02), of what the seed does to a group, and of a rest that questions
average out. In some comparisons one setting has three times the luck of the others; in some it is the reference.

The peer is the test of trained models, over groups alone, which is what p-values without seeds are. Printed are shares
of comparisons with at least one false finding, the coverage of 95% intervals of differences, the share of comparisons
that find a true difference of 0.04 (2 seeds) or 0.02 (more), and the power at the smallest detectable difference of the
true variances with the 10th to 90th percentile of those estimated.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t

from medft.comparison.settings import Spread, estimate_spread, pool_seeds
from medft.comparison.significance import LEVEL, correct_holm

SIZES = {
    # the questions of each of the first groups of MedQuAD's test side
    12: (1, 2, 4, 3, 2, 2, 1, 1, 1, 2, 6, 2),
    30: (1, 2, 4, 3, 2, 2, 1, 1, 1, 2, 6, 2, 5, 1, 4, 1, 3, 1, 1, 5, 1, 1, 3, 1, 11, 1, 9, 7, 1, 1),
}
SEED_BY_GROUP, REST = 0.003, 0.012  # standard deviations: of a group under a seed; of a question
CHUNK = 500  # comparisons simulated at once


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
    values += random.normal(0, REST, (*shape, case.groups)) / np.sqrt(sizes)
    values[:, -1] += case.effect
    return values * shares, shares


def compare(tables: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, Spread]:
    """Differences of all entries to the first, (comparisons, entries - 1), as a comparison computes them."""
    differences = tables[:, 1:] - tables[:, :1]
    if tables.shape[1] > 2:
        pooled, df, apart = pool_seeds(tables.sum(-1))
        spread = estimate_spread(differences, shares, pooled[:, None], df, apart[:, 1:] | apart[:, :1])
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
    return 2 * t.sf(np.abs(value) / error, groups - 1)


def know_spread(case: Case) -> Spread:
    """The spread of a difference by the variances that a case is drawn with; no entry is odd."""
    sizes = np.array(SIZES[case.groups])
    squares = (sizes / sizes.sum()) ** 2
    by_both = 2 * (squares * (SEED_BY_GROUP**2 + REST**2 / sizes)).sum() / case.seeds
    luck = 0.0 if case.is_shared else 2 * case.spread**2 / case.seeds
    df = float((max(2, case.entries) - 1) * (case.seeds - 1))
    parts = (luck + by_both, case.by_group**2 * squares.sum() + by_both, by_both, df, case.groups - 1.0)
    return Spread(*map(np.asarray, parts))


def simulate(case: Case, comparisons: int, tells: bool = False) -> dict[str, float]:
    random, seen = np.random.default_rng(1), []
    for _ in range(0, comparisons, CHUNK):
        tables, shares = draw(case, CHUNK, random)
        peer = correct_holm(compute_p_without_seeds(tables, shares)) < LEVEL
        truth = np.zeros(case.entries - 1)
        truth[-1] = case.effect
        if case.seeds < 2:
            seen.append({"peer": peer.any(-1)})
            continue
        value, spread = compare(tables, shares)
        found = correct_holm(spread.compute_p(value)) < LEVEL
        false = (found & (truth == 0)).any(-1)
        covered = spread.compute_p(value - truth) >= LEVEL  # in the interval
        seen.append({"peer": peer.any(-1), "false": false, "covered": covered.mean(-1), "found": found[:, -1]})
        if tells:
            seen[-1]["told"] = np.median(spread.compute_detectable(LEVEL / (case.entries - 1)), -1)
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
                    for spread in (0.003, 0.0075, 0.02):
                        for by_group in (0.0, 0.02):
                            for odd in (None, 1, 0) if several > 1 else (None,):
                                yield Case(several, count, spread, groups, by_group, is_shared, odd)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=10_000)
    parser.add_argument("--seeds", default="1,2,3,5")
    parser.add_argument("--entries", default="2,8")
    parser.add_argument("--luck", default="shared,own")
    arguments = parser.parse_args()
    seeds, entries = ([int(each) for each in text.split(",")] for text in (arguments.seeds, arguments.entries))
    lucks = [luck == "shared" for luck in arguments.luck.split(",")]
    print("| groups | entries | seeds | luck | spread | by group | odd | false | without seeds | coverage | power |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for case in list_cases(seeds, entries, lucks):
        result = simulate(case, arguments.comparisons)
        power = ""
        if case.seeds > 1 and case.odd is None:
            found = simulate(replace(case, effect=0.04 if case.seeds == 2 else 0.02), arguments.comparisons)["found"]
            power = f"{found:.2f}"
        luck, odd = "shared" if case.is_shared else "own", {None: "", 0: "reference", 1: "another"}[case.odd]
        shares = [f"{result[name]:.3f}" if name in result else "" for name in ("false", "peer", "covered")]
        settings = [case.groups, case.entries, case.seeds, luck, case.spread, case.by_group, odd]
        print(f"| {' | '.join(map(str, [*settings, *shares, power]))} |", flush=True)
    print("\nThe smallest detectable difference with 30 groups, a spread of 0.0075 and 0.02 by group: by the true "
          "variances, the power there, and the median of what is told [10th, 90th percentile]")  # fmt: skip
    for count in entries:
        for several in (each for each in seeds if each > 1):
            for is_shared in lucks:
                case = Case(several, count, 0.0075, 30, 0.02, is_shared)
                told = simulate(case, min(arguments.comparisons, 2000), tells=True)
                low, middle, high = (told[f"told {share}"] for share in (10, 50, 90))
                true = float(know_spread(case).compute_detectable(LEVEL / (count - 1)))
                power = simulate(replace(case, effect=true), arguments.comparisons)["found"]
                luck = "shared" if is_shared else "own"
                print(f"{count} entries, {several} seeds, {luck} luck: {true:.4f}, power {power:.2f}; "
                      f"told {middle:.4f} [{low:.4f}, {high:.4f}]", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
