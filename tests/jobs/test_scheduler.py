"""How jobs are started, watched, ended and stopped, whoever runs them, and what a sweep says meanwhile."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from medft.config.launchers import JobInfo
from medft.config.schema import Config
from medft.jobs.executors import Handle
from medft.jobs.plan import Job, freeze, make_job
from medft.jobs.process import Outcome
from medft.jobs.scheduler import INTERRUPTED, JobSource, Scheduler, SweepProgress, format_duration
from tests.jobs.fakes import FakeExecutor

FINISHED = Outcome("finished", 1.0)


@pytest.fixture
def jobs(compose: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Four jobs that no store knows of."""
    monkeypatch.setattr("medft.jobs.scheduler.settle", lambda config, outcome, started: outcome)
    made = [make_job(number, compose(), JobInfo(parent="p", label=f"job={number}"), tmp_path) for number in range(4)]
    for job in made:
        freeze(job)
    return made


class Watched(JobSource):
    """Remembers how jobs ended."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        super().__init__(jobs)
        self.outcomes: dict[str, Outcome] = {}
        self.looks = 0

    def watch_job(self, job: Job, handle: Handle) -> None:
        self.looks += 1
        if self.looks == 5:
            handle.stop("seen enough")

    def finish_job(self, job: Job, outcome: Outcome) -> Outcome:
        self.outcomes[job.label] = outcome
        return outcome


def run(jobs: Sequence[Job], executor: FakeExecutor) -> Watched:
    queue = Watched(jobs)
    with SweepProgress([job.label for job in jobs], executor.n_jobs, "test/loss", "minimize") as progress:
        try:
            Scheduler(queue, executor, progress).run()
        except KeyboardInterrupt:
            queue.outcomes["interrupted"] = FINISHED
    return queue


@pytest.mark.parametrize(("n_jobs", "slots"), [(1, [0, 0, 0, 0]), (3, [0, 1, 2, 0]), (None, [0, 1, 2, 3])])
def test_so_many_run_at_once_each_in_a_slot_of_its_own(jobs: list[Job], n_jobs: int | None, slots: list[int]) -> None:
    executor = FakeExecutor(lambda config: FINISHED, n_jobs)
    assert list(run(jobs, executor).outcomes) == ["job=0", "job=1", "job=2", "job=3"]
    assert executor.slots == slots


def test_a_job_that_fails_takes_no_other_along(jobs: list[Job]) -> None:
    failed = Outcome("failed", 1.0, "no luck")
    queue = run(jobs, FakeExecutor(lambda config: failed if config.job.label == "job=1" else FINISHED))
    assert queue.outcomes == {"job=0": FINISHED, "job=1": failed, "job=2": FINISHED, "job=3": FINISHED}


def test_who_watches_a_job_can_stop_it(jobs: list[Job]) -> None:
    queue = run(jobs[:1], FakeExecutor(lambda config: None))
    assert queue.outcomes == {"job=0": Outcome("killed", 1.0, "seen enough")}


def test_a_store_that_is_away_takes_no_job_along(
    jobs: list[Job], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def settle(*_: object) -> Outcome:
        raise ConnectionError("no server")

    monkeypatch.setattr("medft.jobs.scheduler.settle", settle)
    assert run(jobs, FakeExecutor(lambda config: FINISHED)).outcomes == {job.label: FINISHED for job in jobs}
    assert "job=0: how it ended could not be logged: no server" in capsys.readouterr().err


@pytest.mark.parametrize("outlives", [False, True])
def test_an_interrupt_stops_the_jobs_that_run_unless_they_outlive_the_command(jobs: list[Job], outlives: bool) -> None:
    def interrupt_at_the_third(config: Config) -> Outcome | None:
        if config.job.label == "job=2":
            raise KeyboardInterrupt
        return None

    queue = run(jobs, FakeExecutor(interrupt_at_the_third, n_jobs=4, outlives=outlives))
    stopped = {} if outlives else {f"job={number}": Outcome("killed", 1.0, INTERRUPTED) for number in (0, 1)}
    assert queue.outcomes == {**stopped, "interrupted": FINISHED}


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


def test_what_is_not_a_number_is_not_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(LABELS, 1, "test/loss", "minimize") as board:
        for number, value in enumerate((math.nan, 2.0, 1.0)):
            board.show_start(number)
            board.show_end(number, Outcome("finished", 1.0, metrics={"test/loss": value}))
    told = [line.partition("best ")[2] for line in capsys.readouterr().out.splitlines() if ": done" in line]
    assert told == ["", "test/loss 2.0000 (lr=2)", "test/loss 1.0000 (lr=3)"]


def test_the_last_jobs_take_their_time_however_many_could_run(capsys: pytest.CaptureFixture[str]) -> None:
    with SweepProgress(LABELS[:2], 8, "test/loss", "minimize") as board:
        board.show_start(0)
        board.show_start(1)
        board.show_end(0, Outcome("finished", 800.0))
    assert "about 13 min 20 s left" in capsys.readouterr().out


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


@pytest.mark.parametrize("running", [1, 19, 20, 25])
def test_the_live_table_shows_what_runs_and_then_the_newest_that_have_ended(running: int) -> None:
    board = SweepProgress([f"job={number}" for number in range(60)], None, "test/loss", "minimize")
    for number in range(30):
        board.show_start(number)
        board.show_end(number, FINISHED)
    for number in range(30, 30 + running):
        board.show_start(number)
    shown = list(board._make_table().columns[0].cells)
    assert shown == [f"job={number}" for number in range(30 - max(0, 20 - running), 30 + min(running, 20))]
