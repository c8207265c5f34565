"""Who trains and who tests does not depend on anything but the data and dataset.split."""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from medft.config.compose import compose_config
from medft.config.schema import Config, DatasetConfig
from medft.data.example import Example
from medft.data.readers.base import make_example
from medft.data.readers.sample import Sample
from medft.data.rows import Rows, store_rows
from medft.data.splits import Splits, split
from medft.errors import InputError
from medft.runs.splits import read_splits

BASE = compose_config().dataset
SHARES = {"seed": 20, "validation": 0.05, "test": 0.1, "train_on_all": False, "from_run": None}
COUNTS = {"test": 20, "validation": 10}


def config(size: int | None = None, dedup: str = "none", **changes: object) -> DatasetConfig:
    split_config = BASE.split.model_copy(update=SHARES | changes)
    return BASE.model_copy(update={"split": split_config, "size": size, "dedup": dedup})


def kept(examples: Iterable[Example]) -> Rows:
    return store_rows(examples, Path.cwd() / "rows")  # every test has a working directory of its own


def rows(count: int = 400, groups: int = 60) -> Rows:
    return kept(make_example(f"q{n}", f"a{n}", group=f"g{n % groups}") for n in range(count))


def groups(examples: Sequence[Example]) -> set[str]:
    return {row.group for row in examples}


def ids(examples: Sequence[Example]) -> list[str]:
    return [row.id for row in examples]


@pytest.mark.parametrize("size", [40, 100, 399, None])
@pytest.mark.parametrize(("test", "validation"), [(0.1, 0.05), (20, 10), (0.2, 10), (20, 0.1)])
def test_no_group_is_on_two_sides(size: int | None, test: float, validation: float) -> None:
    splits = split(rows(), config(size, test=test, validation=validation))
    for one, other in itertools.combinations(splits.parts().values(), 2):
        assert not groups(one) & groups(other)
    assert min(map(len, splits.parts().values())) > 0
    assert splits.size_used == sum(map(len, splits.parts().values()))
    assert splits.size_used + splits.left_over == (size or 400)
    if size is None and isinstance(test, float) and isinstance(validation, float):
        assert splits.left_over == 0


def test_size_moves_no_row_and_is_a_prefix() -> None:
    whole = split(rows(), config(**COUNTS))
    for size in (40, 100, 250):
        part = split(rows(), config(size, **COUNTS))
        assert part.size_used == size
        assert part.test == whole.test
        assert part.validation == whole.validation
        assert part.train == whole.train[: len(part.train)]


def test_a_train_seed_draws_other_training_rows_and_moves_nothing_else() -> None:
    def drawn(seed: int | None, size: int | None = 100) -> Splits:
        return split(rows(), config(size, **COUNTS).model_copy(update={"train_seed": seed}))

    plain, one, again, two = drawn(None), drawn(1), drawn(1), drawn(2)
    assert one.train == again.train
    assert len({tuple(ids(each.train)) for each in (plain, one, two)}) == 3
    assert len(set(ids(one.train)) & set(ids(two.train))) < len(one.train)
    for each in (one, two):
        assert (each.test, each.validation, len(each.train)) == (plain.test, plain.validation, len(plain.train))
        assert not groups(each.train) & (groups(each.test) | groups(each.validation))
    assert (plain.pool, one.pool) == ("", two.pool), "of one pool"
    assert one.pool != drawn(1, 90).pool, "another number of rows is another setting"
    assert one.fingerprint != two.fingerprint
    for size in (60, 80):
        assert drawn(1, size).train == one.train[: len(drawn(1, size).train)]
    whole = drawn(1, None)
    assert set(ids(whole.train)) == set(ids(drawn(None, None).train)) and whole.train_left == 0 < one.train_left


def test_what_a_train_seed_draws_has_no_duplicates_of_the_test() -> None:
    doubled = kept(make_example(f"q{n % 200}", f"a{n % 200}", id=f"id{n}", group=f"g{n % 61}") for n in range(400))
    for seed in (1, 2, 3):
        settings = config(200, "exact", **COUNTS).model_copy(update={"train_seed": seed})
        splits = split(doubled, settings)
        held_out = {row.instruction for part in (splits.test, splits.validation) for row in part}
        assert not held_out & {row.instruction for row in splits.train}


