"""What a reader is, and the checks they share.

A new data set is one file here and one YAML in `conf/dataset/`:

    class MyData(Reader):
        path: Annotated[str, Role.PLACE]
        def read(self) -> Iterator[Example | BadRow]: ...
"""

import glob
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from medft.config.instantiate import ReaderOptions
from medft.config.schema import DatasetConfig
from medft.data.example import BadRow, Example, make_content_id
from medft.errors import DataError, InputError

Row = dict[str, Any]
Located = tuple[str, Row]  # `file:line` and the row there
Paths = str | list[str]


class Reader(ReaderOptions):
    """A source of examples. Fields are the options that its YAML may set."""

    @abstractmethod
    def read(self) -> Iterator[Example | BadRow]:
        """Yield the source's rows in a fixed order, and a `BadRow` for each that cannot be used.

        Rows whose answer or question is empty, is no valid Unicode or is larger than `dataset.max_row_bytes` need no
        check here, and ids need not be unique: whoever reads sees to both.

        Raises:
            DataError: the source is missing or cannot be read on; names the file.
        """


def reader_of(dataset: DatasetConfig) -> Reader:
    """The reader that a config names.

    Raises:
        InputError: what `_target_` names is none.
    """
    if not isinstance(dataset.reader, Reader):
        raise InputError(f"dataset.reader: {type(dataset.reader).__qualname__} is not a Reader")
    return dataset.reader


class RowError(Exception):
    """Why one row cannot be used; whoever catches it knows the file and line."""


def convert_rows(rows: Iterable[Located | BadRow], make: Callable[[Row], Example]) -> Iterator[Example | BadRow]:
    """Turn table rows into examples that know their place, and rows that `make` refuses into `BadRow`."""
    for located in rows:
        if isinstance(located, BadRow):
            yield located
            continue
        where, row = located
        try:
            yield replace(make(row), where=where)
        except RowError as error:
            yield BadRow(where, str(error), row)


def require_path(path: str, what: str = "file") -> Path:
    """The path with `~` expanded.

    Raises:
        DataError: nothing is there.
    """
    expanded = Path(path).expanduser()
    if not expanded.exists():
        raise DataError(f"dataset.path={path}: no such {what}")
    return expanded


def list_files(paths: Paths) -> list[Path]:
    """The files of a path, of a list of them, or of patterns such as `data/*.csv`, each pattern's in order of name.

    Raises:
        DataError: one is not there, or a pattern fits nothing.
    """
    files: list[Path] = []
    for path in [paths] if isinstance(paths, str) else paths:
        pattern = str(Path(path).expanduser())
        if Path(pattern).exists() or not glob.has_magic(pattern):
            files.append(require_path(path))
            continue
        matching = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 (the pattern may be absolute)
        matches = sorted(each for each in matching if each.is_file())
        if not matches:
            raise DataError(f"dataset.path={path}: no file fits this pattern")
        files += matches
    if not files:
        raise DataError("dataset.path=[]: name a file")
    return files


def read_cell(row: Row, column: str, required: bool = True) -> str:
    """A cell as stripped text; empty where the column may be missing and is.

    Raises:
        RowError: it is missing or empty though required, or not text.
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


def make_example(
    instruction: str,
    output: str,
    *,
    input: str = "",
    id: str = "",
    group: str = "",
    document: str = "",
    **meta: str,
) -> Example:
    """An example with its defaults: the id is a hash of the content, the group the question (ignoring case and
    spacing), the document the group.
    """
    group = group or " ".join(f"{instruction} {input}".lower().split())
    return Example(
        id=id or make_content_id(instruction, input, output),
        group=group,
        instruction=instruction,
        input=input,
        output=output,
        document=document or group,
        meta=meta,
    )
