"""`dataset=sample`: the bundled questions and answers."""

from collections.abc import Iterator
from importlib.resources import as_file, files

from medft.data.example import BadRow, Example
from medft.data.readers.base import Reader, Row, each_row, make_example
from medft.data.readers.tables import rows_of


class Sample(Reader):
    """210 pairs about 30 diseases in `medft/data/bundled/sample.jsonl`, written for medft; not medical advice."""

    def read(self) -> Iterator[Example | BadRow]:
        """Yield them in the file's order; the group is the disease."""
        with as_file(files("medft.data") / "bundled" / "sample.jsonl") as path:
            yield from each_row(rows_of(path), _example)


def _example(row: Row) -> Example:
    return make_example(
        row["instruction"],
        row["output"],
        id=row["id"],
        group=row["focus"],
        question_type=row["question_type"],
        source="medft sample",
    )