def test_a_train_seed_and_rows_of_a_run_are_not_both_given(compose: Callable[..., Config]) -> None:
    with pytest.raises(InputError, match="dataset.train_seed draws rows, and dataset.split.from_run takes those of"):
        compose("dataset.train_seed=1", "dataset.split.from_run=abc")


def test_shares_grow_with_size_and_keep_their_sides() -> None:
    small, large = (split(rows(), config(size)) for size in (100, 300))
    assert (len(small.test), len(large.test)) == (10, 30)
    assert large.test[:10] == small.test


def test_a_new_document_moves_no_other() -> None:
    before = split(rows(), config())
    after = split(kept([*rows(), make_example("new", "new", group="new")]), config())
    assert groups(before.test) <= groups(after.test) | {"new"}
    assert not groups(before.test) & groups(after.train)


def test_another_split_seed_is_another_split() -> None:
    assert groups(split(rows(), config()).test) != groups(split(rows(), config(seed=1)).test)


def test_the_split_is_the_same_on_every_machine() -> None:
    # written down once: a change here makes older runs incomparable
    splits = split(kept(Sample().read()), config(test=21, validation=14))
    assert groups(splits.test) == {"Gastroesophageal Reflux Disease", "Shingles", "Type 2 Diabetes"}
    assert groups(splits.validation) == {"COPD", "Kidney Stones"}
    assert ids(splits.test)[:2] == ["shingles-outlook", "gastroesophageal-reflux-disease-causes"]
    assert ids(splits.train)[:2] == ["influenza-outlook", "high-blood-pressure-outlook"]


def test_train_on_all_leaks_and_says_so() -> None:
    splits = split(rows(), config(100, **COUNTS, train_on_all=True))
    assert splits.leaking
    assert len(splits.train) == 100
    assert set(ids(splits.test)) <= set(ids(splits.train))


