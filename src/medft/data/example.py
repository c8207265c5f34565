"""A question with its answer, as readers yield it, and what they yield for a row that cannot be used."""

import hashlib
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Example:
    """A row in Alpaca form."""

    id: str  # stable name of the row, unique in its data set; the source's own, else a hash of the content
    group: str  # rows of one group (a document, a disease) are never on two sides of a split
    instruction: str  # the question
    input: str  # further context for the question, often empty
    output: str  # the expected answer
    document: str = ""  # the document that has the answer, by the source; else the group
    where: str = field(default="", compare=False)  # file and line, for messages
    meta: dict[str, str] = field(default_factory=dict, compare=False)  # source, url, question type and the like

    def fingerprint(self) -> str:
        """SHA-256 (32 hex digits) over the id and the three texts."""
        return hash_fields(self.id, self.instruction, self.input, self.output)[:32]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: an error under `dataset.on_bad_row=error`, else skipped and written to a file."""

    where: str  # file and line
    reason: str  # what is wrong with it
    row: Any = None  # its content, as far as it could be read


def hash_fields(*texts: str) -> str:
    """SHA-256 (hex) over the texts of a row."""
    # surrogatepass: text that is not valid Unicode gets an id too, and is refused later with its file and line
    return hashlib.sha256("\x1f".join(texts).encode(errors="surrogatepass")).hexdigest()
