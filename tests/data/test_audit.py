"""The audit finds every planted leak, counts what is cut, and finds nothing where nothing is."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from medft.config.schema import Config
from medft.data.audit import Audit, audit
from medft.data.example import Example
from medft.data.module import MedicalQA
from medft.data.tokenizer import Gpt2Tokenizer
from medft.errors import InputError
from medft.report.audit_table import print_audit, print_lengths, warn_of_leaks
from medft.runs.splits import read_splits
from tests.data.test_duplicates import changed, text

COLUMNS = ["dataset=alpaca", "dataset.path=data.jsonl", "dataset.reader.columns.id=id",
           "dataset.reader.columns.group=group", "dataset.reader.columns.document=document",
           "dataset.split.test=0.3", "dataset.split.validation=0.1"]  # fmt: skip


def audited(config: Config) -> tuple[Audit, MedicalQA]:
    data = MedicalQA(config, read_splits(config), Gpt2Tokenizer())
    return audit(config, data), data


def line(example: Example | None = None, **changes: str) -> dict[str, str]:
    names = ("id", "group", "document", "instruction", "output")
    return {name: getattr(example, name) for name in names if example} | changes


def write(lines: list[dict[str, str]]) -> None:
    Path("data.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")


def plain(count: int = 400) -> list[dict[str, str]]:
    words = [text(number, 60) for number in range(count)]
    return [
        {"id": f"r{n}", "group": f"g{n % 100}", "document": f"d{n % 100}", "instruction": " ".join(each[:8]),
         "output": " ".join(each[8:])}
        for n, each in enumerate(words)
    ]  # fmt: skip


def planted(compose: Callable[..., Config]) -> None:
    """Plain rows, and beside them in groups of the test side: copies, near copies, and rows of training documents."""
    write(plain())
    splits = read_splits(compose(*COLUMNS))
    train = [line(each) for each in splits.train]
    groups = [row.group for row in splits.test]
    copies = [row | {"id": f"exact{n}", "group": groups[n], "document": groups[n],
                     "output": row["output"].upper()} for n, row in enumerate(train[:20])]  # fmt: skip
    near = [row | {"id": f"near{n}", "group": groups[n], "document": groups[n],
                   "output": " ".join(changed(row["output"].split(), 2))}
            for n, row in enumerate(train[20:40])]  # fmt: skip
    documents = sorted({row["document"] for row in train})[:5]
    shared = [line(id=f"doc{n}", group=groups[n], document=name, instruction=f"What is {name}?",
                   output=" ".join(text(5000 + n))) for n, name in enumerate(documents)]  # fmt: skip
    write([*plain(), *copies, *near, *shared])


def test_planted_leaks_are_all_found(compose: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    planted(compose)
    report, _ = audited(compose(*COLUMNS))
    leak = report.shared["train-test"]
    assert (leak.exact, leak.near, leak.documents, leak.groups) == (20, 20, 5, 0)
    assert not report.shared["train-validation"]
    pairs = {kind: {each["second"] for each in leak.examples if each["kind"] == kind} for kind in ("exact", "near")}
    assert pairs == {"exact": {f"exact{n}" for n in range(20)}, "near": {f"near{n}" for n in range(20)}}
    named = [each["name"] for each in leak.examples if each["kind"] == "document"]
    assert len(named) == 5
    print_audit(report)
    warn_of_leaks(report, "warn", "none")
    told = (
        "train-test: 20 exact and 20 near duplicates, 0 further questions, 0 equal and 0 near answers to other "
        "questions, 0 groups and 5 documents on both sides"
    )
    assert f"{told} (dataset.dedup=near takes duplicates away)" in capsys.readouterr().err
    warn_of_leaks(report, "warn", "near")
    assert "takes duplicates away" not in capsys.readouterr().err
    with pytest.raises(InputError, match=f"dataset.on_leak=error: {told}"):
        warn_of_leaks(report, "error", "none")


def test_a_question_alone_and_an_answer_alone_are_seen(
    compose: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    write(plain())
    splits = read_splits(compose(*COLUMNS))
    train, groups = [line(each) for each in splits.train], sorted({row.group for row in splits.test})
    place = [{"group": groups[n], "document": groups[n]} for n in range(3)]
    other = " ".join(text(7000, 50))
    questions = [train[n] | place[0] | {"id": f"question{n}", "output": f"{n} {other}"} for n in range(6)]
    named = [f"What is {' '.join(text(8000 + n, 8))}?" for n in range(9)]
    answers = [train[20 + n] | place[1] | {"id": f"answer{n}", "instruction": named[n]} for n in range(5)]
    near = [train[30 + n] | place[2] | {"id": f"near{n}", "instruction": named[5 + n],
                                        "output": " ".join(changed(train[30 + n]["output"].split(), 2))}
            for n in range(4)]  # fmt: skip
    short = [line(id=f"yes{n}", **{**place[0], "instruction": f"{named[0]} {n}", "output": "Yes."}) for n in range(3)]
    also = [line(id="yes", group="g-train", document="g-train", instruction="Is it?", output="Yes.")]
    write([*plain(), *questions, *answers, *near, *short, *also])
    report, _ = audited(compose(*COLUMNS))
    leak = report.shared["train-test"]
    assert (leak.exact, leak.near) == (0, 0)
    assert (leak.questions, leak.answers, leak.near_answers) == (6, 5, 4)
    found = {kind: {each["second"] for each in leak.examples if each["kind"] == kind}
             for kind in ("question", "answer", "near answer")}  # fmt: skip
    assert found == {
        "question": {row["id"] for row in questions}, "answer": {row["id"] for row in answers},
        "near answer": {row["id"] for row in near},
    }  # fmt: skip
    print_audit(report)
    shown = capsys.readouterr().out
    assert "alone" in shown and "no row says to which group" not in shown


def test_forms_of_one_character_are_one(compose: Callable[..., Config]) -> None:
    rows = [row | {"output": f"{row['output']} très fatigué"} for row in plain()]
    write(rows)
    splits = read_splits(compose(*COLUMNS))
    train, group = [line(each) for each in splits.train], splits.test[0].group
    copies = [row | {"id": f"nfd{n}", "group": group, "document": group,
                     "output": unicodedata.normalize("NFD", row["output"])}
              for n, row in enumerate(train[:5])]  # fmt: skip
    write([*rows, *copies])
    assert audited(compose(*COLUMNS))[0].shared["train-test"].exact == 5


def test_it_is_said_where_no_row_has_a_group(
    compose: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    write(plain())
    report, _ = audited(compose(*[each for each in COLUMNS if "columns.group" not in each]))
    print_audit(report)
    assert (
        "no row says to which group it belongs: questions are kept apart by their text alone" in capsys.readouterr().out
    )


@pytest.mark.parametrize("dedup", ["exact", "near"])
def test_dedup_takes_planted_duplicates_away(compose: Callable[..., Config], dedup: str) -> None:
    planted(compose)
    report, _ = audited(compose(*COLUMNS, f"dataset.dedup={dedup}"))
    leak = report.shared["train-test"]
    assert (leak.exact, leak.near, leak.documents) == (0, 0 if dedup == "near" else 20, 5)
    assert report.deduplicated == (40 if dedup == "near" else 20)


def test_copies_inside_a_split_are_counted(compose: Callable[..., Config]) -> None:
    copies = [row | {"id": f"{row['id']}x"} for row in plain()[:10]] + [plain()[0] | {"id": "y"}]
    near = [row | {"id": f"{row['id']}n", "output": row["output"] + " more"} for row in plain()[:4]]
    write([*plain(), *copies, *near])
    report, _ = audited(compose(*COLUMNS))
    assert sum(part.exact_duplicates for part in report.parts.values()) == 11
    assert sum(part.near_duplicates for part in report.parts.values()) == 4
    assert not report.describe_leaks()


def test_the_sample_data_leaks_nothing(compose: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    report, _ = audited(compose())
    assert report.describe_leaks() == []
    assert [part.exact_duplicates + part.near_duplicates for part in report.parts.values()] == [0, 0, 0]
    print_audit(report)
    assert "no row, question, answer, group or document is on two sides of the split" in capsys.readouterr().out


def test_training_on_all_is_a_leak(compose: Callable[..., Config]) -> None:
    report, _ = audited(compose("dataset.split.train_on_all=true"))
    leak = report.shared["train-test"]
    assert (leak.exact, leak.groups, leak.documents) == (21, 3, 3)


def test_a_sample_is_searched_above_max_rows_and_it_says_so(
    compose: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    planted(compose)
    report, _ = audited(compose(*COLUMNS, "audit.max_rows=100"))
    again, _ = audited(compose(*COLUMNS, "audit.max_rows=100"))
    assert report == again
    assert (report.near_searched, report.near_sampled) == (100, True)
    assert report.shared["train-test"].exact == 20  # always over all rows
    assert report.shared["train-test"].near < 20
    print_audit(report)
    assert "sought among 100 rows (audit.max_rows): there may be more" in capsys.readouterr().out
    assert not audited(compose(*COLUMNS))[0].near_sampled


@pytest.mark.parametrize("policy", ["truncate", "drop", "split"])
@pytest.mark.parametrize("collate", ["flatten", "pad"])
def test_what_is_counted_is_what_the_batches_hold(compose: Callable[..., Config], policy: str, collate: str) -> None:
    config = compose("dataset.max_length=160", f"dataset.long_answers={policy}", f"dataset.collate={collate}")
    report, data = audited(config)
    part = report.parts["train"]
    samples = list(data.samples["train"])
    assert part.cuts.samples == len(samples)
    assert part.cuts.tokens == sum(len(sample.input_ids) for sample in samples)
    assert part.cuts.supervised_tokens == sum(sample.supervised for sample in samples)
    if collate == "pad":
        loaders = {"train": data.train_dataloader(), "validation": data.val_dataloader()}
        for name, loader in loaders.items():
            batches = [batch for rows in loader for batch in data.collate(rows)]
            padded = sum(int((batch.inputs["attention_mask"] == 0).sum()) for batch in batches)
            share = report.parts[name].padding_share
            assert share == pytest.approx(padded / sum(batch.inputs["input_ids"].numel() for batch in batches))
            assert share > 0.01
    else:
        assert part.padding_share == 0


def test_lengths_tried_are_those_of_a_run_at_that_length(
    compose: Callable[..., Config], capsys: pytest.CaptureFixture[str]
) -> None:
    report, _ = audited(compose("audit.max_lengths=[96,64,512]"))
    assert list(report.lengths) == [64, 96, 512]
    for length, cuts in report.lengths.items():
        alone, _ = audited(compose(f"dataset.max_length={length}"))
        assert alone.at_max_length == cuts == alone.parts["train"].cuts
    assert report.lengths[64].answer_tokens_lost > report.lengths[512].answer_tokens_lost
    print_lengths(report)
    assert "64" in capsys.readouterr().out


def test_validation_and_test_do_not_follow_the_policy(compose: Callable[..., Config]) -> None:
    seen = []
    for policy in ("truncate", "drop", "split"):
        report, data = audited(compose("dataset.max_length=160", f"dataset.long_answers={policy}"))
        seen.append((list(data.samples["validation"]), report.parts["validation"], report.parts["test"]))
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize(("max_rows", "searched"), [(1, 1), (3, 3), (209, 209), (210, 210), (500, 210)])
def test_as_many_rows_are_searched_as_asked_for(compose: Callable[..., Config], max_rows: int, searched: int) -> None:
    report, _ = audited(compose("dataset.split.test=0.4", f"audit.max_rows={max_rows}"))
    assert (report.near_searched, report.near_sampled) == (searched, searched < 210)


def test_test_rows_are_counted_where_the_evaluation_cuts_them(compose: Callable[..., Config]) -> None:
    config = compose("evaluation.max_length=100", "dataset.collate=pad")
    for context, length in ((None, 100), (1024, 100), (90, 90)):
        data = MedicalQA(config, read_splits(config), Gpt2Tokenizer(), context)
        part = audit(config, data).parts["test"]
        room = [length - len(row.prompt) for row in (data.tokens["test"][n] for n in range(21))]
        lost = sum(max(0, len(data.tokens["test"][n].answer) - each) for n, each in enumerate(room))
        assert (part.max_length, part.cuts.answer_tokens_lost) == (length, lost)
    data.measured_length = 8
    assert audit(config, data).parts["test"].cuts.samples == 0


def test_validation_is_not_loaded_whole(compose: Callable[..., Config]) -> None:
    _, data = audited(compose())
    loader = data.val_dataloader()
    assert loader.dataset is data.samples["validation"]
    assert sum(len(samples) for samples in loader) == 14
