"""`dataset=alpaca`: any table in Alpaca form, or one whose columns are mapped to it."""

from collections.abc import Iterator
from typing import Any

from medft.config.component import Component
from medft.data.example import Example
from medft.data.readers.base import Reader, existing, make_example, require_columns, text_of, unique_ids
from medft.data.readers.tables import rows_of
from medft.errors import DataError


class Columns(Component):
    """Which column of the file holds what; None = there is none."""

    instruction: str = "instruction"
    input: str | None = "input"
    output: str = "output"
    id: str | None = None
    group: str | None = None


class Alpaca(Reader):
    """A JSON, JSONL, CSV or Parquet file, or a data set of the Hugging Face hub as `hub:owner/name`."""

    path: str
    columns: Columns = Columns()
    hub_split: str = "train"

    def read(self) -> Iterator[Example]:
        """Yield the rows in the source's order."""
        yield from unique_ids(self._example(where, row) for where, row in self._rows())

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if self.path.startswith("hub:"):
            return _hub_rows(self.path.removeprefix("hub:"), self.hub_split)
        return rows_of(existing(self.path))

    def _example(self, where: str, row: dict[str, Any]) -> Example:
        names = self.columns
        required = [names.instruction, names.output, *filter(None, (names.id, names.group))]
        if names.input and names.input != "input":  # a column that was mapped must be there
            required.append(names.input)
        require_columns(required, row, self.path)
        return make_example(
            text_of(row[names.instruction], names.instruction, where),
            text_of(row[names.output], names.output, where),
            input=text_of(row.get(names.input), names.input, where, required=False) if names.input else "",
            id=_name(row[names.id]) if names.id else "",
            group=_name(row[names.group]) if names.group else "",
        )


def _name(value: Any) -> str:
    """An id or a group as text; empty where the cell is, so that the default takes its place."""
    return "" if value is None else str(value).strip()


def _hub_rows(name: str, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
    from datasets import load_dataset

    try:
        table = load_dataset(name, split=split)
    except Exception as error:  # the library raises many kinds, none of them its own
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"dataset.path=hub:{name}: {text}; download it elsewhere and give the file") from None
    for number, row in enumerate(table, 1):
        yield f"hub:{name}[{split}]: row {number}", row
