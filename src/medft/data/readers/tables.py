"""Reads rows of JSON, JSON lines, CSV, Parquet and Excel files, each with its file and line."""

import codecs
import csv
import gzip
import json
import re
import zipfile
import zlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

from pydantic import AfterValidator
from typing_extensions import override

from medft.config.section import Component, Role
from medft.console import say, warn
from medft.data.example import BadRow, Example
from medft.data.readers.base import Located, Paths, Reader, Row, convert_rows, is_remote, list_files
from medft.data.readers.sniff import (
    DELIMITERS,
    GUESSED,
    SEPARATOR_LINE,
    find_delimiter,
    find_encoding,
    find_undecodable,
    open_bytes,
    open_text,
)
from medft.errors import DataError, InputError

# Medical answers can be long, and csv's own limit of 128 KiB a field ends in an error that helps nobody.
csv.field_size_limit(16 * 2**20)
_LONGEST_LINE = 64 * 2**20  # characters
_LARGEST_JSON = 2**30  # characters: a .json file is read whole
_LARGEST_WORKBOOK = 2**30  # bytes of an .xlsx file, unpacked
_MOST_COLUMNS = 10_000
_DELIMITED = (".csv", ".tsv")
_TEXTS = (*_DELIMITED, ".json", ".jsonl")
ENDINGS = (*_TEXTS, ".parquet", ".xlsx")


def _check_encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(f"{name} is no encoding that Python knows; utf-8, cp1252, gb18030 are, for example") from None
    return name


class Layout(Component):
    """How the cells of a table are found; None = it is found out."""

    delimiter: Annotated[Literal["comma", "semicolon", "tab", "pipe"] | None, Role.PLACE] = None
    encoding: Annotated[Annotated[str, AfterValidator(_check_encoding)] | None, Role.PLACE] = None
    sheet: Annotated[str | None, Role.PLACE] = None

    def refuse_unused(self, path: Path, ending: str) -> None:
        """Raise where something is set that a file of this kind has not."""
        for key, endings in (("delimiter", _DELIMITED), ("encoding", _TEXTS), ("sheet", (".xlsx",))):
            if getattr(self, key) is not None and ending not in endings:
                raise DataError(
                    f"dataset.reader.{key}={getattr(self, key)}: {path} has none, only {', '.join(endings)}"
                )


class TableReader(Reader, Layout, role=Role.DATA):
    """A reader of table files: `.csv`, `.tsv`, `.json`, `.jsonl` (or these with `.gz`), `.parquet` and `.xlsx`."""

    path: Annotated[Paths, Role.PLACE]

    @abstractmethod
    def to_example(self, row: Row) -> Example:
        """Make an example of a row.

        Raises:
            RowError: it cannot be used.
        """

    @override
    def read(self) -> Iterator[Example | BadRow]:
        """Yield the rows in the source's order, several files one after the other."""
        yield from convert_rows(self._read_files(list_files(self.path), set()), self.to_example)

    @override
    def check(self, skips: bool) -> None:
        """Also read the first row, which shows whether the columns are there."""
        super().check(skips)
        if is_remote(self.path):
            return
        first = next(convert_rows(self._read_files(list_files(self.path), None), self.to_example), None)
        if isinstance(first, BadRow) and not skips:
            raise DataError(f"{first.where}: {first.reason}")

    def _read_files(self, files: Sequence[Path], told: set[str] | None) -> Iterator[Located | BadRow]:
        for file in files:
            is_empty = True
            for row in read_table(file, self, told):
                is_empty = False
                yield row
            if is_empty:
                text = f"{file}: {'there is no row in it' if file.stat().st_size else 'the file is empty'}"
                if len(files) == 1:
                    raise DataError(text)
                if told is not None:
                    warn(text)