@pytest.mark.parametrize(
    ("changes", "size", "message"),
    [
        (COUNTS, 30, "dataset.size=30 leaves no training rows"),
        (COUNTS, 401, "dataset.size=401: dataset=.* has 400 rows, all of which dataset.size=null takes"),
        ({"test": 390, "validation": 10}, None, "leave none to train on"),
    ],
)
def test_splits_that_cannot_be_are_refused(changes: dict[str, object], size: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(rows(), config(size, **changes))


def test_fewer_than_three_groups_are_refused() -> None:
    with pytest.raises(InputError, match="2 group"):
        split(rows(groups=2), config())


def with_copies() -> Rows:
    """60 groups; each fifth row has a copy in another group."""
    plain = list(rows())
    copies = [
        make_example(row.instruction.upper(), row.output, group=f"g{n % 59}x") for n, row in enumerate(plain[::5])
    ]
    return kept([*plain, *copies])


@pytest.mark.parametrize("sizes", [COUNTS, {"test": 0.1, "validation": 0.05}, {"test": 15, "validation": 0.1}])
def test_dedup_takes_nothing_from_test_and_leaves_no_copy_in_training(sizes: dict[str, object]) -> None:
    plain = split(with_copies(), config(None, **sizes))
    assert plain.duplicates == 0
    for dedup in ("exact", "near"):
        splits = split(with_copies(), config(None, dedup, **sizes))
        assert ids(splits.test) == ids(plain.test)
        texts = {(row.instruction.lower(), row.output) for row in [*splits.test, *splits.validation]}
        trained = [(row.instruction.lower(), row.output) for row in splits.train]
        assert not texts & set(trained)
        assert len(set(trained)) == len(trained)
        assert splits.duplicates > 0
        assert splits.size_used + splits.duplicates + splits.left_over >= splits.available - len(plain.test)


@pytest.mark.parametrize(("validation", "missing"), [(10, "train"), (1, "validation")])
def test_dedup_that_leaves_nothing_says_so(validation: int, missing: str) -> None:
    same = kept(make_example("q", "a", group=f"g{n}") for n in range(40))
    first = split(same, config(test=10, validation=validation))
    assert len(first.train)
    rows = same
    if missing == "validation":
        texts = {row.id: f"q {n}" for n, row in enumerate(first.train)}
        rows = kept(make_example(texts.get(row.id, "q"), "a", group=row.group, id=row.id) for row in same)
    with pytest.raises(InputError, match=f"dataset.dedup=exact leaves no {missing} rows"):
        split(rows, config(None, "exact", test=10, validation=validation))


SOURCES = {
    "sample": ["dataset=sample"],
    "alpaca": ["dataset=alpaca", "dataset.path=data.jsonl", "dataset.reader.columns.group=group"],
    "alpaca gz": ["dataset=alpaca", 'dataset.path=["data.csv.gz"]', "dataset.on_bad_row=skip"],
}
ELSEWHERE = [
    "seed=7", "dataset.size=90", "dataset.size=120", "dataset.max_length=64", "dataset.long_answers=split",
    "dataset.long_answers=error", "dataset.long_answers=drop", "dataset.batch_size=2", "dataset.collate=pad",
    "dataset.loss_on=all", "dataset.dedup=exact", "dataset.dedup=near", "trainer.max_epochs=5", "optimizer=sgd",
    "optimizer.lr=0.1", "finetune=full", "scheduler=constant", "dataset.split.train_on_all=true", "audit.max_rows=10",
]  # fmt: skip


GRID = [
    pytest.param(source, dedup, marks=[] if (source, dedup) == ("alpaca gz", "exact") else pytest.mark.slow)
    for source in SOURCES for dedup in ("none", "exact", "near")
]  # fmt: skip


@pytest.mark.parametrize(("source", "dedup"), GRID)
def test_no_setting_moves_a_row_to_or_from_the_test_side(
    compose: Callable[..., Config], source: str, dedup: str
) -> None:
    import gzip

    lines = [{"instruction": row.instruction, "output": row.output, "group": row.group} for row in with_copies()]
    Path("data.jsonl").write_text("\n".join(map(json.dumps, lines)))
    table = "\n".join(f"{row['instruction']},{row['output']}" for row in lines)
    Path("data.csv.gz").write_bytes(gzip.compress(f"instruction,output\n{table}\n,no question\n".encode()))
    fixed = [*SOURCES[source], f"dataset.dedup={dedup}",
             "dataset.split.test=20", "dataset.split.validation=10"]  # fmt: skip
    expected = read_splits(compose(*fixed))
    test = set(ids(expected.test))
    for change in ELSEWHERE:
        splits = read_splits(compose(*fixed, change))
        assert ids(splits.test) == ids(expected.test), change
        if "train_on_all" not in change:
            assert not test & {*ids(splits.train), *ids(splits.validation)}, change


def test_a_frozen_split_is_taken_whole_and_only_training_follows_size() -> None:
    whole = split(rows(), config(**COUNTS))
    frozen = {name: ids(part)[::-1] for name, part in whole.parts().items()}
    splits = split(rows(), config(seed=3, from_run="abc", test=5), frozen)
    assert {name: ids(part) for name, part in splits.parts().items()} == frozen
    small = split(rows(), config(100, from_run="abc"), frozen)
    assert ids(small.train) == frozen["train"][:70]
    assert (ids(small.test), ids(small.validation)) == (frozen["test"], frozen["validation"])
    with pytest.raises(InputError, match=r"from_run=abc: 1 of its \d+ rows are not in this data \(the first: 'gone'\)"):
        split(rows(), config(from_run="abc"), {**frozen, "train": [*frozen["train"], "gone"]})


def test_a_frozen_split_of_a_leaking_run_does_not_leak_by_itself() -> None:
    leaking = split(rows(), config(**COUNTS, train_on_all=True))
    frozen = {name: ids(part) for name, part in leaking.parts().items()}
    splits = split(rows(), config(from_run="abc"), frozen)
    assert not set(ids(splits.train)) & set(ids(splits.test))
    again = split(rows(), config(from_run="abc", train_on_all=True), frozen)
    assert set(ids(again.test)) <= set(ids(again.train))


def test_split_json_holds_the_ids(tmp_path: Path) -> None:
    splits: Splits = split(kept([*rows(), make_example('ä"\n', "b", id='x"\n', group="zz")]), config(**COUNTS))
    splits.write_ids(tmp_path / "split.json")
    written = json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))
    assert written == {name: ids(part) for name, part in splits.parts().items()}
