"""Readers of table files: which format, encoding and delimiter one has is found out, and said."""

import codecs
import gzip
import re
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator
from typing_extensions import override

from medft.config.section import Component, Role
from medft.console import say, warn
from medft.data.example import BadRow, Example
from medft.data.readers.base import Located, Paths, Reader, Row, convert_rows, is_remote, list_files
from medft.data.readers.formats import read_csv, read_json, read_jsonl, read_lines, read_parquet, read_xlsx
from medft.data.readers.sniff import (
    DELIMITERS,
    GUESSED,
    find_delimiter,
    find_encoding,
    find_undecodable,
    open_bytes,
    open_text,
)
from medft.errors import DataError

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
            yield from read_parquet(path) if ending == ".parquet" else read_xlsx(path, layout.sheet)
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
        yield from read_jsonl(path, encoding) if ending == ".jsonl" else read_json(path, encoding)
        return
    if layout.delimiter:
        delimiter = DELIMITERS[layout.delimiter]
    else:
        with open_text(path, encoding) as file:
            delimiter = find_delimiter(read_lines(file, path))
    _tell(path, encoding, delimiter, layout, told)
    yield from read_csv(path, encoding, delimiter)


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
