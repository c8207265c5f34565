"""`dataset=diseases`: the first users' CSV."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from medft.config.section import Role
from medft.data.example import BadRow, Example
from medft.data.readers.base import Paths, Reader, Row, convert_rows, list_files, make_example, read_cell
from medft.data.readers.tables import read_table


class Diseases(Reader):
    """A table with the columns question, answer, source and focus_area."""

    path: Annotated[Paths, Role.PLACE]

    def read(self) -> Iterator[Example | BadRow]:
        """Yield the rows in the file's order; the group is the focus area."""
        yield from convert_rows(chain.from_iterable(map(read_table, list_files(self.path))), _to_example)


def _to_example(row: Row) -> Example:
    question, answer = read_cell(row, "question"), read_cell(row, "answer")
    # the columns must be there, their cells may be empty
    source, focus = (read_cell(row, name, required=name not in row) for name in ("source", "focus_area"))
    return make_example(question, answer, group=focus.lower(), source=source, focus=focus)
