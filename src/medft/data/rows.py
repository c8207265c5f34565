"""The rows of a data set: read once, checked, and kept in an Arrow file that is named after its content.

Arrow files are written in chunks and read through memory maps, so that data may be larger than memory.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medft.config.schema import DatasetConfig
from medft.console import track, warn
from medft.data.example import BadRow, Example
from medft.data.readers.base import reader_of
from medft.errors import DataError
from medft.files import temporary_path

Indices = NDArray[np.int32]

CHUNK_ROWS = 1000  # rows written or read at once
SKIPPED_ROWS = "skipped_rows.jsonl"  # name of the file of bad rows in a run's folder

_EXAMPLE = ("id", "group", "document", "instruction", "input", "output", "where", "meta")  # columns of an example
_SCHEMA = pa.schema(
    [(name, pa.large_string() if name == "output" else pa.string()) for name in (*_EXAMPLE, "fingerprint")]
)


def write_arrow(
    folder: Path, schema: pa.Schema, rows: Iterable[dict[str, Any]], choose_name: Callable[[], str]
) -> Path:
    """Write rows to a file in `folder`, chunk by chunk; after an error nothing is left of it.

    Args:
        choose_name: called when all rows are written. A file of that name is replaced; who reads it reads on.
    """
    partial, remaining = temporary_path(folder / "rows"), iter(rows)
    try:
        with pa.ipc.new_stream(str(partial), schema) as stream:
            while chunk := list(islice(remaining, CHUNK_ROWS)):
                stream.write_batch(pa.RecordBatch.from_pylist(chunk, schema=schema))
        return partial.replace(folder / choose_name())
    finally:
        partial.unlink(missing_ok=True)


def store_on_disk(chunks: Iterable[NDArray[Any]], dtype: Any, folder: Path | None) -> NDArray[Any]:
    """Concatenate arrays in an unnamed file in `folder` that goes with the result, which may be larger than memory."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype).data)
        return np.memmap(file, dtype, "r") if file.tell() else np.empty(0, dtype)


def open_mapped(path: Path) -> Any:
    """Open a file as a memory-mapped `datasets.Dataset`."""
    from datasets import Dataset

    return Dataset.from_file(str(path))


def iterate_column(table: Any, column: str) -> Iterator[Any]:
    """Yield a whole column of a memory-mapped table, with some rows in memory at a time."""
    for chunk in table.data.column(column).chunks:
        yield from chunk.to_pylist()


class Rows(Sequence[Example]):
    """Examples on disk: a table and the indices of the rows of it that belong here, in order."""

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
        row = self.table[int(self.indices[key])]
        return _to_example({name: row[name] for name in _EXAMPLE})

    def __iter__(self) -> Iterator[Example]:
        return chain.from_iterable(self.iterate_chunks())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and len(self) == len(other) and self.fingerprint == other.fingerprint

    __hash__ = None  # type: ignore[assignment]

    def iterate_chunks(self) -> Iterator[list[Example]]:
        """Yield the examples in chunks."""
        rows = self.columns(*_EXAMPLE)
        while chunk := list(islice(rows, CHUNK_ROWS)):
            yield [_to_example(dict(zip(_EXAMPLE, values, strict=True))) for values in chunk]

    def column(self, name: str) -> Iterator[str]:
        """Yield the values of a column, with some rows in memory at a time."""
        return (value for (value,) in self.columns(name))

    def columns(self, *names: str) -> Iterator[tuple[str, ...]]:
        """Yield the values of several columns, with some rows in memory at a time."""
        # not pyarrow's take, which may copy a whole column first
        table = self.table.select_columns(list(names))
        for start in range(0, len(self), CHUNK_ROWS):
            chunk = table[self.indices[start : start + CHUNK_ROWS]]
            yield from zip(*(chunk[name] for name in names), strict=True)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the rows' own fingerprints, in order."""
        digest = hashlib.sha256()
        for each in self.column("fingerprint"):
            digest.update(each.encode())
        return digest.hexdigest()

    def __add__(self, other: "Rows") -> "Rows":
        return Rows(self.table, np.concatenate([self.indices, other.indices]))


@dataclass
class Skipped:
    """Rows that could not be used: how many, and the file that has them (None if there are none)."""

    count: int = 0
    file: Path | None = None


