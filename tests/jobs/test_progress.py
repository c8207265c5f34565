"""What a sweep says while it runs."""

import pytest

from medft.jobs.process import Outcome
from medft.jobs.progress import SweepProgress, format_duration

LABELS = ["lr=1", "lr=2", "lr=3"]


def test_each_beginning_and_end_is_a_line_with_the_best_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(LABELS, 1, "test/loss", "minimize") as board:
        board.show_start(0)
        board.show_end(0, Outcome("finished", 60.0, metrics={"test/loss": 2.0}))
        board.show_start(1)
        board.show_end(1, Outcome("known", 1.0, metrics={"test/loss": 1.0}))
        board.show_start(2)
        board.show_end(2, Outcome("killed", 5.0, "ended by SIGKILL"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[1/3] lr=1: started"
    assert lines[1].startswith(
        "[1/3] lr=1: done after 1 min 00 s, test/loss 2.0000; 0 running, 1 done, 0 failed, 2 waiting"
    )
    assert lines[1].endswith("about 2 min 00 s left; best test/loss 2.0000 (lr=1)")
    assert "lr=2: done earlier, test/loss 1.0000;" in lines[3]
    assert lines[3].endswith("best test/loss 1.0000 (lr=2)")
    assert "[3/3] lr=3: KILLED after 5 s: ended by SIGKILL; 0 running, 2 done, 1 failed, 0 waiting" in lines[5]


def test_more_can_be_better(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(LABELS, 1, "test/rougeL", "maximize") as board:
        for number, value in enumerate((0.1, 0.3, 0.2)):
            board.show_start(number)
            board.show_end(number, Outcome("finished", 1.0, metrics={"test/rougeL": value}))
    assert capsys.readouterr().out.splitlines()[-1].endswith("best test/rougeL 0.3000 (lr=2)")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")]
)
def test_times_are_words(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
