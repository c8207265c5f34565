"""`dataset=sample`: the bundled questions and answers."""

from collections.abc import Iterator
from importlib.resources import as_file, files

from medft.data.example import BadRow, Example
from medft.data.readers.base import Reader, Row, convert_rows, make_example
from medft.data.readers.tables import read_table


class Sample(Reader):
    """210 pairs about 30 diseases in `medft/data/bundled/sample.jsonl`, written for medft; not medical advice."""

    def read(self) -> Iterator[Example | BadRow]:
        """Yield them in the file's order; the group is the disease."""
        with as_file(files("medft.data") / "bundled" / "sample.jsonl") as path:
            yield from convert_rows(read_table(path), _to_example)


def _to_example(row: Row) -> Example:
    return make_example(
        row["instruction"],
        row["output"],
        id=row["id"],
        group=row["focus"],
        question_type=row["question_type"],
        source="medft sample",
    )
