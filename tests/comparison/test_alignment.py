"""Only the same questions are compared."""

import pytest

from medft.comparison.alignment import align_questions
from medft.errors import InputError
from tests.comparison.helpers import row, run


def test_other_questions_are_refused_unless_asked_for() -> None:
    one = run([row(0, "a"), row(1, "a"), row(2, "b")])
    two = run([row(2, "b"), row(1, "a", expected="another answer"), row(0, "a")])
    with pytest.raises(InputError, match="different questions: 2 are shared, each run has 3; questions=shared"):
        align_questions([one, two], shared_only=False)
    found, note = align_questions([one, two], shared_only=True)
    assert [[each.id for each in facts.predictions] for facts in found] == [["id0", "id2"]] * 2
    assert note == "only the 2 questions that all runs share are compared (of 3 each)"
    with pytest.raises(InputError, match="share no test question"):
        align_questions([one, run([row(5, "a")])], shared_only=True)


def test_another_order_is_put_right_and_a_question_may_come_twice() -> None:
    rows = [row(0, "a", 1.0), row(0, "a", 2.0), row(1, "b", 3.0)]
    found, note = align_questions([run(rows), run([rows[2], rows[0], rows[1]])], shared_only=False)
    assert note == ""
    for facts in found:
        assert [each.metrics["test"]["nats"] for each in facts.predictions] == [1, 2, 3]


def test_documents_are_those_of_the_first_run() -> None:
    found, _ = align_questions([run([row(0, "a")]), run([row(0, "group")])], shared_only=False)
    assert [facts.predictions[0].document for facts in found] == ["a", "a"]
