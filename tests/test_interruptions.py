"""One run, killed at random moments and started again with the same command, ends as one that was never disturbed.

`MEDFT_TEST_KILLS=30` does so more often than CI does.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from medft.runs.delivery import deliver
from medft.runs.index import RunIndex
from medft.runs.local_run import LocalRun
from medft.runs.status import RESERVE
from medft.training.checkpoints import has_checkpoint
from tests.composed import TINY
from tests.evaluation.judges import fake_ollama
from tests.jobs.sweeps import client, finish, histories, runs, start

KILLS = int(os.environ.get("MEDFT_TEST_KILLS", "3"))
COMMAND = (*TINY, "trainer.max_epochs=2", "trainer.val_checks_per_epoch=3", "dataset.batch_size=2",
           "evaluation.baseline=true", "dataset.split.test=12")  # fmt: skip
JUDGED = (*(each for each in COMMAND if each != "judge=none"), "judge=ollama", "judge.model=m", "judge.controls=2")


def train(root: Path, cache: Path, *settings: str, **environment: str) -> Any:
    return start("train", *JUDGED, *settings, MEDFT_ROOT=str(root), MEDFT_CACHE=str(cache), **environment)


def the_run(root: Path) -> LocalRun:
    (entry,) = RunIndex(root).list_entries()
    return LocalRun(Path(entry.folder))


def score(_: int, request: fake_ollama.Request) -> fake_ollama.Answer:
    """A judge that always says the same of the same, and takes its time."""
    asked = json.dumps(request["messages"]).encode()
    return replace(fake_ollama.scored(int(hashlib.sha256(asked).hexdigest(), 16) % 101), wait=0.03)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Iterator[fake_ollama.Served]:
    with fake_ollama.server(score) as served:
        monkeypatch.setenv("OLLAMA_HOST", served.host)
        yield served


@pytest.mark.slow
@pytest.mark.usefixtures("judge")
@pytest.mark.parametrize(("minutes", "kills"), [(0, KILLS), (5, max(1, KILLS // 3))])  # checkpoints, or none at all
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(tmp_path: Path, minutes: int, kills: int) -> None:
    began = time.monotonic()
    often = f"trainer.checkpoint_minutes={minutes}"
    code, out = finish(train(tmp_path / "whole", tmp_path / "cache-whole", often))
    assert code == 0, out
    lasts, chance, stages = time.monotonic() - began, random.Random(1), list[str]()
    other_disk = tempfile.mkdtemp(dir="/dev/shm") if Path("/dev/shm").is_dir() else str(tmp_path)
    try:
        for number in range(kills):  # a run is done after some kills, then it is another's turn
            root = tmp_path / str(number)
            while not is_done(root):
                process = train(root, root / "cache", often, **({"TMPDIR": other_disk} if len(stages) % 2 else {}))
                try:
                    out, _ = process.communicate(timeout=lasts * (0.2 + 0.8 * chance.random()))
                    assert process.returncode == 0, out
                except subprocess.TimeoutExpired:  # still at work
                    os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    stages.append(stage_of(root))
            check_equal(root, tmp_path / "whole")
            if len(stages) >= kills:
                break
    finally:
        shutil.rmtree(other_disk, ignore_errors=True)
    print(f"{len(stages)} kills in {number + 1} runs, at: {Counter(stages)}")


def is_done(root: Path) -> bool:
    if not RunIndex(root).list_entries():
        return False
    run = the_run(root)
    return run.state.status == "FINISHED" and not (has_checkpoint(run.folder) or (run.folder / RESERVE).exists())


def check_equal(root: Path, undisturbed: Path) -> None:
    whole, mended = the_run(undisturbed), the_run(root)
    assert whole.state.metrics["judge/ollama/scored"] == 24  # before and after
    assert comparable(mended) == comparable(whole)
    for name in ("predictions.json", "probes.json", "split.json"):
        assert mended.artifact(name).read_bytes() == whole.artifact(name).read_bytes(), name
    weights = [load_file(run.artifact("model") / "model.safetensors") for run in (whole, mended)]
    assert weights[0].keys() == weights[1].keys()
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    deliver(mended, client(root))  # it may have been killed before
    (there,) = runs(root)
    assert there.info.status == "FINISHED"
    assert histories(root, there) == histories(undisturbed, runs(undisturbed)[0])
    assert not RunIndex(root).list_pending()


def comparable(run: LocalRun) -> dict[str, Any]:
    kept = {name: value for name, value in run.state.metrics.items() if not name.startswith(("cost/", "system/"))}
    curves = {name: run.history(name) for name in ("train/loss", "val/loss", "train/lr")}
    return {"metrics": kept, "curves": curves, "status": run.state.status}


def stage_of(root: Path) -> str:
    """What the run had logged last."""
    entries = RunIndex(root).list_entries()
    if not entries:
        return "before it was opened"
    last = LocalRun(Path(entries[-1].folder)).journal.read()[-1]
    return f"{last.kind} {next(iter(last.data.values() if last.kind in ('file', 'status') else last.data), '')}"
