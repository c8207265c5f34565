"""Rows on disk are the rows that were read, whatever their number, and bad ones are refused or set aside."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from medft.config.schema import Config
from medft.data.example import BadRow, Example
from medft.data.readers.base import Reader, make_example
from medft.data.rows import Rows, read_rows, store_rows
from medft.errors import DataError


def examples(count: int) -> list[Example]:
    return [make_example(f"q{n}", f"a\n{n}", group=f"g{n % 7}", source="x", document=f"d{n}") for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 2500])
def test_rows_come_back_as_they_were(tmp_path: Path, count: int) -> None:
    rows = store_rows(examples(count), tmp_path)
    assert list(rows) == examples(count)
    assert [row.meta for row in rows] == [{"source": "x"}] * count
    assert len(list(tmp_path.iterdir())) == 1
    assert list(rows.column("document")) == [f"d{n}" for n in range(count)]


def test_an_order_of_rows_is_a_view(tmp_path: Path) -> None:
    rows = store_rows(examples(3000), tmp_path)
    order = np.random.default_rng(0).permutation(3000)
    mixed = Rows(rows.table, order)
    assert [row.id for row in mixed] == [rows[int(each)].id for each in order]
    assert mixed[5] == rows[int(order[5])]
    assert mixed[:10] == Rows(rows.table, order[:10])
    assert mixed != rows
    assert (mixed[:2] + mixed[4:6]).indices.tolist() == order[[0, 1, 4, 5]].tolist()


def test_copies_of_a_row_get_ids_of_their_own_and_stay_together(tmp_path: Path) -> None:
    same = [make_example("Q ?", "A"), make_example("Q ?", "A"), make_example("q  ?", "B"), make_example("Q ?", "A")]
    rows = list(store_rows(same, tmp_path))
    assert [row.id for row in rows] == [same[0].id, f"{same[0].id}#2", same[2].id, f"{same[0].id}#3"]
    assert len({row.group for row in rows}) == 1


def test_many_repeated_ids_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medft.data.rows._UniqueIds._NEW", 10)
    rows = [make_example(f"q{n}", "a", id=f"i{n % 40}") for n in range(120)]
    expected = [f"i{n % 40}" + ("" if n < 40 else f"#{n // 40 + 1}") for n in range(120)]
    assert [row.id for row in store_rows(rows, tmp_path)] == expected


def test_an_id_that_looks_numbered_is_not_given_twice(tmp_path: Path) -> None:
    rows = [make_example(f"q{n}", "a", id=id) for n, id in enumerate(["a", "a#2", "a", "a", "a#2", "a"])]
    assert [row.id for row in store_rows(rows, tmp_path)] == ["a", "a#2", "a#3", "a#4", "a#2#2", "a#5"]


def test_skipped_rows_can_be_counted_only(compose: Callable[..., Config], tmp_path: Path) -> None:
    config = given(compose, "skip", [BadRow("f:1", "no", None), *examples(2)])
    rows, skipped = read_rows(config.dataset, tmp_path, None)
    assert (len(rows), skipped.count, skipped.file) == (2, 1, None)
    assert [path.name for path in tmp_path.rglob("*.jsonl")] == []


def test_the_file_is_named_after_its_content(tmp_path: Path) -> None:
    one, other = store_rows(examples(5), tmp_path), store_rows(examples(5), tmp_path)
    assert one.fingerprint == other.fingerprint
    assert len(list(tmp_path.iterdir())) == 1
    assert store_rows(examples(6), tmp_path).fingerprint != one.fingerprint
    assert len(list(tmp_path.iterdir())) == 2


def test_a_reader_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Example]:
        yield from examples(1500)
        raise DataError("x.csv:1500: broken")

    with pytest.raises(DataError, match="broken"):
        store_rows(broken(), tmp_path)
    assert not list(tmp_path.iterdir())


BAD = [
    (BadRow("f:2", "not an object", [1]), "f:2: not an object"),
    (make_example("q", " \n"), "the answer is empty"),
    (make_example("", "a"), "the question is empty"),
    (make_example("q", "a\ud800"), "no valid Unicode text"),
    (make_example("q", "a", group="\udfff"), "no valid Unicode text"),
    (make_example("q", "a" * 2000), "2,001 bytes are more than dataset.max_row_bytes=1000"),
    (make_example("q", "é" * 500), "1,001 bytes are more than dataset.max_row_bytes=1000"),
]


class Given(Reader):
    rows: list[object]

    def read(self) -> Iterator[Example | BadRow]:
        yield from self.rows  # type: ignore[misc]


def given(compose: Callable[..., Config], on_bad_row: str, rows: list[object]) -> Config:
    config = compose(f"dataset.on_bad_row={on_bad_row}", "dataset.max_row_bytes=1000")
    dataset = config.dataset.model_copy(update={"reader": Given(rows=rows)})
    return config.model_copy(update={"dataset": dataset})


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_bad_rows_are_refused_or_skipped(
    compose: Callable[..., Config], tmp_path: Path, bad: object, message: str
) -> None:
    rows = [*examples(3), bad, *examples(5)[3:]]
    with pytest.raises(DataError, match=message):
        read_rows(given(compose, "error", rows).dataset, tmp_path, tmp_path / "skipped.jsonl")
    assert not list((tmp_path / "data").iterdir())
    assert not (tmp_path / "skipped.jsonl").exists()

    rows, skipped = read_rows(given(compose, "skip", rows).dataset, tmp_path, tmp_path / "skipped.jsonl")
    assert list(rows) == examples(5)
    assert skipped.count == 1
    assert skipped.file
    [line] = map(json.loads, skipped.file.read_text(encoding="utf-8").splitlines())
    assert message.removeprefix("f:2: ") in line["reason"]


def test_all_rows_skipped_is_an_error_that_keeps_them(compose: Callable[..., Config], tmp_path: Path) -> None:
    config = given(compose, "skip", [BadRow("f:1", "no", None)] * 3)
    with pytest.raises(DataError, match=r"no rows in it; all 3 were skipped, see .*skipped\.jsonl"):
        read_rows(config.dataset, tmp_path, tmp_path / "skipped.jsonl")
    assert len((tmp_path / "skipped.jsonl").read_text().splitlines()) == 3