def read_rows(config: DatasetConfig, cache: Path, skipped_to: Path | None) -> tuple[Rows, Skipped]:
    """Read a data set from its source.

    Args:
        cache: gets the rows as `data/rows-<content>.arrow`.
        skipped_to: the file for rows that `dataset.on_bad_row=skip` leaves out; None = they are only counted.

    Raises:
        DataError: the source is missing, empty or cannot be used; under `dataset.on_bad_row=error` the first bad row.
    """
    if skipped_to and config.on_bad_row == "skip":
        skipped_to.unlink(missing_ok=True)
    skipped = Skipped()
    examples = _check_rows(config, skipped, skipped_to)
    first = next(examples, None)
    if first is None:
        place = f" ({config.path})" if config.path else ""
        also = f"; all {skipped.count} were skipped, see {skipped.file}" if skipped.file else ""
        raise DataError(f"dataset={config.name}: no rows in it{place}{also}")
    rows = store_rows(chain([first], examples), cache / "data", f"Reading {config.name}")
    if skipped.file:
        warn(f"{skipped.count} bad rows skipped (dataset.on_bad_row=skip): {skipped.file}")
    return rows, skipped


def store_rows(examples: Iterable[Example], folder: Path, description: str = "Reading") -> Rows:
    """Write examples to a file in `folder` that is named after their content; a repeated id gets its occurrence
    appended (`abc`, `abc#2`), so that exact copies stay apart.
    """
    ids, digest = _UniqueIds(), hashlib.sha256()

    def convert(example: Example) -> dict[str, str]:
        unique = replace(example, id=ids.make_unique(example.id))
        row: dict[str, str] = vars(unique) | {
            "document": example.document or example.group,
            "meta": json.dumps(example.meta, ensure_ascii=False),
            "fingerprint": unique.fingerprint(),
        }
        digest.update("\x1f".join(row[key] for key in ("fingerprint", "group", "document", "meta")).encode())
        return row

    rows = map(convert, track(examples, description))
    return Rows(open_mapped(write_arrow(folder, _SCHEMA, rows, lambda: f"rows-{digest.hexdigest()[:32]}.arrow")))


def _to_example(row: dict[str, str]) -> Example:
    return Example(**row | {"meta": json.loads(row["meta"])})


class _UniqueIds:
    """Detects repeated ids in 8 bytes per id, where a set of a million strings would take a hundred MiB.

    Ids are compared by 64 bits of a hash. If two ids ever share them, one gets an unnecessary `#2`.
    """

    _NEW = 100_000

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._new: set[int] = set()
        self._repeated: dict[str, int] = {}

    def make_unique(self, id: str) -> str:
        """Return the id itself, or, if it is taken, the first of `id#2`, `id#3` ... that is not."""
        candidate = id
        while not self._add(candidate):
            self._repeated[id] = self._repeated.get(id, 1) + 1
            candidate = f"{id}#{self._repeated[id]}"
        return candidate

    def _add(self, id: str) -> bool:
        """Add an id; False if it is already known."""
        key = int.from_bytes(hashlib.blake2b(id.encode(), digest_size=8).digest(), "big")
        place = int(np.searchsorted(self._sorted, np.uint64(key)))
        if key in self._new or (place < len(self._sorted) and int(self._sorted[place]) == key):
            return False
        self._new.add(key)
        if len(self._new) == self._NEW:
            self._sorted = np.sort(np.concatenate([self._sorted, np.fromiter(self._new, np.uint64)]))
            self._new.clear()
        return True


def _check_rows(config: DatasetConfig, skipped: Skipped, skipped_to: Path | None) -> Iterator[Example]:
    """Yield the usable rows of a source; raise at a bad one, or count it and append it to a file."""
    for row in reader_of(config).read():
        bad = row if isinstance(row, BadRow) else _find_fault(row, config.max_row_bytes)
        if bad is None:
            assert isinstance(row, Example)
            yield row
        elif config.on_bad_row == "error":
            raise DataError(f"{bad.where}: {bad.reason}")
        else:
            skipped.count += 1
            if skipped_to:
                skipped.file = skipped_to
                skipped_to.parent.mkdir(parents=True, exist_ok=True)
                with skipped_to.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(json.dumps(asdict(bad), ensure_ascii=False, default=repr) + "\n")


def _find_fault(example: Example, max_row_bytes: int) -> BadRow | None:
    """Check a row, whatever reader it comes from; None if it is usable."""
    reason, texts = None, {name: getattr(example, name) for name in ("instruction", "input", "output")}
    try:
        size = sum(len(text.encode()) for text in texts.values())
        if size > max_row_bytes:
            reason = f"{size:,} bytes are more than dataset.max_row_bytes={max_row_bytes}"
        f"{example.id}{example.group}{example.document}{example.meta}".encode()
    except UnicodeEncodeError:
        reason = "no valid Unicode text (half a surrogate pair)"
    for name, column in (("question", "instruction"), ("answer", "output")):
        if not texts[column].strip():
            reason = f"the {name} is empty"
    row = {column: text[:1000] for column, text in texts.items()}
    return BadRow(example.where or example.id, reason, row) if reason else None
