"""Who trains and who tests, fixed before anything is drawn.

A group's side follows from `dataset.split` and the group's name alone: a hash of (`split.seed`, group) puts it on a
line from 0 to 1; test takes the low end, validation the high end. `dataset.size` then takes a prefix of a fixed order
within each side. So neither `seed` nor `dataset.size` nor any training setting moves a row between the sides.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medft.config.schema import DatasetConfig, SplitConfig
from medft.data.example import Example
from medft.errors import DataError, InputError


@dataclass(frozen=True)
class Splits:
    """The rows of a run.

    Attributes:
        available: rows that the source has.
        size_used: rows in the three splits together.
        left_over: rows that `dataset.size` would have had use for, but whose group is on the test or validation side
            and those have as many rows as they ask for.
        leaking: validation and test rows are trained on too (`dataset.split.train_on_all`).
    """

    train: list[Example]
    validation: list[Example]
    test: list[Example]
    available: int
    size_used: int
    left_over: int
    leaking: bool

    def parts(self) -> dict[str, list[Example]]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def ids(self) -> dict[str, list[str]]:
        """The ids of each split, in order: what `split.json` holds."""
        return {name: [row.id for row in rows] for name, rows in self.parts().items()}

    def fingerprint(self) -> str:
        """SHA-256 over ids and texts of all splits, in order."""
        return fingerprint([row for rows in self.parts().values() for row in rows])


def fingerprint(rows: Iterable[Example]) -> str:
    """SHA-256 (hex) over the ids and texts of rows, in order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.id, row.instruction, row.input, row.output]).encode())
    return digest.hexdigest()


def load_splits(config: DatasetConfig) -> Splits:
    """Read the data set and split it.

    Raises:
        DataError: the source is missing, empty or cannot be used.
        InputError: `dataset.size` or `dataset.split` asks for what the data has not.
    """
    examples = list(config.reader.read())
    if not examples:
        raise DataError(f"dataset={config.name}: no rows in it{f' ({config.path})' if config.path else ''}")
    return split(examples, config.split, config.size)


def split(examples: Sequence[Example], config: SplitConfig, size: int | None) -> Splits:
    """Split rows into training, validation and test, and take `size` of them in all."""
    sides = _sides(examples, config)
    pools = {side: _in_fixed_order(examples, sides, side, config.seed) for side in ("train", "validation", "test")}
    wanted = min(size or len(examples), len(examples))
    everything = wanted == len(examples)
    test = pools["test"][: _rows(config.test, wanted, len(pools["test"]), everything)]
    validation = pools["validation"][: _rows(config.validation, wanted, len(pools["validation"]), everything)]
    left = wanted - len(test) - len(validation)
    if left < 1:
        raise InputError(
            f"dataset.size={wanted} leaves no training rows: {len(validation)} go to validation "
            f"(dataset.split.validation) and {len(test)} to test (dataset.split.test)"
        )
    train = pools["train"][:left]
    used = len(train) + len(validation) + len(test)
    if config.train_on_all:
        train = train + validation + test
    return Splits(train, validation, test, len(examples), used, wanted - used, config.train_on_all)


def _sides(examples: Sequence[Example], config: SplitConfig) -> dict[str, str]:
    """The side of each group."""
    sizes = Counter(row.group for row in examples)
    if len(sizes) < 3:
        raise DataError(
            f"the data has {len(sizes)} group(s), but training, validation and test need one each: "
            "rows of one group (document, disease) stay together"
        )
    ordered = sorted(sizes, key=lambda group: _unit(config.seed, group))
    test = _low_end(ordered, sizes, config.test, config.seed)
    validation = _low_end(ordered[::-1], sizes, config.validation, config.seed, mirrored=True)
    if set(test) & set(validation) or len(test) + len(validation) >= len(ordered):
        raise InputError(
            f"dataset.split.test={config.test} and dataset.split.validation={config.validation} take all "
            f"{len(examples)} rows ({len(ordered)} groups) and leave none to train on"
        )
    return dict.fromkeys(ordered, "train") | dict.fromkeys(test, "test") | dict.fromkeys(validation, "validation")


def _low_end(
    ordered: list[str], sizes: Counter[str], wanted: int | float, seed: int, mirrored: bool = False
) -> list[str]:
    """The first groups of an order: enough for a count of rows, or those below a share (one at least)."""
    if isinstance(wanted, float):
        units = (abs(mirrored - _unit(seed, group)) for group in ordered)
        return ordered[: max(1, sum(unit < wanted for unit in units))]
    rows = 0
    for number, group in enumerate(ordered):
        if rows >= wanted:
            return ordered[:number]
        rows += sizes[group]
    return ordered


def _in_fixed_order(examples: Sequence[Example], sides: dict[str, str], side: str, seed: int) -> list[Example]:
    rows = [row for row in examples if sides[row.group] == side]
    return sorted(rows, key=lambda row: (_unit(seed, f"row:{row.id}"), row.id))


def _rows(wanted: int | float, size: int, available: int, everything: bool) -> int:
    """How many rows a side gives: a count as it is, a share of `size`, or of all rows all that the side has."""
    if everything and isinstance(wanted, float):
        return available
    count = wanted if isinstance(wanted, int) else max(1, round(wanted * size))
    return min(count, available)


def _unit(seed: int, name: str) -> float:
    """A number in [0, 1) from a SHA-256 of (seed, name): the same on every machine and Python."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
