"""Marked differences: the pieces are the texts, and what both have is not marked."""

from hypothesis import given
from hypothesis import strategies as st

from medft.report.html import mark_differences

TEXT = st.text(alphabet="ab A.\n", max_size=60)


@given(TEXT, TEXT)
def test_pieces_put_together_are_the_texts(left: str, right: str) -> None:
    marked = mark_differences(left, right)
    assert "".join(text for text, _ in marked[0]) == left
    assert "".join(text for text, _ in marked[1]) == right


@given(TEXT)
def test_equal_texts_have_no_marks(text: str) -> None:
    assert not any(only_here for side in mark_differences(text, text) for _, only_here in side)


def test_words_are_compared_without_case_and_signs() -> None:
    left, right = mark_differences("Gout is a disease, of joints.", "gout is  an old disease of feet")
    assert left == [("Gout is ", False), ("a ", True), ("disease, of ", False), ("joints.", True)]
    assert right == [("gout is  ", False), ("an old ", True), ("disease of ", False), ("feet", True)]
