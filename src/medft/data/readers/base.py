"""What a reader is, and the checks they share.

A new data set is one file here and one YAML in `conf/dataset/`:

    class MyData(Reader):
        path: str
        def read(self) -> Iterator[Example]: ...
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from medft.config.component import Component
from medft.data.example import Example, content_id
from medft.errors import DataError


class Reader(Component):
    """A source of examples. Fields are the options that its YAML may set."""

    @abstractmethod
    def read(self) -> Iterator[Example]:
        """Yield the source's rows in a fixed order.

        Raises:
            DataError: the source is missing or a row cannot be used; names the file and line.
        """


def existing(path: str, what: str = "file") -> Path:
    """The path with `~` expanded.

    Raises:
        DataError: nothing is there.
    """
    found = Path(path).expanduser()
    if not found.exists():
        raise DataError(f"dataset.path={path}: no such {what}")
    return found


def text_of(value: Any, column: str, where: str, required: bool = True) -> str:
    """A cell as stripped text.

    Raises:
        DataError: it is missing or empty though required, or not text.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        if required:
            raise DataError(f"{where}: column {column!r} is empty")
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where}: column {column!r} is {type(value).__name__}, not text")
    return value.strip()


def require_columns(names: Iterable[str], present: Iterable[str], where: str) -> None:
    """Check that the mapped columns exist.

    Raises:
        DataError: one does not; says which do and how to map another.
    """
    have = list(present)
    for name in names:
        if name not in have:
            raise DataError(
                f"{where}: no column {name!r} (there are: {', '.join(map(repr, have)) or 'none'}); "
                "map another with dataset=alpaca dataset.reader.columns.<role>=<column>"
            )


def unique_ids(rows: Iterable[Example]) -> Iterator[Example]:
    """The same rows, where a repeated id gets its occurrence appended (`abc`, `abc#2`): exact copies stay apart."""
    seen: dict[str, int] = {}
    for row in rows:
        seen[row.id] = count = seen.get(row.id, 0) + 1
        yield (
            row
            if count == 1
            else Example(f"{row.id}#{count}", row.group, row.instruction, row.input, row.output, row.meta)
        )


def make_example(
    instruction: str,
    output: str,
    *,
    input: str = "",
    id: str = "",
    group: str = "",
    **meta: str,
) -> Example:
    """An example with the default id (hash of the content) and group (the question, ignoring case and spacing)."""
    return Example(
        id=id or content_id(instruction, input, output),
        group=group or " ".join(f"{instruction} {input}".lower().split()),
        instruction=instruction,
        input=input,
        output=output,
        meta=meta,
    )
