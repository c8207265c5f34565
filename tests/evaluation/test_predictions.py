"""What questions are drawn with: the coarser of group and document."""

from dataclasses import replace
from pathlib import Path

import pytest

from medft.evaluation.predictions import list_groups, read_jsonl, write_jsonl
from tests.comparison.helpers import row


@pytest.mark.parametrize(
    ("groups", "documents", "expected"),
    [
        ("aabb", "wxyz", "aabb"),  # a subject has several documents, as in MedQuAD
        ("abcd", "wwxx", "aacc"),  # a document has several groups
        ("abbc", "wwxx", "aaaa"),  # a chain of both
        ("aabb", "aabb", "aabb"),
        ("ab", "ba", "ab"),  # names of groups are not those of documents
    ],
)
def test_rows_that_share_a_group_or_a_document_are_one(groups: str, documents: str, expected: str) -> None:
    rows = [
        row(place, document, group=group) for place, (group, document) in enumerate(zip(groups, documents, strict=True))
    ]
    found = list_groups(rows)
    same = [[one == other for other in found] for one in found]
    assert same == [[one == other for other in expected] for one in expected]


def test_words_of_an_earlier_version_are_counted_as_today(tmp_path: Path) -> None:
    rows = [row(0, "d", expected="A follow-up, 5.2 mg.", generated_answer="痛风是病。"), row(1, "d")]
    file = tmp_path / "predictions.jsonl"
    write_jsonl([replace(each, test=replace(each.test, words=1, expected_words=99)) for each in rows], file)
    first, second = read_jsonl(file)
    assert (first.test.expected_words, first.test.words) == (6, 4)
    assert second.baseline is None or second.baseline.expected_words == second.test.expected_words
