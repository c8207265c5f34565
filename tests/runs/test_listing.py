"""`medft runs`: newest first, quick, and through damage."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from medft.cli.main import main
from medft.config.schema import Config
from medft.runs.index import RunIndex
from medft.runs.listing import DAMAGED, INTERRUPTED, RunList
from medft.runs.local_run import LocalRun, hold_folder


def add(config: Config, name: str, status: str = "FINISHED", score: float | None = None, **tags: str) -> LocalRun:
    run = LocalRun.create(config, Path(config.paths.root_dir) / "outputs" / f"{name} {time.time_ns()}", name, tags)
    run.log_params({"dataset.name": "sample"})
    if score is not None:
        run.log_metrics({"test/bits_per_byte": score})
    if status != "RUNNING":
        run.set_status(status)
    time.sleep(0.002)
    return run


def test_runs_are_listed_newest_first_with_their_state(config: Config, root: Path) -> None:
    add(config, "old", score=1.5)
    add(config, "failed", "FAILED", error="DataError: no\nrows")
    killed = add(config, "killed", "KILLED", error="interrupted")
    lost, alive = add(config, "lost", "RUNNING"), add(config, "alive", "RUNNING")
    with hold_folder(alive.folder):
        runs = list(RunList(root))
    assert [(run.name, run.status) for run in runs] == [
        ("alive", "RUNNING"), ("lost", INTERRUPTED), ("killed", "KILLED"), ("failed", "FAILED"), ("old", "FINISHED"),
    ]  # fmt: skip
    assert [run.run_id for run in runs if run.can_go_on] == [lost.run_id, killed.run_id]
    assert [run.why for run in runs] == ["", "its process is gone", "interrupted", "DataError: no rows", ""]
    assert (runs[-1].data, runs[-1].score) == ("sample", 1.5)


def test_jobs_belong_to_their_sweep(config: Config, root: Path) -> None:
    sweep = add(config, "lengths", "FAILED", **{"medft.kind": "sweep"})
    for name, status, score in (("one", "FINISHED", 2.5), ("two", "FINISHED", 2.25), ("three", "FAILED", None)):
        add(config, name, status, score, **{"medft.parent": sweep.run_id})
    add(config, "again", "FAILED", **{"medft.parent": sweep.run_id, "superseded_by": "x"})
    add(config, "orphan", **{"medft.parent": "gone"})
    orphan, listed = RunList(root)
    assert (orphan.name, listed.name, listed.score, listed.data) == ("orphan", "lengths", 2.25, "sample")
    assert [job.name for job in listed.jobs] == ["one", "two", "three"]
    assert listed.can_go_on and not any(job.can_go_on for job in listed.jobs)


def test_damage_is_a_line_and_no_crash(config: Config, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(config, "fine")
    (add(config, "no card").folder / "run.json").unlink()
    (add(config, "half a card").folder / "run.json").write_text('{"run_id": ')
    (add(config, "no journal").folder / "journal.jsonl").write_text("nonsense\n")
    shutil.rmtree(add(config, "removed").folder)
    (root / "mlruns" / "runs" / f"{'a' * 32}.json").write_text("")
    assert [run.status for run in RunList(root)] == [DAMAGED, DAMAGED, DAMAGED, "FINISHED"]
    assert main(["runs", "--failed"]) == 0
    told = capsys.readouterr()
    assert told.out.count("damaged") == 3 and "fine" not in told.out
    assert "2 that cannot be shown: " in told.out and told.err == ""


def test_the_command_has_a_limit_and_says_how_runs_go_on(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [add(config, f"run {number}", "KILLED" if number % 2 else "FINISHED", error="why") for number in range(8)]
    capsys.readouterr()
    assert main(["runs", "limit=3"]) == 0
    out = capsys.readouterr().out
    assert [f"run {number}" in out.split("go on:")[0] for number in range(8)] == [False] * 5 + [True] * 3
    assert "5 older ones are left out: limit=8 shows all" in out
    assert f"go on:         medft train resume={runs[7].run_id[:8]}   # run 7" in out
    assert main(["runs", "limit=3", "--failed"]) == 0
    out = capsys.readouterr().out
    assert [number for number in range(8) if f"│ run {number}" in out] == [3, 5, 7]
    assert "1 older ones are left out: limit=4 shows all" in out and "why" in out
    assert main(["runs", f"paths.root_dir={config.paths.root_dir}/nothing"]) == 0
    assert capsys.readouterr().out.startswith("no run in ")


def test_short_ids_are_those_that_no_other_run_begins_with(config: Config, root: Path) -> None:
    index = RunIndex(root)
    add(config, "a run")
    for run_id in ("abcdefgh12", "abcdefgh13", "abcdefgh2", "b" * 32):
        (root / "mlruns" / "runs" / f"{run_id}.json").write_text("{}")
    short = index.shorten_ids()
    assert [short[each] for each in ("abcdefgh12", "abcdefgh13", "abcdefgh2", "b" * 32)] == [
        "abcdefgh12", "abcdefgh13", "abcdefgh2", "b" * 8,
    ]  # fmt: skip
    assert index.shorten_id("unknown") == "unknown"


@pytest.mark.slow
def test_two_hundred_runs_are_listed_at_once_without_torch(config: Config, root: Path) -> None:
    run = add(config, "long", score=1.0)
    for step in range(1, 500):
        run.journal.append("metrics", {"train/loss": 1.0, "train/lr": 0.1}, step)
    for number in range(200):
        folder = shutil.copytree(run.folder, root / "outputs" / f"copy {number}")
        entry = json.loads((root / "mlruns" / "runs" / f"{run.run_id}.json").read_text())
        entry |= {"run_id": f"{number:032x}", "folder": str(folder)}
        (root / "mlruns" / "runs" / f"{number:032x}.json").write_text(json.dumps(entry))
    code = (
        "import sys, time; from medft.cli.main import main; began = time.process_time(); main(['runs', 'limit=200']);"
    )
    code += "print(time.process_time() - began, 'torch' in sys.modules, 'mlflow' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    seconds, *loaded = out.splitlines()[-1].split()
    assert loaded == ["False", "False"]
    assert float(seconds) < 3  # on a busy machine; half of it is the config


def test_a_job_that_diverged_has_finished(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = add(config, "rates", **{"medft.kind": "sweep"})
    for name, score in (("one", 2.5), ("two", float("nan"))):
        add(config, name, score=score, **{"medft.parent": sweep.run_id})
    assert main(["runs"]) == 0
    assert "rates (sweep, 2 of 2 jobs finished)" in " ".join(capsys.readouterr().out.split())


def test_a_run_whose_lock_is_somebody_elses_is_a_line(
    config: Config, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(config, "theirs", "KILLED")
    monkeypatch.setattr(LocalRun, "is_alive", Mock(side_effect=PermissionError(13, "Permission denied")))
    assert main(["runs"]) == 0
    assert "damaged" in capsys.readouterr().out
