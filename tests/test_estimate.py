"""What a run is said to take: scaled up from probes, of all its parts."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medft import estimate as room
from medft.cli.main import main
from medft.comparison.settings import foretell_spread
from medft.comparison.significance import LEVEL
from medft.config.schema import Config
from medft.estimate import _simulate, _Writing, estimate
from medft.runs.index import RunIndex
from tests.composed import TINY


def step_by_step(rates: _Writing, lengths: Sequence[int], places: int) -> float:
    waiting, rows, seconds = list(lengths), [], 0.0
    while waiting or rows:
        while waiting and len(rows) < places:
            seconds += rates.prompt
            rows.append(waiting.pop())
        seconds += rates.step + rates.row * len(rows)
        rows = [left - 1 for left in rows if left > 1]
    return seconds


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(1, 5))
def test_places_are_taken_by_the_next_question(lengths: list[int], places: int) -> None:
    rates = _Writing(0.5, 0.1, 0.01)
    assert _simulate(rates, lengths, places) == pytest.approx(step_by_step(rates, lengths, places))


class Clock:
    """Counts what is done instead of timing it: each call of what is timed takes a second."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, do: Callable[[], object]) -> float:
        do()
        self.calls += 1
        return 1.0


def test_more_of_everything_takes_longer(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_time", Clock())
    once = estimate(tiny())
    assert (once.judging, once.no_judge) == (0.0, "")
    assert estimate(tiny("trainer.max_epochs=3")).training == pytest.approx(3 * once.training)
    assert estimate(tiny("trainer.max_epochs=3", "trainer.max_steps=6")).training == pytest.approx(once.training)
    assert estimate(tiny("trainer.val_checks_per_epoch=8")).training > once.training
    assert estimate(tiny("evaluation.baseline=false")).writing < 0.6 * once.writing
    assert once.seconds == once.reading + once.training + once.writing
    assert once.memory > 100 << 20


def test_a_judge_that_cannot_be_asked_is_named(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_time", Clock())
    found = estimate(tiny("judge=ollama", "judge.host=http://127.0.0.1:9"))
    assert found.judging is None
    assert "127.0.0.1:9" in found.no_judge
    assert found.seconds == found.reading + found.training + found.writing


def test_what_seeds_and_questions_could_show_is_said_and_a_seed_needs_no_probe_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    probed: list[int] = []

    def pretend(config: Config) -> room.Estimate:
        probed.append(config.dataset.max_length)
        return room.Estimate(2e9, 3e8, 10.0, 30.0, 60.0, 0.0, group_sizes=(4,) * 12)

    monkeypatch.setattr(room, "estimate", pretend)
    settings = [each for each in TINY if "max_length" not in each]
    smallest = []
    for seeds in ("1,2", "1,2,3,4,5"):
        assert main(["plan", "-m", *settings, "dataset.max_length=64,128", f"seed={seeds}"]) == 0
        [said] = re.findall(
            r"12 test groups, \d seeds: a difference of ([\d.]+), with twice the seeds ([\d.]+), with twice the "
            r"questions ([\d.]+) bits per byte between two of 2 settings would be found four times in five",
            " ".join(capsys.readouterr().out.split()),
        )
        plain, by_seeds, by_questions = map(float, said)
        assert plain > by_seeds and plain >= by_questions > 0
        smallest.append(plain)
    assert smallest[0] > smallest[1]
    assert probed == [64, 128, 64, 128]
    assert main(["plan", *settings, "dataset.max_length=64"]) == 0
    assert "one seed: differences between settings cannot be shown" in " ".join(capsys.readouterr().out.split())
    assert main(["plan", "-m", *settings, "dataset.max_length=32,48,64", "seed=1,2"]) == 0
    [three] = re.findall(r"a difference of ([\d.]+), .* between two of 3", " ".join(capsys.readouterr().out.split()))
    foretold = foretell_spread((4,) * 12, 2, 3)
    assert float(three) == pytest.approx(float(foretold.list_detectable(LEVEL / 2)[0]), rel=0.05)
    monkeypatch.setattr(room, "estimate", lambda _: room.Estimate(2e9, 3e8, 1.0, 1.0, 1.0, 0.0, group_sizes=(48,)))
    assert main(["plan", "-m", *settings, "dataset.max_length=64", "seed=1,2"]) == 0
    assert "one test group, 2 seeds: differences between settings cannot" in " ".join(capsys.readouterr().out.split())


def test_each_job_has_a_line_and_nothing_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def pretend(config: Config) -> room.Estimate:
        asked.append(config.dataset.max_length)
        return room.Estimate(2e9, 3e8, 10.0, 30.0, 60.0, None, "no server there")

    monkeypatch.setattr(room, "estimate", pretend)
    settings = [each for each in TINY if "max_length" not in each]
    assert main(["plan", "-m", *settings, "dataset.max_length=64,128", "launcher.n_jobs=2"]) == 0
    out = capsys.readouterr().out
    assert asked == [64, 128]
    lines = {line.split("│")[1].strip(): line for line in out.splitlines() if line.count("│") == 8}
    for each in ("max_length=64", "max_length=128"):
        cells = [cell.strip() for cell in lines[each].split("│")[2:-1]]
        assert cells == ["2.0 GB", "300 MB", "2 min", "30%", "60%", "?"]
    assert "judging is not in it: no server there" in out
    assert "all 2 jobs, one after the other: 3 min" in out
    assert "on one CPU they share its cores" in out
    assert RunIndex(tmp_path / "root").list_entries() == []


def test_wrong_settings_are_wrong_here_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "dataset.size=abc"]) == 2
    assert "dataset.size" in capsys.readouterr().err
    assert main(["plan", "--help"]) == 0
    assert "medft plan [-m]" in capsys.readouterr().out
