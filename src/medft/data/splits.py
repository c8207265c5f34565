"""Training, validation and test rows, fixed before any random number is drawn.

A group's side follows from `dataset.split` and the group's name alone: a hash of (`split.seed`, group) puts it on a
line from 0 to 1; test takes the low end, validation the high end. `dataset.dedup` then removes rows from training and
validation, never from test, and `dataset.size` takes a prefix of a fixed order within each side; on the training side
`dataset.train_seed` makes another order. So neither `seed` nor `dataset.size` nor any training setting moves a row from
one side to another.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medft.config.schema import DatasetConfig, SplitConfig
from medft.data.duplicates import remove_duplicates
from medft.data.readers.base import check_size
from medft.data.rows import Indices, Rows, Skipped, iterate_column
from medft.errors import DataError, InputError
from medft.files import write_atomically

Frozen = Mapping[str, Sequence[str]]  # ids by split, as in a run's split.json
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """The rows of a run."""

    train: Rows
    validation: Rows
    test: Rows
    available: int  # rows that the source has
    size_used: int  # rows in the three splits together
    # rows that `dataset.size` asks for but that are unused, as their groups are on the test or validation side and
    # those have as many rows as they need
    left_over: int
    leaking: bool  # validation and test rows are trained on too (`dataset.split.train_on_all`)
    pool: str = ""  # SHA-256 (hex) of what `dataset.train_seed` draws from and of the rows held out; without it empty
    train_left: int = 0  # rows of the training side that are not used
    duplicates: int = 0  # rows that `dataset.dedup` removed from training and validation
    skipped: Skipped = field(default_factory=Skipped)  # rows that could not be used (`dataset.on_bad_row=skip`)

    def parts(self) -> dict[str, Rows]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def write_ids(self, path: Path) -> None:
        """Write `split.json`: the ids of each split, in order."""
        with path.open("w", encoding="utf-8") as file:
            for name, rows in self.parts().items():
                file.write(("{" if name == "train" else "],\n") + f"{json.dumps(name)}: [")
                for number, id in enumerate(rows.column("id")):
                    file.write(("," if number else "") + "\n " + json.dumps(id, ensure_ascii=False))
            file.write("]}\n")

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids and texts of all splits, in order."""
        return hashlib.sha256("".join(rows.fingerprint for rows in self.parts().values()).encode()).hexdigest()


def split(rows: Rows, config: DatasetConfig, frozen: Frozen | None = None, skipped: Skipped | None = None) -> Splits:
    """Split rows into training, validation and test, `config.size` of them in total.

    Args:
        frozen: the ids of `dataset.split.from_run`.
        skipped: what reading the rows has left out.

    Raises:
        InputError: `dataset.size` or `dataset.split` asks for what the data has not.
    """
    check_size(config, len(rows))
    pools = _select_frozen(rows, frozen, config.split) if frozen else _assign_sides(rows, config.split)
    kept = remove_duplicates(rows, pools, config.dedup, config.near_threshold)
    sizes = {name: len(pool) for name, pool in kept.items()}
    wanted = config.size or len(rows)
    if not frozen:
        for name in PARTS[1:]:
            asked = getattr(config.split, name)
            if isinstance(asked, float):  # a share of all, or where all rows are used, whatever the side has
                asked = sizes[name] if wanted == len(rows) else max(1, round(asked * wanted))
            sizes[name] = min(asked, sizes[name])
    left = wanted - sizes["validation"] - sizes["test"]
    if left < 1:
        raise InputError(
            f"dataset.size={wanted} leaves no training rows: {sizes['validation']} go to validation "
            f"(dataset.split.validation) and {sizes['test']} to test (dataset.split.test)"
        )
    for name in ("train", "validation"):
        if not sizes[name]:
            raise InputError(f"dataset.dedup={config.dedup} leaves no {name} rows: all repeat rows of another split")
    sizes["train"] = min(left, sizes["train"])
    pool = ""
    if config.train_seed is not None:
        drawn_from = "".join(Rows(rows.table, kept[name]).fingerprint for name in PARTS)
        pool = hashlib.sha256(f"{drawn_from}{sizes}".encode()).hexdigest()
        kept["train"] = _draw(rows, kept["train"], config.train_seed)
    train, validation, test = (Rows(rows.table, kept[name][: sizes[name]]) for name in PARTS)
    used = sum(sizes.values())
    surplus = sum(len(kept[name]) - sizes[name] for name in PARTS[1:])
    return Splits(
        train=train + validation + test if config.split.train_on_all else train,
        validation=validation,
        test=test,
        available=len(rows),
        size_used=used,
        left_over=0 if frozen else min(wanted - used, surplus),
        leaking=config.split.train_on_all,
        pool=pool,
        train_left=len(kept["train"]) - sizes["train"],
        duplicates=sum(len(pools[name]) - len(kept[name]) for name in PARTS),
        skipped=skipped or Skipped(),
    )


