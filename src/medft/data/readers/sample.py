"""`dataset=sample`: the bundled questions and answers."""

from collections.abc import Iterator
from importlib.resources import as_file, files

from typing_extensions import override

from medft.data.example import BadRow, Example
from medft.data.readers.base import Located, Reader, Row, convert_rows, make_example
from medft.data.readers.tables import read_table


class Sample(Reader):
    """210 pairs about 30 diseases in `medft/data/bundled/sample.jsonl`, written for medft; not medical advice."""

    def read(self) -> Iterator[Example | BadRow]:
        """Yield them in the file's order; the group is the disease."""
        yield from convert_rows(_read_bundled(), _to_example)

    @override
    def count(self) -> int:
        return sum(1 for _ in _read_bundled())


def _read_bundled() -> Iterator[Located | BadRow]:
    with as_file(files("medft.data") / "bundled" / "sample.jsonl") as path:
        yield from read_table(path)


def _to_example(row: Row) -> Example:
    return make_example(
        row["instruction"],
        row["output"],
        id=row["id"],
        group=row["focus"],
        question_type=row["question_type"],
        source="medft sample",
    )
