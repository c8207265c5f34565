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
