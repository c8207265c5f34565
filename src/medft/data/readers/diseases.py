"""`dataset=diseases`: the first users' CSV."""

from contextlib import suppress
from pathlib import Path

from typing_extensions import override

from medft.data.example import BadRow, Example
from medft.data.readers.base import Row, make_example, normalize_name, read_cell
from medft.data.readers.tables import TableReader, read_table
from medft.errors import DataError

_COLUMNS = {"question", "answer", "source", "focus_area"}


class Diseases(TableReader):
    """A table with the columns question, answer, source and focus_area; the group is the focus area."""

    @override
    def to_example(self, row: Row) -> Example:
        question, answer = read_cell(row, "question"), read_cell(row, "answer")
        # the columns must be there, their cells may be empty
        source, focus = (read_cell(row, name, required=name not in row) for name in ("source", "focus_area"))
        return make_example(question, answer, group=normalize_name(focus), source=source, focus=focus)

    @override
    @classmethod
    def rate_path(cls, path: str) -> int:
        with suppress(DataError):
            first = next(read_table(Path(path).expanduser()), None)
            return 2 if first and not isinstance(first, BadRow) and first[1].keys() >= _COLUMNS else 0
        return 0
