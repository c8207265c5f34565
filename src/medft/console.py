"""The terminal: messages, progress bars that disappear when done, tables."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich import console as rich_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import track as rich_track
from rich.table import Table
from rich.text import Text
from typing_extensions import override

T = TypeVar("T")


class Console(rich_console.Console):
    """Rich's, which would end the program when nobody reads its output: `main` does that."""

    @override
    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the error


errors_console = Console(stderr=True)


def say(text: str) -> None:
    """Print a line for the user, as it is: markup in it is not interpreted."""
    print(text, flush=True)


def warn(text: str) -> None:
    """Print a warning, about something that the user may not have intended, to stderr."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Print a line to stderr that is not part of a command's output."""
    print(text, file=sys.stderr, flush=True)


def track(items: Iterable[T], description: str, total: float | None = None) -> Iterator[T]:
    """Yield the items and show a progress bar on stderr, if that is a terminal."""
    yield from rich_track(
        items, description, total=total, console=errors_console, transient=True, disable=not errors_console.is_terminal
    )


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar with a note, the count and the time left, on stderr, if that is a terminal.

    Gives the function that counts one more as done and changes the note.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[note]}"))  # fmt: skip
    with Progress(*columns, console=errors_console, transient=True, disable=not errors_console.is_terminal) as bar:
        task = bar.add_task(description, total=total, note="")
        yield lambda note: bar.update(task, advance=1, note=note)


def say_marked(plain: str, marked: str) -> None:
    """Print two texts as one, the second green in a terminal and between ⟦ and ⟧ elsewhere."""
    console = Console()
    if console.is_terminal:
        console.print(Text().append(plain, style="dim").append(marked, style="bold green"))
    else:
        say(f"{plain}⟦{marked}⟧")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], wrap: bool = False) -> None:
    """Print a table; the first column is left aligned, the others right, or all left where text wraps."""
    grid = Table(title=title, title_justify="left", show_lines=wrap)
    for number, name in enumerate(columns):
        grid.add_column(name, justify="left" if wrap or not number else "right", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    console = Console()
    (console if console.is_terminal else Console(width=110)).print(grid, markup=False)


def quieten() -> None:
    """Silence the messages of libraries; to be called before they are imported."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric|torch\.jit")


def quieten_loggers() -> None:
    """The same for loggers that libraries set to INFO while they are imported."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    for name in ("pytorch_lightning", "lightning_fabric", "alembic", "mlflow", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
