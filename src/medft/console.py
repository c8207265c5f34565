"""The terminal: messages, progress bars that disappear when done, tables; in a file lines stand for the bars."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager, nullcontext
from time import monotonic
from typing import TypeVar

from rich import console as rich_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.progress import track as rich_track
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from medft.secrets import hide

T = TypeVar("T")


class Console(rich_console.Console):
    """Rich's, which would end the program when nobody reads its output: `main` does that."""

    @override
    def on_broken_pipe(self) -> None:
        raise  # rich calls this while it handles the error


errors_console = Console(stderr=True)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and line ends
_EVERY = 30.0  # seconds between two lines of a long stage


def clean(text: str) -> str:
    """A text without secrets, and with `\\x1b` in place of an escape: data and models may not steer a terminal."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", hide(text).replace("\r\n", "\n"))


def say(text: str, end: str = "\n") -> None:
    """Print a line for the user, or with another `end` a part of one, as it is: markup in it is not interpreted."""
    print(clean(text), end=end, flush=True)


def warn(text: str) -> None:
    """Print a warning, about something that the user may not have intended, to stderr."""
    print(f"warning: {clean(text)}", file=sys.stderr, flush=True)


def note(text: str) -> None:
    """Print a line to stderr that is not part of a command's output."""
    print(clean(text), file=sys.stderr, flush=True)


def say_stage(text: str) -> None:
    """Print what begins now, unless a terminal shows it as a bar."""
    if not sys.stdout.isatty():
        say(text)


class Heartbeat:
    """Says now and then how far a stage has come, where that goes to a file: a terminal has bars.

    Args:
        total: what `done` ends at; None = that is not known.
        done: where it begins.
    """

    def __init__(self, total: float | None, done: float = 0) -> None:
        self._total, self._first = total, done
        self._is_on = not sys.stdout.isatty()
        self._began = self._told = monotonic()

    def is_due(self) -> bool:
        """Whether there has been no line for long."""
        return self._is_on and monotonic() - self._told >= _EVERY

    def tell(self, text: str, done: float) -> None:
        """Say a line with the time that is left."""
        self.rest()
        left = ""
        if self._total and self._first < done < self._total:
            seconds = (self._told - self._began) * (self._total - done) / (done - self._first)
            left = f", about {format_roughly(seconds)} left"
        say(f"{text}{left}")

    def rest(self) -> None:
        """Put the next line off: another one has just been printed."""
        self._told = monotonic()


class _Count:
    """Counts what is done of a stage, and tells it."""

    def __init__(self, description: str, total: float | None) -> None:
        self._what, self._total, self._done = f"{description[0].lower()}{description[1:]}", total, 0
        self._heartbeat = Heartbeat(total)

    def add(self, count: int, note: str = "") -> None:
        self._done += count
        if self._heartbeat.is_due():
            of = f"{self._done:,} of {self._total:,.0f}" if self._total else f"{self._done:,} so far"
            self._heartbeat.tell(f"{self._what}: {of}{f' ({note})' if note else ''}", self._done)


def track(items: Iterable[T], description: str, total: float | None = None) -> Iterator[T]:
    """Yield the items and show a progress bar on stderr, if that is a terminal; in a file lines of what takes long.

    Args:
        total: of the items; None = their length, if they have one.
    """
    count = _Count(description, total or (len(items) if isinstance(items, Sized) else None))
    shown = rich_track(
        items, description, total=total, console=errors_console, transient=True, disable=not errors_console.is_terminal
    )
    for item in shown:
        yield item
        count.add(1)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show, in a terminal, what is waited for that has no count."""
    with errors_console.status(clean(what)) if errors_console.is_terminal else nullcontext():
        yield


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[str, int], None]]:
    """A progress bar with a note, the count and the time left, on stderr, if that is a terminal; in a file lines.

    Gives the function that changes the note and counts so many more as done.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[note]}"))  # fmt: skip
    count = _Count(description, total)
    with Progress(*columns, console=errors_console, transient=True, disable=not errors_console.is_terminal) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(note: str, done: int) -> None:
            bar.update(task, advance=done, note=note)
            count.add(done, note)

        yield advance


def format_roughly(seconds: float) -> str:
    """A time in one unit: `40 s`, `78 min`, `5 h`, `2 d`."""
    for unit, length, most in (("s", 1, 60), ("min", 60, 100), ("h", 3600, 48)):
        if round(seconds / length) < most:
            return f"{max(0, round(seconds / length))} {unit}"
    return f"{round(seconds / 86400)} d"


def format_size(size: float) -> str:
    """A number of bytes in one unit: `350 B`, `1.2 MB`."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 99.5 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def say_marked(plain: str, marked: str) -> None:
    """Print two texts as one, the second green in a terminal and between ⟦ and ⟧ elsewhere."""
    console = Console()
    if console.is_terminal:
        console.print(Text().append(clean(plain), style="dim").append(clean(marked), style="bold green"))
    else:
        say(f"{plain}⟦{marked}⟧")


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], wrap: bool = False, left: int = 1
) -> None:
    """Print a table; the first `left` columns are left aligned, the others right, or all left where text wraps."""
    grid = Table(title=title, title_justify="left", show_lines=wrap)
    for number, name in enumerate(columns):
        grid.add_column(name, justify="left" if wrap or number < left else "right", overflow="fold")
    for row in rows:
        grid.add_row(*map(clean, row))
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
