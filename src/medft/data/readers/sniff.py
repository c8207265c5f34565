"""How a text file is encoded, and what stands between the cells of a table, where nobody has said so."""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from medft.errors import DataError

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*')  # Excel's own first line
GUESSED = ("gb18030", "cp1252")  # what Excel writes on Chinese Windows and on Western European one
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_CHUNK = 1 << 20  # bytes
_SAMPLE = 1 << 17  # bytes that a guess is made from
_SAMPLE_LINES, _SAMPLE_CHARACTERS = 2000, 1 << 20


def open_bytes(path: Path) -> BinaryIO:
    """Open a plain or gzipped file."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def find_encoding(path: Path) -> str:
    """The encoding that a whole text file can be read in: that of its byte order mark, UTF-8, or a guess between
    `GUESSED`.

    Raises:
        DataError: it is none of them, or nobody can tell which.
    """
    stat = path.stat()
    return _find_encoding(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _find_encoding(path: Path, size: int, changed: int) -> str:
    with open_bytes(path) as file:
        start = file.read(4)
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    not_utf8 = find_undecodable(path, "utf-8")
    if not_utf8 is None:
        return "utf-8"
    fitting = [name for name in GUESSED if find_undecodable(path, name) is None]
    guess = fitting[0] if len(fitting) == 1 else _guess(path) if fitting else None
    if guess is None:
        what = "either cp1252 or GB18030" if fitting else "neither UTF-16, cp1252 nor GB18030"
        raise DataError(f"{path}:{not_utf8}: is not UTF-8 but {what}; name its encoding: dataset.reader.encoding=NAME")
    return guess


def _guess(path: Path) -> str | None:
    """Which of `GUESSED` the text looks like, from its first lines that are not ASCII."""
    from charset_normalizer import from_bytes

    sample = bytearray()
    with open_bytes(path) as file:
        for line in file:
            sample += b"" if line.isascii() else line
            if len(sample) > _SAMPLE:
                break
    best = from_bytes(bytes(sample), cp_isolation=list(GUESSED)).best()
    return best.encoding if best else None


def find_undecodable(path: Path, encoding: str) -> int | None:
    """The first line of a file that an encoding cannot read; None if it reads the whole."""
    decoder, line = codecs.getincrementaldecoder(encoding)(), 1
    with open_bytes(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            try:
                line += decoder.decode(chunk, final=not chunk).count("\n")
            except UnicodeDecodeError as error:
                return line + error.object[: error.start].decode(encoding, "ignore").count("\n")
            if not chunk:
                return None


def find_delimiter(lines: Iterable[str]) -> str:
    """What stands between cells: of those that divide the header, the one that gives most rows as many cells.

    Where nothing divides it, the file has one column, and it is a comma.
    """
    sample: list[str] = []
    left = _SAMPLE_CHARACTERS
    for line in islice(lines, _SAMPLE_LINES):
        sample.append(line)
        left -= len(line)
        if left < 0:
            break
    if sample and (said := SEPARATOR_LINE.fullmatch(sample[0])):
        return said[1]
    return max(DELIMITERS.values(), key=lambda each: _rate_delimiter(sample, each))


def _rate_delimiter(lines: list[str], delimiter: str) -> tuple[float, int]:
    """(share of rows with as many cells as the header, cells of the header)."""
    rows: list[list[str]] = []
    with suppress(csv.Error):  # what was read before it counts
        rows.extend(row for row in csv.reader(lines, delimiter=delimiter) if row)
    if not rows or len(rows[0]) < 2:
        return 0.0, 0
    return sum(len(row) == len(rows[0]) for row in rows) / len(rows), len(rows[0])


def open_text(path: Path, encoding: str) -> io.TextIOWrapper:
    """Open a plain or gzipped file as text, with line ends as they are."""
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, newline="")
