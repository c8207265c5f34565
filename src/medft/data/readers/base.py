"""The base class of readers, and the checks they share.

A new data set is one file here and one YAML in `conf/dataset/`:

    class MyData(Reader):
        path: Annotated[str, Role.PLACE]
        def read(self) -> Iterator[Example | BadRow]: ...
"""

import glob
import os
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import regex

from medft.config.options import list_with_rows
from medft.config.schema import DatasetConfig
from medft.config.section import ReaderOptions
from medft.data.example import BadRow, Example, hash_fields
from medft.errors import DataError, InputError

_POSSESSIVE = regex.compile(r"['\u2019`\u00b4]s\b")
_NO_WORD = regex.compile(r"[^\p{L}\p{M}\p{N}]+")

Row = dict[str, Any]
Located = tuple[str, Row]  # `file:line` and the row there
Paths = str | list[str]


class Reader(ReaderOptions):
    """A source of examples. Fields are the options that its YAML may set."""

    @abstractmethod
    def read(self) -> Iterator[Example | BadRow]:
        """Yield the source's rows in a fixed order, and a `BadRow` for each that cannot be used.

        `read_rows` refuses rows whose question or answer is empty, is not valid Unicode or is larger than
        `dataset.max_row_bytes`, and makes ids unique: a reader need not.

        Raises:
            DataError: the source is missing or cannot be read on; names the file.
        """

    def check(self, skips: bool) -> None:
        """Look at what `path` names before anything heavy is imported, and without a network.

        Args:
            skips: whether rows that cannot be used are left out (`dataset.on_bad_row=skip`).

        Raises:
            DataError: it is missing or cannot be read.
        """
        path = getattr(self, "path", None)
        if path is not None and not is_remote(path):
            list_files(path)

    def fetch(self) -> str:
        """Get what lies in a network, once, so that a command can do so before its jobs begin.

        Returns:
            The place that rows are read from; empty where there is none to name.

        Raises:
            DataError: it cannot be had; says how to get it.
        """
        return ""


def reader_of(dataset: DatasetConfig) -> Reader:
    """The reader that a config names.

    Raises:
        InputError: what `_target_` names is none.
    """
    if not isinstance(dataset.reader, Reader):
        raise InputError(f"dataset.reader: {type(dataset.reader).__qualname__} is not a Reader")
    return dataset.reader


def check_source(dataset: DatasetConfig) -> None:
    """Say what is wrong with a data set as far as can be told at once.

    Raises:
        InputError: its files are missing or are no such table, or `dataset.size` is more than it has.
    """
    reader = reader_of(dataset)
    reader.check(dataset.on_bad_row == "skip")
    if (available := reader.count()) is not None:
        check_size(dataset, available)


def check_size(dataset: DatasetConfig, available: int) -> None:
    """Make sure that a data set has as many rows as `dataset.size` asks for.

    Raises:
        InputError: it has fewer.
    """
    if dataset.size and dataset.size > available:
        others = f"; {', '.join(list_with_rows())} has thousands" if dataset.path is None else ""
        raise InputError(
            f"dataset.size={dataset.size}: dataset={dataset.name} has {available:,} rows, all of which "
            f"dataset.size=null takes{others}"
        )


class RowError(Exception):
    """Why one row cannot be used; `convert_rows` adds the file and line."""


def convert_rows(rows: Iterable[Located | BadRow], make: Callable[[Row], Example]) -> Iterator[Example | BadRow]:
    """Convert table rows to examples with file and line, and rows that `make` refuses to a `BadRow`."""
    for located in rows:
        if isinstance(located, BadRow):
            yield located
            continue
        where, row = located
        try:
            yield replace(make(row), where=where)
        except RowError as error:
            yield BadRow(where, str(error), row)


def is_remote(path: Paths) -> bool:
    """Whether a path lies in a network."""
    return isinstance(path, str) and path.startswith(("hub:", "http://", "https://"))


def require_path(path: str) -> Path:
    """Expand `~` in a path that must exist.

    Raises:
        DataError: nothing is there, or it may not be read.
    """
    expanded = Path(path).expanduser()
    if not expanded.exists():
        raise DataError(f"dataset.path={path}: no such file")
    if not os.access(expanded, os.R_OK):
        raise DataError(f"dataset.path={path}: may not be read (permission denied)")
    return expanded


def list_files(paths: Paths) -> list[Path]:
    """List the files of a path, a list of paths, or patterns such as `data/*.csv` (sorted by name within each).

    Raises:
        DataError: a file does not exist, or a pattern matches none.
    """
    files: list[Path] = []
    for path in [paths] if isinstance(paths, str) else paths:
        pattern = str(Path(path).expanduser())
        if Path(pattern).exists() or not glob.has_magic(pattern):
            files.append(require_path(path))
            continue
        paths_here = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 (the pattern may be absolute)
        matches = sorted(filter(Path.is_file, paths_here))
        if not matches:
            raise DataError(f"dataset.path={path}: no file matches this pattern")
        files += matches
    if not files:
        raise DataError("dataset.path=[]: name a file")
    return files


def read_cell(row: Row, column: str, required: bool = True) -> str:
    """Read a cell as stripped text; empty if it is not required and missing.

    Raises:
        RowError: it is required and missing or empty, or it is not text.
    """
    if required and column not in row:
        have = ", ".join(map(repr, row)) or "none"
        raise RowError(
            f"no column {column!r} (there are: {have}); "
            "map another with dataset=alpaca dataset.reader.columns.<role>=<column>"
        )
    value = row.get(column)
    if value is None or (isinstance(value, str) and not value.strip()):
        if required:
            raise RowError(f"column {column!r} is empty")
        return ""
    if not isinstance(value, str):
        raise RowError(f"column {column!r} is {type(value).__name__}, not text")
    return value.strip()


def make_default_group(instruction: str, input: str) -> str:
    """The group of a row that does not say one: its question, ignoring case and spacing."""
    return " ".join(f"{instruction} {input}".lower().split())


def normalize_name(name: str) -> str:
    """What all spellings of a subject's name have in common: its letters and digits, without case, possessives, forms
    of one character, punctuation and spaces. "Alzheimer's disease" and "Alzheimer disease" are one, and so are
    "oto-palato-digital" and "otopalatodigital".
    """
    text = unicodedata.normalize("NFKC", name).casefold()
    return str(_NO_WORD.sub("", _POSSESSIVE.sub("", text)))


def make_example(
    instruction: str, output: str, *, input: str = "", id: str = "", group: str = "", document: str = "", **meta: str
) -> Example:
    """Make an example; by default the id is a hash of the content, the group is the question (ignoring case and
    spacing), and the document is the group.
    """
    group = group or make_default_group(instruction, input)
    return Example(
        id=id or hash_fields(instruction, input, output)[:16],
        group=group,
        instruction=instruction,
        input=input,
        output=output,
        document=document or group,
        meta=meta,
    )
