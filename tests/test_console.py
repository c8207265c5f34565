"""What takes long tells how far it has come: bars in a terminal, lines in a file."""

import io
import sys
from collections.abc import Iterator

import pytest

from medft import console
from medft.console import (
    format_roughly,
    format_size,
    note,
    print_table,
    progress,
    say,
    say_marked,
    say_stage,
    track,
    waiting,
    warn,
)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(console, "monotonic", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_stage_has_a_line_every_half_minute_with_count_and_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in track([0] * 100, "Writing answers"):
        clock.now += 5
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["writing answers: 6 of 100, about 8 min left", "writing answers: 12 of 100, about 7 min left"]
    assert len(lines) == 16
    assert lines[-1] == "writing answers: 96 of 100, about 20 s left"


def test_a_stage_of_unknown_length_is_counted(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[int]:
        for row in range(5000):
            clock.now += 0.01
            yield row

    assert list(track(rows(), "Reading sample")) == list(range(5000))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("reading sample: 3,0") and line.endswith(" so far")


def test_the_bar_with_a_note_has_lines_too(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Judging with ollama", 3) as advance:
        for note in ("1 scored", "2 scored", "2 scored, 1 failed"):
            clock.now += 40
            advance(note, 1)
    assert capsys.readouterr().out.splitlines() == [
        "judging with ollama: 1 of 3 (1 scored), about 1 min left",
        "judging with ollama: 2 of 3 (2 scored), about 40 s left",
        "judging with ollama: 3 of 3 (2 scored, 1 failed)",
    ]


def test_a_short_stage_has_no_line_and_a_terminal_has_none_at_all(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in track(range(10), "Tokenizing"):
        clock.now += 2
    assert capsys.readouterr().out == ""
    say_stage("training")
    assert capsys.readouterr().out == "training\n"
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    say_stage("training")
    for _ in track(range(10), "Tokenizing"):
        clock.now += 60
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_waited_for_is_shown_in_a_terminal_and_nowhere_else(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(console, "errors_console", console.Console(file=shown, force_terminal=is_terminal, width=80))
    with waiting("Downloading it"):
        pass
    assert ("Downloading it" in shown.getvalue()) == is_terminal


def test_times_and_sizes_have_one_unit() -> None:
    times = [format_roughly(seconds) for seconds in (0, 59.4, 59.6, 89, 4680, 5969, 5971, 47 * 3600, 48 * 3600, 1e6)]
    assert times == ["0 s", "59 s", "1 min", "1 min", "78 min", "99 min", "2 h", "47 h", "2 d", "12 d"]
    sizes = [format_size(size) for size in (0, 999, 1000, 99_400, 99_600, 999_499, 999_600, 1.2e9, 3.4e12)]
    assert sizes == ["0 B", "999 B", "1.0 kB", "99.4 kB", "100 kB", "999 kB", "1.0 MB", "1.2 GB", "3,400.0 GB"]


def test_data_and_models_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = "gout\x1b]0;title\x07 \x1b[2J \x9b31m é 痛风\r\n\tnext"
    shown = "gout\\x1b]0;title\\x07 \\x1b[2J \\x9b31m é 痛风\n\tnext"
    for show in (say, warn, note):
        show(text)
    say_marked(text, text)
    told = capsys.readouterr()
    assert told.out == f"{shown}\n{shown}⟦{shown}⟧\n"
    assert told.err == f"warning: {shown}\n{shown}\n"
    print_table("answers", ["text"], [[text]])
    table = capsys.readouterr().out
    assert r"\x1b]0;title\x07 \x1b[2J \x9b31m é 痛风" in table
    assert not {"\x1b", "\x07", "\x9b"} & set(table)
