"""A question with its answer, as readers yield it, and what they yield for a row that cannot be used."""

import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """A row in Alpaca form.

    Attributes:
        id: stable name of the row, unique in its data set; the source's own, else a hash of the content.
        group: rows of one group (a document, a disease) are never on two sides of a split.
        instruction: the question.
        input: further context for the question, often empty.
        output: the expected answer.
        document: the document that has the answer, by the source; else the group.
        where: file and line, for messages.
        meta: further information of the source (source, url, question type).
    """

    id: str
    group: str
    instruction: str
    input: str
    output: str
    document: str = ""
    where: str = field(default="", compare=False)
    meta: dict[str, str] = field(default_factory=dict, compare=False)

    def fingerprint(self) -> str:
        """SHA-256 (32 hex digits) over the id and the three texts."""
        return _hash_texts(self.id, self.instruction, self.input, self.output)[:32]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: an error under `dataset.on_bad_row=error`, else skipped and written to a file.

    Attributes:
        where: file and line.
        reason: what is wrong with it.
        row: its content, as far as it could be read.
    """

    where: str
    reason: str
    row: Any = None


def make_content_id(instruction: str, input: str, output: str) -> str:
    """Make a stable id for a row whose source has none: 16 hex digits of a SHA-256 over its three texts."""
    return _hash_texts(instruction, input, output)[:16]


def _hash_texts(*texts: str) -> str:
    # surrogatepass: text that is not valid Unicode gets an id too, and is refused later with its file and line
    return hashlib.sha256("\x1f".join(texts).encode(errors="surrogatepass")).hexdigest()
