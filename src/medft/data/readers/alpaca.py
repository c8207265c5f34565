"""`dataset=alpaca`: any table in Alpaca form, or one whose columns are mapped to it."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from medft.config.section import Component, Role
from medft.data.example import BadRow, Example
from medft.data.readers.base import (
    Located,
    Paths,
    Reader,
    Row,
    RowError,
    convert_rows,
    list_files,
    make_example,
    read_cell,
)
from medft.data.readers.tables import read_table
from medft.errors import DataError


class Columns(Component):
    """Which column of the file holds what; None = there is none."""

    instruction: str = "instruction"
    input: str | None = "input"
    output: str = "output"
    id: str | None = None
    group: str | None = None
    document: str | None = None


class Alpaca(Reader):
    """JSON, JSONL, CSV or Parquet files, or a data set of the Hugging Face hub as `hub:owner/name`."""

    path: Annotated[Paths, Role.PLACE]
    columns: Columns = Columns()
    hub_split: str = "train"

    def read(self) -> Iterator[Example | BadRow]:
        """Yield the rows in the source's order, several files one after the other."""
        rows: Iterator[Located | BadRow]
        if isinstance(self.path, str) and self.path.startswith("hub:"):
            rows = _read_hub(self.path.removeprefix("hub:"), self.hub_split)
        else:
            rows = chain.from_iterable(map(read_table, list_files(self.path)))
        yield from convert_rows(rows, self._to_example)

    def _to_example(self, row: Row) -> Example:
        names = self.columns
        if names.input not in (None, "input", *row):
            read_cell(row, str(names.input))  # raises: a column that was mapped must exist
        return make_example(
            read_cell(row, names.instruction),
            read_cell(row, names.output),
            input=read_cell(row, names.input, required=False) if names.input else "",
            id=_read_name(row, names.id),
            group=_read_name(row, names.group),
            document=_read_name(row, names.document),
        )


def _read_name(row: Row, column: str | None) -> str:
    """Read an id, a group or a document as text; empty if the cell is, so that its default is used."""
    if column is None:
        return ""
    value = row[column] if column in row else read_cell(row, column)  # raises, and names the columns that exist
    if isinstance(value, dict | list):
        raise RowError(f"column {column!r} is {type(value).__name__}, not a name")
    return "" if value is None else str(value).strip()


def _read_hub(name: str, split: str) -> Iterator[Located]:
    from datasets import load_dataset

    try:
        table = load_dataset(name, split=split)
    except Exception as error:  # the library raises many kinds, none of them its own
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"dataset.path=hub:{name}: {text}; download it elsewhere and give the file") from None
    for number, row in enumerate(table, 1):
        yield f"hub:{name}[{split}]: row {number}", row
