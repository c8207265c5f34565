"""`dataset=diseases`: the first users' CSV."""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated

from medft.config.section import Role
from medft.data.example import BadRow, Example
from medft.data.readers.base import Paths, Reader, Row, each_row, existing_files, make_example, text_of
from medft.data.readers.tables import rows_of


class Diseases(Reader):
    """A table with the columns question, answer, source and focus_area."""

    path: Annotated[Paths, Role.PLACE]

    def read(self) -> Iterator[Example | BadRow]:
        """Yield the rows in the file's order; the group is the focus area."""
        yield from each_row(chain.from_iterable(map(rows_of, existing_files(self.path))), _example)


def _example(row: Row) -> Example:
    question, answer = text_of(row, "question"), text_of(row, "answer")
    # the columns must be there, their cells may be empty
    source, focus = (text_of(row, name, required=name not in row) for name in ("source", "focus_area"))
    return make_example(question, answer, group=focus.lower(), source=source, focus=focus)
