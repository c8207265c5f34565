"""One question with its answer, as every reader delivers it."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Example:
    """A row in Alpaca form.

    Attributes:
        id: stable name of the row, unique in its data set; the source's own, else a hash of the content.
        group: rows of one group never end up on both sides of a split (a document, a disease).
        instruction: the question.
        input: further context for the question, often empty.
        output: the expected answer.
        meta: what else the source says (source, url, question type, document).
    """

    id: str
    group: str
    instruction: str
    input: str
    output: str
    meta: dict[str, str] = field(default_factory=dict, compare=False)


def content_id(instruction: str, input: str, output: str) -> str:
    """A stable id for a row whose source has none: 16 hex digits of a SHA-256 over its three texts."""
    return hashlib.sha256("\x1f".join((instruction, input, output)).encode()).hexdigest()[:16]
