"""Reads rows of JSON, JSON lines, CSV and Parquet files, plain or gzipped, each with its file and line."""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from medft.data.example import BadRow
from medft.data.readers.base import Located
from medft.errors import DataError

# Medical answers can be long, and csv's own limit of 128 KiB a field ends in an error that helps nobody.
csv.field_size_limit(16 * 2**20)
_LONGEST_LINE = 64 * 2**20  # characters
_LARGEST_JSON = 2**30  # characters: a .json file is read whole


def read_table(path: Path) -> Iterator[Located | BadRow]:
    """Yield (`file:line`, row) for every row of a table file; its ending, before an optional `.gz`, is its format.

    A row that cannot be read becomes a `BadRow` if reading can go on after it.

    Raises:
        DataError: the ending is unknown, or the content does not match it.
    """
    readers = {".csv": _read_csv, ".json": _read_json, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    ending = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    reader = readers.get(ending.lower())
    if reader is None or (reader is _read_parquet and ending != path.suffix):
        raise DataError(
            f"{path}: unknown ending {path.suffix!r}; use {', '.join(readers)}, or .gz after the first three"
        )
    if not path.is_file():
        raise DataError(f"{path}: is not a file")
    try:
        yield from reader(path)
    except UnicodeDecodeError:
        raise DataError(f"{path}:{_find_not_utf8(path)}: is not UTF-8 text; convert the file first") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file: {error}") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read (permission denied)") from None


def _find_not_utf8(path: Path) -> int:
    """Find the first line that is not UTF-8."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _open(path: Path) -> TextIO:
    """Open a file as text without its byte order mark, with line ends as they are."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _read_lines(file: TextIO, path: Path) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), ""), 1):
        if len(line) > _LONGEST_LINE:
            raise DataError(f"{path}:{number}: the line is longer than {_LONGEST_LINE:,} characters")
        yield line


def _read_csv(path: Path) -> Iterator[Located | BadRow]:
    with _open(path) as file:
        table = csv.reader(_read_lines(file, path), strict=True)
        header: list[str] = []
        while True:
            where = f"{path}:{table.line_num + 1}"
            try:
                cells = next(table, None)
            except csv.Error as error:
                raise DataError(f"{where}: not valid CSV: {error}") from None
            if cells is None:
                return
            if not header:
                header = [name.strip() for name in cells]
                repeated = sorted({name for name in header if name and header.count(name) > 1})
                if repeated:
                    raise DataError(f"{where}: the header names {repeated[0]!r} twice")
            elif len(cells) > len(header):
                yield BadRow(where, f"{len(cells)} cells, but the header has {len(header)} columns", cells)
            elif cells:  # an empty line has none
                row = dict.fromkeys(header) | dict(zip(header, cells, strict=False))
                row.pop("", None)  # columns without a name, which spreadsheets tend to add
                yield where, row


def _read_jsonl(path: Path) -> Iterator[Located | BadRow]:
    with _open(path) as file:
        for number, line in enumerate(_read_lines(file, path), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = _locate(json.loads(line), where)
            except (ValueError, RecursionError) as error:
                row = BadRow(where, f"not valid JSON: {_describe(error)}", line[:1000])
            yield row


def _read_json(path: Path) -> Iterator[Located | BadRow]:
    with _open(path) as file:
        text = file.read(_LARGEST_JSON + 1)
    if len(text) > _LARGEST_JSON:
        raise DataError(f"{path}: longer than {_LARGEST_JSON:,} characters; use .jsonl, which is read line by line")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path}{place}: not valid JSON: {_describe(error)}") from None
    if not isinstance(content, list):
        raise DataError(f"{path}: expected a list of objects; one object a line is .jsonl")
    for number, row in enumerate(content, 1):
        yield _locate(row, f"{path}: row {number}")


def _read_parquet(path: Path) -> Iterator[Located]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        # with its own settings it would read far ahead and keep hundreds of MiB
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16) as table:
            batches = table.iter_batches(batch_size=1000, use_threads=False)
            for number, row in enumerate((row for batch in batches for row in batch.to_pylist()), 1):
                yield f"{path}: row {number}", row
    except (pa.ArrowException, OSError) as error:
        place = f" after row {number}" if number else ""
        raise DataError(f"{path}: not a whole Parquet file{place}: {str(error).splitlines()[0]}") from None


def _describe(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} (character {error.colno} of the line)"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).split(";")[0]


def _locate(row: Any, where: str) -> Located | BadRow:
    return (
        (where, row) if isinstance(row, dict) else BadRow(where, f"expected an object, got {type(row).__name__}", row)
    )
