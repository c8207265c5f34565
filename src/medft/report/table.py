"""A table that is ready to show: in the terminal, as Markdown, or in a page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medft import console


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        meaning: what the figures are, in a sentence; may be empty.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    meaning: str = ""

    def print(self) -> None:
        """Print it in the terminal."""
        console.print_table(self.title, self.columns, self.rows)

    def to_markdown(self) -> str:
        """As Markdown, without its title."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)


def to_bullets(lines: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {line}" for line in lines)


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
