"""Rows out of JSON, JSON lines, CSV and Parquet files, each with the place it came from."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medft.errors import DataError

Row = dict[str, Any]
# Medical answers can be long, and csv's own limit of 128 KiB a field ends in an error that helps nobody.
csv.field_size_limit(16 * 1024 * 1024)


def rows_of(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield (`file:line`, row) for every row of a table file, chosen by its ending.

    Raises:
        DataError: the ending is unknown, or the content is not what the ending says.
    """
    readers = {".csv": _csv, ".json": _json, ".jsonl": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown ending {path.suffix!r}; use {', '.join(readers)}")
    if not path.is_file():
        raise DataError(f"{path}: is not a file")
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}); convert it first") from None


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, strict=True)
        line = 1
        try:
            for row in table:
                where, line = f"{path}:{line + 1}", table.line_num
                if None in row:
                    raise DataError(f"{where}: more cells than the header has columns")
                yield where, row
        except csv.Error as error:
            raise DataError(f"{path}:{line + 1}: not valid CSV: {error}") from None


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield f"{path}:{number}", _mapping(_parse(line, f"{path}:{number}"), f"{path}:{number}")


def _json(path: Path) -> Iterator[tuple[str, Row]]:
    content = _parse(path.read_text(encoding="utf-8-sig"), str(path))
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a list of objects; one object a line is .jsonl")
    for number, row in enumerate(content, 1):
        yield f"{path}: row {number}", _mapping(row, f"{path}: row {number}")


def _parquet(path: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
        number = 0
        for batch in table.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield f"{path}: row {number}", row
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file: {str(error).splitlines()[0]}") from None


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not valid JSON: {error}") from None


def _mapping(row: Any, where: str) -> Row:
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object, got {type(row).__name__}")
    return row
