"""The rows of a data set: read once, checked, and kept in a memory-mapped file that their content names."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medft.config.schema import DatasetConfig
from medft.console import track, warn
from medft.data.arrow import CHUNK_ROWS, ArrowWriter, iterate_column, open_mapped
from medft.data.example import BadRow, Example
from medft.data.readers.base import reader_of
from medft.errors import DataError

Indices = NDArray[np.int32]

SKIPPED_ROWS = "skipped_rows.jsonl"  # name of the file of bad rows in a run's folder

_SCHEMA = pa.schema(
    [(name, pa.large_string() if name == "output" else pa.string())
     for name in ("id", "group", "document", "instruction", "input", "output", "where", "meta", "fingerprint")]
)  # fmt: skip


class Rows(Sequence[Example]):
    """Examples on disk: a table and the numbers of those of its rows that belong here, in order."""

    def __init__(self, table: Any, indices: Indices | None = None) -> None:
        self.table = table
        self.indices: Indices = np.arange(len(table), dtype=np.int32) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, key: int) -> Example: ...
    @overload
    def __getitem__(self, key: slice) -> "Rows": ...
    def __getitem__(self, key: int | slice) -> "Example | Rows":
        if isinstance(key, slice):
            return Rows(self.table, self.indices[key])
        return _to_example(self.table[int(self.indices[key])])

    def __iter__(self) -> Iterator[Example]:
        for piece in self.iterate_chunks():
            yield from piece

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and len(self) == len(other) and self.fingerprint == other.fingerprint

    __hash__ = None  # type: ignore[assignment]

    def iterate_chunks(self) -> Iterator[list[Example]]:
        """The examples, some at a time."""
        for start in range(0, len(self), CHUNK_ROWS):
            columns = self.table[self.indices[start : start + CHUNK_ROWS]]
            yield [
                _to_example(dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)
            ]

    def column(self, name: str) -> Iterator[str]:
        """One column, some rows in memory at a time."""
        return (value for (value,) in self.columns(name))

    def columns(self, *names: str) -> Iterator[tuple[str, ...]]:
        """Several columns, some rows in memory at a time."""
        # not pyarrow's take, which may copy a whole column first
        table = self.table.select_columns(list(names))
        for start in range(0, len(self), CHUNK_ROWS):
            piece = table[self.indices[start : start + CHUNK_ROWS]]
            yield from zip(*(piece[name] for name in names), strict=True)

    def iterate_table_column(self, name: str) -> Iterator[str]:
        """One column of all rows of the table, in its own order."""
        return iterate_column(self.table, name)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the rows' own fingerprints, in order."""
        digest = hashlib.sha256()
        for each in self.column("fingerprint"):
            digest.update(each.encode())
        return digest.hexdigest()

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(self.table, np.concatenate([self.indices, other.indices]))


@dataclass(frozen=True)
class Skipped:
    """Rows that could not be used: how many, and the file that has them (None if there are none)."""

    count: int
    file: Path | None


NOTHING_SKIPPED = Skipped(0, None)


def read_rows(config: DatasetConfig, cache: Path, skipped_to: Path | None) -> tuple[Rows, Skipped]:
    """Read a data set from its source.

    Args:
        cache: gets the rows as `data/rows-<content>.arrow`.
        skipped_to: the file for rows that `dataset.on_bad_row=skip` leaves out; None = they are only counted.

    Raises:
        DataError: the source is missing, empty or cannot be used; under `dataset.on_bad_row=error` the first bad row.
    """
    skip = _SkippedRows(skipped_to) if config.on_bad_row == "skip" else None
    examples = _check_rows(reader_of(config).read(), config.max_row_bytes, skip)
    first = next(examples, None)
    rows = store_rows(chain([first], examples), cache / "data", f"Reading {config.name}") if first else None
    skipped = skip.summarise() if skip else NOTHING_SKIPPED
    if rows is None:
        place = f" ({config.path})" if config.path else ""
        also = f"; all {skipped.count} were skipped, see {skipped.file}" if skipped.file else ""
        raise DataError(f"dataset={config.name}: no rows in it{place}{also}")
    if skipped.file:
        warn(f"{skipped.count} bad rows skipped (dataset.on_bad_row=skip): {skipped.file}")
    return rows, skipped


