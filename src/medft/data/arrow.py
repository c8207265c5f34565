"""Arrow files written in chunks and read through memory maps, so that data may be larger than memory."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medft.files import temporary_path

CHUNK_ROWS = 1000  # rows written or read at once


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
