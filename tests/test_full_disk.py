"""One run whose disk is full at some moment: one line says so, and with room again it ends as if nothing had been.

`MEDFT_TEST_FULL=10` fills it at more moments than CI does.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun
from tests.filling import FILLER
from tests.jobs.sweeps import ROOT, finish, runs
from tests.test_interruptions import COMMAND, comparable

MOMENTS = int(os.environ.get("MEDFT_TEST_FULL", "2"))


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A disk of 150 MB of its own."""
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=150m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def start(disk: Path, fill_at: int) -> tuple[int, str]:
    return finish(
        subprocess.Popen(
            [sys.executable, "-m", "tests.filling", str(disk), str(fill_at), "train", *COMMAND],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
            env={**os.environ, "MEDFT_ROOT": str(disk), "MEDFT_CACHE": str(disk / "cache")},
        )
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_goes_on_after_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "whole") as whole:
        code, out = start(whole, 0)
        assert code == 0, out
        opened = int(re.findall(r"^opened: (\d+)$", out, re.MULTILINE)[0])
        for number in range(MOMENTS):
            with small_disk(tmp_path / f"{number}") as disk:
                code, out = start(disk, round(opened * (number + 0.5) / MOMENTS))
                print(f"{number}: exit code {code}\n{out[-800:]}")
                if code == 0:  # all was done, but for what MLflow had not yet
                    assert [run.state.status for run in list_runs(disk)] == ["FINISHED"]
                    continue
                check_failure(disk, code, out)
                (disk / FILLER).unlink(missing_ok=True)
                code, out = start(disk, 0)
                assert code == 0, out
                *earlier, mended = list_runs(disk)
                (undisturbed,) = list_runs(whole)
                assert comparable(mended) == comparable(undisturbed)
                for name in ("predictions.json", "model/model.safetensors"):
                    assert mended.artifact(name).read_bytes() == undisturbed.artifact(name).read_bytes()
                # one that could not log what it is a run of is not gone on with
                assert all(run.state.status == "KILLED" and not run.state.params for run in earlier)
                assert {each.info.status for each in runs(disk)} <= {"FINISHED", "KILLED"}


def check_failure(disk: Path, code: int, out: str) -> None:
    assert "Traceback" not in out, out
    errors = [line for line in out.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, out
    assert "no space left on the disk" in errors[0]
    assert code == 1
    for run in list_runs(disk):
        assert run.state.status == "KILLED"


def list_runs(disk: Path) -> list[LocalRun]:
    return [LocalRun(Path(entry.folder)) for entry in RunIndex(disk).list_entries()]