def store_rows(examples: Iterable[Example], folder: Path, description: str = "Reading") -> Rows:
    """Write examples to a file in `folder` that is named after their content; a repeated id gets its occurrence
    appended (`abc`, `abc#2`), so that exact copies stay apart.
    """
    ids, digest = _UniqueIds(), hashlib.sha256()
    piece: list[dict[str, str]] = []
    with ArrowWriter(folder, _SCHEMA) as writer:
        for example in track(examples, description):
            row = _to_record(replace(example, id=ids.make_unique(example.id)))
            digest.update(("\x1f".join(row[key] for key in ("fingerprint", "group", "document", "meta"))).encode())
            piece.append(row)
            if len(piece) == CHUNK_ROWS:
                writer.write(_to_columns(piece))
                piece = []
        writer.write(_to_columns(piece))
        return Rows(open_mapped(writer.finish(f"rows-{digest.hexdigest()[:32]}.arrow")))


def _to_columns(piece: list[dict[str, str]]) -> dict[str, list[str]]:
    return {name: [row[name] for row in piece] for name in _SCHEMA.names}


def _to_record(example: Example) -> dict[str, str]:
    return vars(example) | {
        "document": example.document or example.group,
        "meta": json.dumps(example.meta, ensure_ascii=False),
        "fingerprint": example.fingerprint(),
    }


def _to_example(row: dict[str, str]) -> Example:
    own = {key: value for key, value in row.items() if key != "fingerprint"}
    return Example(**own | {"meta": json.loads(row["meta"])})


class _UniqueIds:
    """Tells new ids from repeated ones in 8 bytes an id: a set of a million texts would be a hundred MiB.

    Ids are told apart by 64 bits of a hash. Should two ids share them, one gets a needless `#2`.
    """

    _NEW = 100_000

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._new: set[int] = set()
        self._repeated: dict[str, int] = {}

    def make_unique(self, id: str) -> str:
        """The id itself, or where it has come before the first of `id#2`, `id#3` ... that has not."""
        candidate = id
        while not self._add(candidate):
            self._repeated[id] = self._repeated.get(id, 1) + 1
            candidate = f"{id}#{self._repeated[id]}"
        return candidate

    def _add(self, id: str) -> bool:
        """False if the id is known already."""
        key = int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "big")
        place = int(np.searchsorted(self._sorted, np.uint64(key)))
        if key in self._new or (place < len(self._sorted) and int(self._sorted[place]) == key):
            return False
        self._new.add(key)
        if len(self._new) == self._NEW:
            self._sorted = np.sort(np.concatenate([self._sorted, np.fromiter(self._new, np.uint64)]))
            self._new.clear()
        return True


class _SkippedRows:
    """Counts bad rows and writes them to a file, if there is one; it is made with the first of them."""

    def __init__(self, file: Path | None) -> None:
        self._file, self._count = file, 0
        if file:
            file.unlink(missing_ok=True)

    def add(self, bad: BadRow) -> None:
        self._count += 1
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps(asdict(bad), ensure_ascii=False, default=repr) + "\n")

    def summarise(self) -> Skipped:
        return Skipped(self._count, self._file if self._count else None)


def _check_rows(
    delivered: Iterable[Example | BadRow], max_row_bytes: int, skip: _SkippedRows | None
) -> Iterator[Example]:
    for each in delivered:
        bad = each if isinstance(each, BadRow) else _find_fault(each, max_row_bytes)
        if bad is None:
            assert isinstance(each, Example)
            yield each
        elif skip is None:
            raise DataError(f"{bad.where}: {bad.reason}")
        else:
            skip.add(bad)


def _find_fault(example: Example, max_row_bytes: int) -> BadRow | None:
    """What is wrong with a row, whatever reader it comes from."""
    reason = None
    try:
        size = sum(len(text.encode()) for text in (example.instruction, example.input, example.output))
        if size > max_row_bytes:
            reason = f"{size:,} bytes are more than dataset.max_row_bytes={max_row_bytes}"
        f"{example.id}{example.group}{example.document}{example.meta}".encode()
    except UnicodeEncodeError:
        reason = "no valid Unicode text (half a surrogate pair)"
    for name, text in (("question", example.instruction), ("answer", example.output)):
        if not text.strip():
            reason = f"the {name} is empty"
    if reason is None:
        return None
    row = {"instruction": example.instruction, "input": example.input, "output": example.output}
    return BadRow(example.where or example.id, reason, {key: text[:1000] for key, text in row.items()})
