"""Only the same questions are compared, and runs that differ in nothing but their seed are one variant."""

import pytest

from medft.comparison.variants import BASELINE, Variant, align_questions, find_variant, make_variants
from medft.errors import InputError
from medft.runs.record import RunRecord
from tests.comparison.helpers import row, run, runs_of


def test_other_questions_are_refused_unless_asked_for() -> None:
    one = run([row(0, "a"), row(1, "a"), row(2, "b")])
    two = run([row(2, "b"), row(1, "a", expected="another answer"), row(0, "a")])
    with pytest.raises(InputError, match="different questions: 2 are shared, each run has 3; questions=shared"):
        align_questions([one, two], shared_only=False)
    aligned, note = align_questions([one, two], shared_only=True)
    assert [[each.id for each in record.predictions] for record in aligned] == [["id0", "id2"]] * 2
    assert note == "only the 2 questions that all runs share are compared (of 3 each)"
    with pytest.raises(InputError, match="share no test question"):
        align_questions([one, run([row(5, "a")])], shared_only=True)


def test_another_order_is_put_right_and_a_question_may_come_twice() -> None:
    rows = [row(0, "a", 1.0), row(0, "a", 2.0), row(1, "b", 3.0)]
    aligned, note = align_questions([run(rows), run([rows[2], rows[0], rows[1]])], shared_only=False)
    assert note == ""
    for record in aligned:
        assert [each.test.nats for each in record.predictions] == [1, 2, 3]


ROWS = [row(0, "a"), row(1, "b")]


def test_seeds_are_one_entry_or_apart() -> None:
    runs = runs_of(64, [[1, 1], [2, 2]], "ab") + runs_of(128, [[1, 1], [2, 2]], "ab")
    variants, notes = make_variants(runs)
    assert [(each.name, len(each.runs)) for each in variants] == [("max_length=64", 2), ("max_length=128", 2)]
    assert notes == []
    apart, _ = make_variants(runs, seeds_apart=True)
    assert [each.name for each in apart] == [
        f"max_length={length}, seed={seed}" for length in (64, 128) for seed in (1, 2)
    ]


def test_another_commit_of_the_hub_is_another_variant() -> None:
    commits = ("a" * 40, "a" * 40, "b" * 40)
    runs = [run(ROWS, seed=seed, tags={"model.commit": commit}) for seed, commit in enumerate(commits)]
    variants, _ = make_variants(runs)
    assert [(each.values["model.commit"], len(each.runs)) for each in variants] == [("a" * 12, 2), ("b" * 12, 1)]


def test_a_train_seed_is_a_repetition() -> None:
    def drawn(length: int, seed: int, train_seed: int) -> RunRecord:
        params = {"dataset.max_length": str(length), "dataset.train_seed": str(train_seed)}
        tags = {"dataset.fingerprint": f"rows of {train_seed}", "dataset.pool": "p"}
        return run([row(0, "a"), row(1, "b")], seed=seed, params=params, tags=tags)

    runs = [drawn(length, seed, seed) for length in (64, 128) for seed in (1, 2, 3)]
    variants, notes = make_variants(runs)
    assert [(each.name, [one.seed for one in each.runs]) for each in variants] == [
        ("max_length=64", ["1", "2", "3"]), ("max_length=128", ["1", "2", "3"]),
    ]  # fmt: skip
    assert notes == []
    [variant], _ = make_variants([drawn(64, 1, number) for number in (1, 2)])
    assert [one.seed for one in variant.runs] == ["1", "1, dataset.train_seed=2"]
    assert len(make_variants(runs, seeds_apart=True)[0]) == 6


def test_the_same_run_again_is_no_further_seed() -> None:
    older, newer, other = run(ROWS), run(ROWS), run(ROWS, seed=2)
    variants, notes = make_variants([newer, other, older])
    assert [variant.runs for variant in variants] == [(newer, other)]
    assert notes[0].startswith(f"run {older.run_id} repeats run {newer.run_id}")


def test_names_that_collide_get_the_run() -> None:
    one, two = run(ROWS, name="same"), run(ROWS, name="same")
    variants, _ = make_variants([one, two], seeds_apart=True)
    assert [each.name for each in variants] == [f"same ({one.run_id[:8]})", f"same ({two.run_id[:8]})"]


def test_a_run_may_be_called_as_the_model_before_fine_tuning() -> None:
    one = run(ROWS, name=BASELINE)
    assert [each.name for each in make_variants([one])[0]] == [f"{BASELINE} ({one.run_id[:8]})"]


def test_a_reference_is_found_by_name_parts_or_run() -> None:
    runs = [
        run(ROWS, params={"dataset.max_length": length, "dataset.long_answers": policy})
        for length in ("64", "128") for policy in ("truncate", "split")
    ]  # fmt: skip
    variants, _ = make_variants(runs, swept=["dataset.max_length", "dataset.long_answers"])
    last = variants[-1]
    assert last.name == "max_length=128, long_answers=split"
    for wanted in (last.name, "long_answers=split, max_length=128", runs[-1].run_id[:8]):
        assert find_variant(variants, wanted) is last
    assert find_variant(variants, "") is variants[0]
    rates = [Variant(f"finetune=lora, lr={rate}", (), {}) for rate in ("5e-05", "0.0005")]
    assert find_variant(rates, "finetune=lora, lr=5e-4") is rates[1]
    with pytest.raises(InputError, match="several variants are called so; there are: max_length=64, long"):
        find_variant(variants, "long_answers=split")
    with pytest.raises(InputError, match="reference=x: no variant is called so"):
        find_variant(variants, "x")
