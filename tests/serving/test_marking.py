"""Blind marks: dealt in random order, logged to the run at once, shown in its report."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medft.cli.main import main
from medft.errors import InputError
from medft.evaluation.judging.human import MARKS, read_marks
from medft.evaluation.predictions import read_jsonl
from medft.runs.local_run import LocalRun
from medft.runs.record import read_record
from medft.serving import marking
from medft.serving.marking import MarkBook
from tests.evaluation.judges.fake_ollama import scored, server
from tests.finished import THIRTY, Finished


@pytest.fixture
def made(finished: Callable[..., Finished], tmp_path: Path) -> Finished:
    return finished(*THIRTY).copied_to(tmp_path)


def open_book(made: Finished) -> MarkBook:
    run = LocalRun(made.config.paths.output)
    return MarkBook(run, made.config, read_jsonl(run.folder / "predictions.jsonl"))


def count_pairs(made: Finished) -> int:
    """Of a small model some answers are the same before and after."""
    rows = read_jsonl(made.config.paths.output / "predictions.jsonl")
    return sum(row.test.answer != row.scores("baseline").answer for row in rows)


def test_equal_answers_are_not_dealt(made: Finished) -> None:
    run = LocalRun(made.config.paths.output)
    rows = read_jsonl(run.folder / "predictions.jsonl")
    for row in rows[1:]:
        assert row.baseline is not None
        row.baseline = replace(row.baseline, answer=f"{row.test.answer}\n")
    assert rows[0].baseline is not None
    rows[0].baseline = replace(rows[0].baseline, answer=f"{rows[0].test.answer}!")
    book = MarkBook(run, made.config, rows)
    pair = book.deal("Ana")
    assert pair is not None and (pair.row.id, book.count("Ana")) == (rows[0].id, (0, 1))
    book.mark(pair.token, "Ana", "left")
    assert book.deal("Ana") is None
    book.close()
    with pytest.raises(InputError, match="all answers are the same before and after fine-tuning"):
        MarkBook(run, made.config, rows[1:])


def test_ten_blind_marks_go_to_the_run_its_report_and_mlflow(made: Finished) -> None:
    book, folder = open_book(made), made.config.paths.output
    given = Counter[str]()
    for place in range(10):
        pair = book.deal(" Ana ")
        assert pair is not None
        after = "left" if pair.left == "after" else "right"
        assert pair.texts[after == "right"] == pair.row.test.answer
        wanted = ["better", "worse", "equal"][place % 3]
        before = "right" if after == "left" else "left"
        book.mark(pair.token, "Ana", {"better": after, "worse": before, "equal": "equal"}[wanted])
        given[wanted] += 1
        marks = read_marks(LocalRun(folder).artifact(MARKS))  # at once, and as the journal knows it
        assert (len(marks), marks[-1].id, marks[-1].choice, marks[-1].who) == (place + 1, pair.row.id, wanted, "Ana")
        assert marks[-1].at.endswith("+00:00")
    assert book.count("Ana") == (10, count_pairs(made))
    assert {dealt.left for _ in range(60) if (dealt := book.deal("Ana"))} == {"before", "after"}
    logged = LocalRun(folder).state.metrics
    assert {choice: logged[f"human/{choice}"] for choice in given} == {key: count / 10 for key, count in given.items()}
    book.close()
    assert made.run.data.metrics["human/better"] == 0.4
    assert made.run.data.metrics["human/marks"] == 10
    assert "human/better_ci_low" in made.run.data.metrics
    assert len(read_marks(made.artifacts / MARKS)) == 10
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert report == (made.artifacts / "report.html").read_text(encoding="utf-8")
    assert "10 marks of 10 questions, by Ana (10); both answers were shown in random order" in report


def test_a_pair_is_dealt_until_it_is_marked_and_a_second_mark_replaces_the_first(made: Finished) -> None:
    book = open_book(made)
    first = book.deal("Ana")
    assert first is not None
    for better in ("left", "right", "left"):
        book.mark(first.token, "Ana", better)
    book.mark(first.token, "Bo", "equal")
    marks = read_marks(made.config.paths.output / MARKS)
    assert [(mark.who, mark.choice) for mark in marks] == [
        ("Ana", "better" if first.left == "after" else "worse"), ("Bo", "equal")
    ]  # fmt: skip
    seen = {first.row.id}
    while pair := book.deal("Ana"):
        assert pair.row.id not in seen
        seen.add(pair.row.id)
        book.mark(pair.token, "Ana", "equal")
    assert len(seen) == count_pairs(made)
    assert book.deal("Cy") is not None
    book.close()
    again = open_book(made)  # the server, started again
    assert again.deal("Ana") is None
    with pytest.raises(InputError, match="this pair is no longer known"):
        again.mark(first.token, "Ana", "left")
    again.close()


def test_people_mark_at_the_same_time_and_nothing_is_lost(made: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "_QUIET", 0.01)  # the report is written again and again meanwhile
    monkeypatch.setattr(marking, "deliver_more", lambda *_: None)
    book = open_book(made)

    def work(who: str) -> None:
        for _ in range(5):
            pair = book.deal(who)
            assert pair is not None
            book.mark(pair.token, who, "left")

    people = [threading.Thread(target=work, args=(name,)) for name in ("Ana", "Bo", "黄")]
    for each in people:
        each.start()
    for each in people:
        each.join()
    book.close()
    run = LocalRun(made.config.paths.output)
    assert Counter(mark.who for mark in read_marks(run.artifact(MARKS))) == {"Ana": 5, "Bo": 5, "黄": 5}
    assert run.state.metrics["human/marks"] == 15
    assert "15 marks of" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_a_judge_that_comes_later_is_compared_with_the_people(made: Finished, tmp_path: Path) -> None:
    book = open_book(made)
    pair = book.deal("Ana")
    assert pair is not None
    book.mark(pair.token, "Ana", "left" if pair.left == "after" else "right")
    book.close()
    answers = (pair.row.test.answer, pair.row.scores("baseline").answer)
    with server(lambda _, request: scored(80 if answers[0] in request["messages"][0]["content"] else 20)) as served:
        judged = ["judge", f"run={made.run_id}", "judge=ollama", "judge.model=m", f"judge.host={served.host}"]
        assert main([*judged, "judge.controls=0"]) == 0
    assert made.run.data.metrics["human/agreement_ollama"] == 1.0
    assert made.run.data.metrics["human/agreement_ollama_pairs"] == 1
    record = read_record(LocalRun(made.config.paths.output))
    assert record.human is not None
    assert [each.judge for each in record.human.agreement] == ["ollama"]


def test_a_run_without_answers_from_before_has_no_pairs(made: Finished) -> None:
    rows = read_jsonl(made.config.paths.output / "predictions.jsonl")
    for row in rows:
        row.baseline = None
    with pytest.raises(InputError, match="no answers from before fine-tuning"):
        MarkBook(LocalRun(made.config.paths.output), made.config, rows)


def test_marks_of_a_run_that_was_made_elsewhere_are_kept(made: Finished, tmp_path: Path) -> None:
    from medft.runs.remote_run import RemoteRun, adopt

    book = open_book(made)
    pair = book.deal("Ana")
    assert pair is not None
    book.mark(pair.token, "Ana", "left")
    book.close()
    adopted = adopt(RemoteRun(made.client, made.run), made.config, tmp_path)
    assert [mark.who for mark in read_record(adopted).marks] == ["Ana"]
