"""A whole command of medft, measured: time, memory, bytes written, and the metrics that it logged."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Measured:
    """What a command took; bytes as Linux counts them, `written` to files and pipes, `to_disk` of them to disks."""

    seconds: float
    peak: float  # MiB, of the largest of its processes
    written: int
    to_disk: int
    metrics: dict[str, float]


def run_command(overrides: Sequence[str], cache: Path | None, source: Path = ROOT) -> Measured:
    """Run `python train.py` of a checkout in a folder of its own, which goes with it.

    Args:
        cache: with converted weights, baselines and the like; None = an empty one.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(source / "src"), "MEDFT_ROOT": folder}
        environment["MEDFT_CACHE"] = str(cache or Path(folder) / "cache")
        command = [sys.executable, "train.py", *overrides, f"paths.output_dir={Path(folder) / 'run'}"]
        before, began = _read_written(), time.perf_counter()
        process = subprocess.Popen(command, cwd=source, env=environment, stdout=sys.stderr)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        if status:
            raise SystemExit(f"{' '.join(command)}: exit code {os.waitstatus_to_exitcode(status)}")
        written = {key: number - before[key] for key, number in _read_written().items()}
        with sqlite3.connect(Path(folder) / "mlruns" / "mlflow.db") as store:
            metrics = dict(store.execute("select key, value from latest_metrics").fetchall())
    return Measured(seconds, used.ru_maxrss / 1024, written["wchar"], written["write_bytes"], metrics)


def measure_alone(module: str, *words: object, **environment: str) -> dict[str, float]:
    """What `python -m module words` measures in a process of its own and prints as JSON in its last line."""
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | environment, cwd=ROOT
    )  # fmt: skip
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def take_medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Of each number that the runs have measured."""
    numbers = [key for key, value in runs[0].items() if isinstance(value, (int, float))]
    return {key: median(run[key] for run in runs) for key in numbers}


def _read_written() -> dict[str, int]:
    """What this process and the children that it has waited for have written, in bytes."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return {name: int(number) for name, _, number in (line.partition(":") for line in lines)}
