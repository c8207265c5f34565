"""The rows of one CSV, JSON, Parquet or Excel file, each with its file and line; what is in it is not trusted."""

import csv
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from medft.data.example import BadRow
from medft.data.readers.base import Located, Row
from medft.data.readers.sniff import SEPARATOR_LINE, open_text
from medft.errors import DataError, InputError

# Medical answers can be long, and csv's own limit of 128 KiB a field ends in an error that helps nobody.
csv.field_size_limit(16 * 2**20)
_LONGEST_LINE = 64 * 2**20  # characters
_LARGEST_JSON = 2**30  # characters: a .json file is read whole
_LARGEST_WORKBOOK = 2**30  # bytes of an .xlsx file, unpacked
_MOST_COLUMNS = 10_000


def read_lines(file: TextIO, path: Path) -> Iterator[str]:
    """Yield the lines of a text file, as long as they are lines of text."""
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), ""), 1):
        if len(line) > _LONGEST_LINE:
            raise DataError(f"{path}:{number}: the line is longer than {_LONGEST_LINE:,} characters")
        if "\0" in line:
            raise DataError(
                f"{path}:{number}: has a NUL byte, so it is no text, or UTF-16 without a mark at its beginning "
                "(dataset.reader.encoding=utf-16-le)"
            )
        yield line


def read_csv(path: Path, encoding: str, delimiter: str) -> Iterator[Located | BadRow]:
    """Yield the rows after the header; a row may have fewer cells than that, and not more."""
    with open_text(path, encoding) as file:
        table = csv.reader(read_lines(file, path), strict=True, delimiter=delimiter)
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
                if not SEPARATOR_LINE.fullmatch(delimiter.join(cells)):
                    header = _check_header(cells, where)
            elif len(cells) > len(header):
                yield BadRow(where, f"{len(cells)} cells, but the header has {len(header)} columns", cells)
            elif cells:  # an empty line has none
                yield where, _make_row(header, cells)


def _check_header(cells: Sequence[str], where: str) -> list[str]:
    if len(cells) > _MOST_COLUMNS:
        raise DataError(f"{where}: the header has {len(cells):,} columns; {_MOST_COLUMNS:,} are read at most")
    header = [name.strip() for name in cells]
    if repeated := sorted(name for name, count in Counter(header).items() if name and count > 1):
        raise DataError(f"{where}: the header names {repeated[0]!r} twice")
    return header


def _make_row(header: Sequence[str], cells: Sequence[Any]) -> Row:
    row = dict.fromkeys(header) | dict(zip(header, cells, strict=False))
    row.pop("", None)  # columns without a name, which spreadsheets tend to add
    return row


def read_xlsx(path: Path, sheet: str | None) -> Iterator[Located | BadRow]:
    """Yield the rows of a sheet, numbers as text; formulas have the values that Excel has computed last."""
    if find_spec("openpyxl") is None:
        raise InputError(f"{path}: Excel files need openpyxl: pip install 'medft[xlsx]'")
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with zipfile.ZipFile(path) as archive:  # nothing is unpacked beyond the sizes that it states
            if sum(each.file_size for each in archive.infolist()) > _LARGEST_WORKBOOK:
                raise DataError(f"{path}: unpacks to more than {_LARGEST_WORKBOOK:,} bytes")
        with closing(load_workbook(path, read_only=True, data_only=True)) as workbook:
            names = [each.title for each in workbook.worksheets]
            if not names or sheet not in (None, *names):
                raise DataError(f"dataset.reader.sheet={sheet}: {path} has the sheets {', '.join(map(repr, names))}")
            yield from _read_sheet(workbook[sheet or names[0]], path)
    except (zipfile.BadZipFile, EOFError, zlib.error, InvalidFileException) as error:
        raise DataError(f"{path}: not a whole .xlsx file, or one with a password: {error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, SyntaxError) as error:  # openpyxl raises them of odd files
        raise DataError(f"{path}: not an Excel table: {' '.join(str(error).split())}") from None


def _read_sheet(sheet: Any, path: Path) -> Iterator[Located | BadRow]:
    sheet.reset_dimensions()  # what the file states may be too small
    header: list[str] = []
    for number, values in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = ["" if value is None else str(value) for value in values]
        while cells and not cells[-1]:
            cells.pop()
        where = f"{path}: row {number}"
        if cells and not header:
            header = _check_header(cells, where)
        elif len(cells) > len(header):
            yield BadRow(where, f"{len(cells)} cells, but the header has {len(header)} columns", cells)
        elif cells:
            yield where, _make_row(header, cells)


def read_jsonl(path: Path, encoding: str) -> Iterator[Located | BadRow]:
    """Yield the object of each line."""
    with open_text(path, encoding) as file:
        for number, line in enumerate(read_lines(file, path), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = _locate(json.loads(line), where)
            except (ValueError, RecursionError) as error:
                row = BadRow(where, f"not valid JSON: {_describe(error)}", line[:1000])
            yield row


def read_json(path: Path, encoding: str) -> Iterator[Located | BadRow]:
    """Yield the objects of a list, which is read whole."""
    with open_text(path, encoding) as file:
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


def read_parquet(path: Path) -> Iterator[Located]:
    """Yield the rows, a thousand in memory at once."""
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
