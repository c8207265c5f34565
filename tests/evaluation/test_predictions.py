"""What questions are drawn with: the coarser of group and document."""

import pytest

from medft.evaluation.predictions import list_groups
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
