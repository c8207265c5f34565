"""`dataset=alpaca`: any table in Alpaca form, or one whose columns are mapped to it."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import PurePath

from typing_extensions import override

from medft.config.section import Component
from medft.data.example import BadRow, Example
from medft.data.readers.base import Located, Row, RowError, convert_rows, is_remote, make_example, read_cell
from medft.data.readers.tables import ENDINGS, TableReader
from medft.errors import DataError, InputError

# what columns of questions and answers are called, in lower case
_NAMES = {
    "instruction": ("instruction", "question", "prompt", "问题", "提问"),
    "input": ("input",),
    "output": ("output", "answer", "response", "completion", "réponse", "reponse", "答案", "回答"),
}


class Columns(Component):
    """Which column of the file holds what. None = there is none; for question and answer: it is known by its name."""

    instruction: str | None = None
    input: str | None = "input"
    output: str | None = None
    id: str | None = None
    group: str | None = None
    document: str | None = None


class Alpaca(TableReader):
    """Table files, or a data set of the Hugging Face hub as `hub:owner/name`."""

    columns: Columns = Columns()
    hub_split: str | None = None

    @override
    def read(self) -> Iterator[Example | BadRow]:
        if isinstance(self.path, str) and self.path.startswith("hub:"):
            rows = _read_hub(self.path.removeprefix("hub:"), self.hub_split or "train")
            yield from convert_rows(rows, self.to_example)
        else:
            yield from super().read()

    @override
    def check(self, skips: bool) -> None:
        if self.hub_split and not is_remote(self.path):
            raise InputError(f"dataset.reader.hub_split={self.hub_split}: only hub:owner/name has splits")
        super().check(skips)

    @override
    def to_example(self, row: Row) -> Example:
        names = self.columns
        if names.input not in (None, "input", *row):
            read_cell(row, str(names.input))  # raises: a column that was mapped must exist
        question, answer = (
            name or _find_column(role, tuple(row))
            for role, name in (("instruction", names.instruction), ("output", names.output))
        )
        context = _find_column("input", tuple(row)) if names.input == "input" else names.input
        return make_example(
            read_cell(row, question or ""),
            read_cell(row, answer or ""),
            input=read_cell(row, context, required=False) if context else "",
            id=_read_name(row, names.id),
            group=_read_name(row, names.group),
            document=_read_name(row, names.document),
        )

    @override
    @classmethod
    def rate_path(cls, path: str) -> int:
        return int(path.startswith("hub:") or PurePath(path.removesuffix(".gz")).suffix.lower() in ENDINGS)


@lru_cache(maxsize=64)
def _find_column(role: str, columns: tuple[str, ...]) -> str | None:
    """The column that holds a question, its context or an answer, by its name; None if there is no context.

    Raises:
        RowError: no column, or more than one, has such a name.
    """
    names = _NAMES[role]
    if names[0] in columns:  # Alpaca's own
        return names[0]
    found = [each for each in columns if each.strip().lower() in names]
    if len(found) == 1 or (not found and role == "input"):
        return found[0] if found else None
    what = {"instruction": "the question", "input": "the context", "output": "the answer"}[role]
    problem = f"{' and '.join(map(repr, found))} may all be {what}" if found else f"no column looks like {what}"
    have = ", ".join(map(repr, columns)) or "none"
    raise RowError(f"{problem} (there are: {have}); name it: dataset.reader.columns.{role}=COLUMN")


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
