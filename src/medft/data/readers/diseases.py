"""`dataset=diseases`: the first users' CSV."""

from collections.abc import Iterator

from medft.data.example import Example
from medft.data.readers.base import Reader, existing, make_example, require_columns, text_of, unique_ids
from medft.data.readers.tables import rows_of

COLUMNS = ("question", "answer", "source", "focus_area")


class Diseases(Reader):
    """A CSV with the columns question, answer, source and focus_area."""

    path: str

    def read(self) -> Iterator[Example]:
        """Yield the rows in the file's order; the group is the focus area."""
        yield from unique_ids(self._rows())

    def _rows(self) -> Iterator[Example]:
        for where, row in rows_of(existing(self.path)):
            require_columns(COLUMNS, row, self.path)
            question, answer = (text_of(row[name], name, where) for name in COLUMNS[:2])
            source, focus = (text_of(row[name], name, where, required=False) for name in COLUMNS[2:])
            yield make_example(question, answer, group=focus.lower(), source=source, focus=focus)
