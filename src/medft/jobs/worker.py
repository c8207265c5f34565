"""The program of a job's process: `python -m medft.jobs.worker FOLDER` runs the job that was frozen in FOLDER."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from filelock import FileLock

JOB, RESULT, LOCK = "job.yaml", "result.json", "job.lock"


def main(folder: Path) -> int:
    """Run the job and leave `result.json`; returns the exit code."""
    _end_with_parent()
    for number in (signal.SIGTERM, signal.SIGUSR2):  # the second is Slurm's warning that time is nearly up
        signal.signal(number, _interrupt)
    with FileLock(folder / LOCK):  # a process of an earlier launch may still be ending
        return _run(folder)


def _run(folder: Path) -> int:
    from omegaconf import DictConfig, OmegaConf

    from medft.config.check import check
    from medft.config.paths import register_resolvers
    from medft.runs.sweeps import child_of

    register_resolvers()
    raw = OmegaConf.load(folder / JOB)
    assert isinstance(raw, DictConfig)
    config, started = check(raw), time.time()
    from medft.jobs.run_job import run_job

    metrics = run_job(config)
    child = child_of(config)
    assert child
    known = child.ended is not None and child.ended < started
    _write(folder / RESULT, {"run_id": child.run_id, "skipped": known, "metrics": metrics})
    return 0


def _write(file: Path, result: dict[str, object]) -> None:
    partial = file.with_suffix(".part")
    partial.write_text(json.dumps(result), encoding="utf-8")
    partial.replace(file)


def _end_with_parent() -> None:
    """Die with the sweep, whatever kills it: its end of our standard input is closed then."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1024):  # not through a buffer, whose lock would outlive this thread
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGTERM, signal.SIGUSR2):  # once is enough: a second would interrupt the logging of the end
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
