"""Several processes learn what one learns, nobody else can talk to them, and however one ends, the others do."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import medft
from medft.errors import MedftError
from medft.runs.local_run import LocalRun
from tests.composed import TINY
from tests.jobs.sweeps import finish, start, sweep

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ready_store")]
ONE = (*(each for each in TINY if each != "trainer=cpu"), "evaluation.baseline=false")
TWO = (*ONE, "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
ENDLESS = ("trainer.max_epochs=2000", "trainer.val_checks_per_epoch=1", "dataset.batch_size=4")


def read_curve(folder: Path, name: str = "train/loss") -> list[float]:
    return [value for _, value in LocalRun(folder).history(name)]


@pytest.mark.parametrize("collate", ["flatten", "pad"])
def test_two_processes_learn_what_one_learns_and_listen_to_themselves_only(tmp_path: Path, collate: str) -> None:
    # 46 rows of 8 to 64 tokens; in double precision no rounding hides a wrong weight
    same = (
        "trainer.precision=64-true",
        "trainer.max_steps=26",
        "trainer.max_epochs=5",
        "trainer.val_checks_per_epoch=1",
        "tracking.save_model=none",
        f"dataset.collate={collate}",
        "trainer.tokens_per_forward=64",  # one process may have one pass where the other has two
    )
    code, out = finish(
        start("train", *ONE, *same, "trainer=cpu", "dataset.batch_size=4", f"paths.output_dir={tmp_path}/one")
    )
    assert code == 0, out
    process = start("train", *TWO, *same, "dataset.batch_size=2", f"paths.output_dir={tmp_path}/two")
    heard, pids = set[str](), set[int]()
    while process.poll() is None:
        members = list_group(process.pid)
        pids |= members
        heard |= {address for pid in members for address in list_listening(pid)}
        time.sleep(0.1)
    code, out = finish(process)
    assert code == 0, out
    assert out.count("step 26/26") == 1, "the first process alone speaks"
    assert len(pids) >= 2
    assert heard, "gloo's own sockets were not seen: this test looks in the wrong place"
    assert heard <= {"127.0.0.1", "::1"}
    assert not list_group(process.pid)
    for name, steps in (("train/loss", 26), ("val/loss", 3)):
        one, two = read_curve(tmp_path / "one", name), read_curve(tmp_path / "two", name)
        assert len(one) == len(two) >= steps
        assert two == pytest.approx(one, abs=1e-5)
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob(f"medft-*/store.{process.pid}"))


def list_group(leader: int) -> set[int]:
    """The processes that run in a process group."""
    found = set()
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.add(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            pass
    return found


def list_listening(pid: int) -> set[str]:
    """The addresses that a process listens on."""
    try:
        sockets = psutil.Process(pid).net_connections("inet")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()
    return {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}


@contextmanager
def training(folder: Path) -> Iterator["tuple[subprocess.Popen[str], int]"]:
    """Two processes in the middle of training: the first one, and the number of the second."""
    process = start("train", *TWO, *ENDLESS, f"paths.output_dir={folder}")
    try:
        deadline = time.monotonic() + 180
        while not (folder / "checkpoints" / "last.ckpt").exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (other,) = [each.pid for each in psutil.Process(process.pid).children() if "ddp_worker" in each.cmdline()[-1]]
        yield process, other
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_a_process_that_is_killed_ends_the_run_with_a_line(tmp_path: Path) -> None:
    with training(tmp_path / "run") as (process, other):
        os.kill(other, signal.SIGKILL)
        code, out = finish(process, 60)
        assert code == 1
        assert "error: process 2 of 2 was ended by SIGKILL (probably out of memory; " in out
        assert "Traceback" not in out
        assert LocalRun(tmp_path / "run").state.status == "FAILED"
        assert not list_group(process.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process_and_goes_on(tmp_path: Path, number: signal.Signals) -> None:
    with training(tmp_path / "run") as (process, _):
        if number == signal.SIGINT:  # a terminal sends it to all of them
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        code, out = finish(process, 60)
        assert code == 130, out
        assert out.rstrip().endswith("interrupted")
        assert "Traceback" not in out
        assert "error" not in out
        assert LocalRun(tmp_path / "run").state.status == "KILLED"
        assert not list_group(process.pid)
    if number == signal.SIGTERM:  # the second process takes the same checkpoint
        steps = len(read_curve(tmp_path / "run"))
        with start("train", *TWO, *ENDLESS, f"paths.output_dir={tmp_path / 'run'}") as again:
            deadline = time.monotonic() + 120
            while len(read_curve(tmp_path / "run")) < steps + 12:
                assert again.poll() is None, again.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.2)
            os.killpg(again.pid, signal.SIGKILL)


def test_no_process_outlives_the_first(tmp_path: Path) -> None:
    with training(tmp_path / "run") as (process, _):
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 10
        while list_group(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_process_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = medft.compose(*TWO, f"paths.output_dir={tmp_path / 'run'}")
    config.resolved["dataset"]["split"]["test"] = 300  # for the other process, which reads it from there
    from medft.experiment import run

    with pytest.raises(MedftError, match="process 2 of 2 ended with exit code 2"):
        run(config)
    assert LocalRun(tmp_path / "run").state.status == "FAILED"


def test_jobs_of_a_sweep_and_runs_from_python_have_processes_of_their_own(tmp_path: Path) -> None:
    code, out = sweep(*TWO, "seed=1,2", "launcher.n_jobs=2")
    assert code == 0, out
    run = medft.run(medft.compose(*TWO, "seed=1"))
    assert run.folder
    (folder,) = (tmp_path / "root" / "outputs").glob("*/*-sweep/seed=1")
    assert json.loads((folder / "run.json").read_text())["run_id"] != run.id
    assert read_curve(folder) == pytest.approx(read_curve(run.folder), abs=1e-4)
