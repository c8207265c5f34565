"""Arrow files written in pieces and read as memory maps: what does not fit into memory need not be there."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medft.files import temporary_path

CHUNK_ROWS = 1000  # rows written or read at once


class ArrowWriter:
    """Writes columns piece by piece to a file that does not bear its name before it is whole.

    Use as a context manager; leaving it without `finish` removes what was written.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder, self.schema, self._part = folder, schema, temporary_path(folder / "rows")

    def __enter__(self) -> "ArrowWriter":
        self._stream = pa.ipc.new_stream(str(self._part), self.schema)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(pa.ArrowException):
            self._stream.close()
        self._part.unlink(missing_ok=True)

    def write(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Append rows, given as columns in the schema's order."""
        arrays = [pa.array(columns[field.name], type=field.type) for field in self.schema]
        self._stream.write_batch(pa.record_batch(arrays, schema=self.schema))

    def finish(self, name: str) -> Path:
        """Give the file its name; a file that bears it already is replaced, whoever reads that one reads on."""
        self._stream.close()
        target = self.folder / name
        self._part.replace(target)
        return target


def store_on_disk(pieces: Iterable[NDArray[Any]], dtype: Any, folder: Path | None) -> NDArray[Any]:
    """One array out of pieces, in a nameless file in `folder` that goes with it: it can be larger than memory."""
    with tempfile.TemporaryFile(dir=folder) as file:
        for piece in pieces:
            file.write(np.ascontiguousarray(piece, dtype).data)
        return np.memmap(file, dtype, "r") if file.tell() else np.empty(0, dtype)


def open_mapped(path: Path) -> Any:
    """A `datasets.Dataset` over a memory map of the file."""
    from datasets import Dataset

    return Dataset.from_file(str(path))


def iterate_column(table: Any, column: str) -> Iterator[Any]:
    """A whole column of a mapped table, some rows in memory at a time."""
    for chunk in table.data.column(column).chunks:
        yield from chunk.to_pylist()