def read_table(path: Path, layout: Layout | None = None, told: set[str] | None = None) -> Iterator[Located | BadRow]:
    """Yield (`file:line`, row) for every row of a table file; its ending, before an optional `.gz`, is its format.

    A row that cannot be read becomes a `BadRow` if reading can go on after it.

    Args:
        layout: what the user said of it.
        told: how files were read so far; what is new is printed and added. None = nothing is printed.

    Raises:
        DataError: the ending is unknown, or the content does not match it.
    """
    layout = layout or Layout()
    ending = (Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix).lower()
    if ending not in ENDINGS or (ending not in _TEXTS and path.suffix.lower() == ".gz"):
        known = f"{', '.join(_TEXTS)} (or .gz after these), .parquet, .xlsx"
        raise DataError(f"{path}: unknown ending {path.suffix!r}; use {known}")
    if not path.is_file():
        raise DataError(f"{path}: is not a file")
    layout.refuse_unused(path, ending)
    try:
        if ending not in _TEXTS:
            yield from _read_parquet(path) if ending == ".parquet" else _read_xlsx(path, layout.sheet)
            return
        encoding = layout.encoding or find_encoding(path)
        if codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"  # with or without a byte order mark
        try:
            yield from _read_text(path, ending, encoding, layout, told)
        except UnicodeError:
            line = find_undecodable(path, encoding)
            raise DataError(
                f"{path}:{line}: is not {encoding} text; name its encoding: dataset.reader.encoding=NAME"
            ) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file: {error}") from None
    except PermissionError:
        raise DataError(f"{path}: may not be read (permission denied)") from None


def _read_text(
    path: Path, ending: str, encoding: str, layout: Layout, told: set[str] | None
) -> Iterator[Located | BadRow]:
    if ending not in _DELIMITED:
        _tell(path, encoding, "", layout, told)
        yield from _read_jsonl(path, encoding) if ending == ".jsonl" else _read_json(path, encoding)
        return
    if layout.delimiter:
        delimiter = DELIMITERS[layout.delimiter]
    else:
        with open_text(path, encoding) as file:
            delimiter = find_delimiter(_read_lines(file, path))
    _tell(path, encoding, delimiter, layout, told)
    yield from _read_csv(path, encoding, delimiter)


def _tell(path: Path, encoding: str, delimiter: str, layout: Layout, told: set[str] | None) -> None:
    """Say how a file is read, unless the user said so, another one was read in the same way, or it goes without saying:
    JSON in UTF-8.
    """
    facts, keys = [], []
    if layout.encoding is None and (delimiter or encoding != "utf-8-sig"):
        guess = f", a guess ({_find_sample(path, encoding)})" if encoding in GUESSED else ""
        facts.append(f"as {encoding.removesuffix('-sig')}{guess}")
        keys.append("dataset.reader.encoding=NAME")
    if layout.delimiter is None and delimiter:
        name = next((name for name, sign in DELIMITERS.items() if sign == delimiter), repr(delimiter))
        facts.append(f"with a {name} between cells")
        keys.append(f"dataset.reader.delimiter={'|'.join(DELIMITERS)}")
    if facts and told is not None and (way := encoding + delimiter) not in told:
        told.add(way)
        say(f"{path}: read {' '.join(facts)}; to set it by hand: {' '.join(keys)}")


def _find_sample(path: Path, encoding: str) -> str:
    """The first word that would look otherwise in another encoding."""
    with open_bytes(path) as file:
        line = next((each for each in file if not each.isascii()), b"").decode(encoding, "replace")
    return next((repr(word[:30]) for word in re.findall(r"\w+", line) if not word.isascii()), "?")


def _read_lines(file: TextIO, path: Path) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE + 1), ""), 1):
        if len(line) > _LONGEST_LINE:
            raise DataError(f"{path}:{number}: the line is longer than {_LONGEST_LINE:,} characters")
        if "\0" in line:
            raise DataError(
                f"{path}:{number}: has a NUL byte, so it is no text, or UTF-16 without a mark at its beginning "
                "(dataset.reader.encoding=utf-16-le)"
            )
        yield line


def _read_csv(path: Path, encoding: str, delimiter: str) -> Iterator[Located | BadRow]:
    with open_text(path, encoding) as file:
        table = csv.reader(_read_lines(file, path), strict=True, delimiter=delimiter)
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


def _read_xlsx(path: Path, sheet: str | None) -> Iterator[Located | BadRow]:
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


def _read_jsonl(path: Path, encoding: str) -> Iterator[Located | BadRow]:
    with open_text(path, encoding) as file:
        for number, line in enumerate(_read_lines(file, path), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = _locate(json.loads(line), where)
            except (ValueError, RecursionError) as error:
                row = BadRow(where, f"not valid JSON: {_describe(error)}", line[:1000])
            yield row


def _read_json(path: Path, encoding: str) -> Iterator[Located | BadRow]:
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