def export(splits: Splits, target: Path) -> int:
    """Write one JSON object per row with Alpaca columns, split, id, group, document and fingerprint.

    It is for other tools, or for `dataset=alpaca`, which splits the rows anew: to get the same split, map the columns
    id and group and set `dataset.split` as before.

    Returns:
        The number of rows.
    """
    columns = ("instruction", "input", "output", "id", "group", "document")
    count = 0
    with write_atomically(target) as partial, partial.open("w", encoding="utf-8") as file:
        for name, rows in splits.parts().items():
            for example in rows:
                row = {key: getattr(example, key) for key in columns}
                row |= {"split": name, "fingerprint": example.fingerprint()}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    return count


def _draw(rows: Rows, pool: Indices, seed: int) -> Indices:
    """Put the rows of the training side in an order of a seed's own, of which sizes are prefixes."""
    ids = (f"train:{id}" for id in Rows(rows.table, pool).column("id"))
    return pool[np.argsort(_hash_to_places(ids, len(pool), seed), kind="stable")]


def _select_frozen(rows: Rows, frozen: Frozen, config: SplitConfig) -> dict[str, Indices]:
    """Select the rows that another run's `split.json` names, in its order."""
    wanted = {each for ids in frozen.values() for each in ids}
    numbers = {id: number for number, id in enumerate(iterate_column(rows.table, "id")) if id in wanted}
    missing = [each for name in PARTS for each in frozen[name] if each not in numbers]
    if missing:
        raise InputError(
            f"dataset.split.from_run={config.from_run}: {len(missing)} of its {len(wanted)} rows are not in this data "
            f"(the first: {missing[0]!r}); give the data that run had"
        )
    held_out = {*frozen["validation"], *frozen["test"]}  # a run with train_on_all names them under train too
    ids = {name: [each for each in frozen[name] if name != "train" or each not in held_out] for name in PARTS}
    return {name: np.array([numbers[each] for each in ids[name]], np.int32) for name in PARTS}


def _assign_sides(rows: Rows, config: SplitConfig) -> dict[str, Indices]:
    """Put each row on a side, in the side's fixed order."""
    groups = _hash_to_places(iterate_column(rows.table, "group"), len(rows), config.seed)
    low, high = _find_borders(groups, config)
    sides = np.where(groups <= low, PARTS.index("test"), np.where(groups >= high, PARTS.index("validation"), 0))
    sides = sides.astype(np.int8)
    del groups  # at a million rows each array counts
    order = _hash_to_places((f"row:{id}" for id in iterate_column(rows.table, "id")), len(rows), config.seed)
    ordered = np.argsort(order, kind="stable").astype(np.int32)
    return {name: ordered[sides[ordered] == number] for number, name in enumerate(PARTS)}


def _find_borders(groups: NDArray[np.uint64], config: SplitConfig) -> tuple[np.uint64, np.uint64]:
    """Find the last place of the test side and the first of the validation side.

    `groups` has the place of each row's group on the line, in units of 2**-56, so that rows of one group share it and
    a border between two places never divides a group. A share (float) is a border at that very place: adding data
    moves no group. A count (int) is a border after the first groups that together have so many rows.
    """
    places, sizes = np.unique(groups, return_counts=True)
    if len(places) < 3:
        raise DataError(
            f"the data has {len(places)} group(s), but training, validation and test need one each: "
            "rows of one group (document, disease) stay together"
        )
    test = _count_groups(places / 2**56, sizes, config.test)
    validation = _count_groups(1 - places[::-1] / 2**56, sizes[::-1], config.validation)
    if test + validation >= len(places):
        raise InputError(
            f"dataset.split.test={config.test} and dataset.split.validation={config.validation} take all "
            f"{len(groups)} rows ({len(places)} groups) and leave none to train on"
        )
    return places[test - 1], places[-validation]


def _count_groups(places: NDArray[np.float64], sizes: NDArray[np.int64], wanted: int | float) -> int:
    """Count the groups from the low end: enough for a number of rows, or those below a share (one at least)."""
    if isinstance(wanted, float):
        return max(1, int((places < wanted).sum()))
    return min(len(sizes), int(np.searchsorted(np.cumsum(sizes), wanted)) + 1)


def _hash_to_places(names: Iterable[str], count: int, seed: int) -> NDArray[np.uint64]:
    """Hash (seed, name) to 56 bits of a SHA-256: places on a line, the same on every machine and in every Python."""
    hashes = (hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7] for name in names)
    return np.fromiter((int.from_bytes(each, "big") for each in hashes), np.uint64, count)
