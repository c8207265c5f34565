"""Arrow files written in chunks and read through memory maps, so that data may be larger than memory."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medft.files import temporary_path

CHUNK_ROWS = 1000  # rows written or read at once


class ArrowWriter:
    """A context manager that writes a file chunk by chunk; leaving it without `finish` removes what was written."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.folder, self.schema, self._part = folder, schema, temporary_path(folder / "rows")

    def __enter__(self) -> "ArrowWriter":
        self._stream = pa.ipc.new_stream(str(self._part), self.schema)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(pa.ArrowException):
            self._stream.close()
        self._part.unlink(missing_ok=True)

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Append rows that have the schema's fields."""
        self._stream.write_batch(pa.RecordBatch.from_pylist(rows, schema=self.schema))

    def finish(self, name: str) -> Path:
        """Give the complete file its name, replacing one of that name; who reads the old file reads on."""
        self._stream.close()
        target = self.folder / name
        self._part.replace(target)
        return target


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
