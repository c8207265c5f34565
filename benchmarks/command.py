"""A whole command of medft, from its start to its results, against the same command at an earlier commit.

    python -m benchmarks command --commit 5b34c2a [--repeats 1] [--cache FOLDER] -- experiment=demo

Each in a process of its own with this environment's packages, in turn. Without --cache each run begins with an empty
cache, so that it converts weights and measures its baseline. Printed are medians: seconds, the bytes that the command
gave to the system to write (`wchar` of Linux: files and pipes) and those that were due to disks (`write_bytes`), and the
test loss. Packages that only the earlier commit needs (`tenacity` for 5b34c2a) must be installed.
"""

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", required=True, help="of this repository; the peer")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--cache", help="with converted weights; its baselines are used too, if it has any")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    if os.environ.get("MEDFT_BENCHMARK_ONE"):
        print(json.dumps(measure(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / "earlier"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(earlier)], check=True)
        subprocess.run(["git", "-C", str(earlier), "checkout", "--quiet", arguments.commit], check=True)
        runs: dict[str, list[dict[str, float]]] = {arguments.commit: [], "now": []}
        for _ in range(arguments.repeats):
            for name, source in ((arguments.commit, earlier), ("now", ROOT)):
                runs[name].append(start(source))
                print(name, runs[name][-1], flush=True)
    peer = {key: median(run[key] for run in runs[arguments.commit]) for key in runs["now"][0]}
    print(f"{'':10}{'seconds':>9}{'ratio':>7}{'written MB':>12}{'to disk MB':>12}{'ratio':>7}{'test loss':>11}")
    for name, found in runs.items():
        row = {key: median(run[key] for run in found) for key in peer}
        print(f"{name:10}{row['seconds']:9.1f}{row['seconds'] / peer['seconds']:7.2f}{row['written'] / 1e6:12.0f}"
              f"{row['to_disk'] / 1e6:12.0f}{row['written'] / peer['written']:7.2f}{row['loss']:11.4f}")  # fmt: skip


def start(source: Path) -> dict[str, float]:
    """Measure in a process of its own, whose children are those of one command only."""
    environment = os.environ | {"MEDFT_BENCHMARK_ONE": str(source)}
    command = [sys.executable, "-m", "benchmarks.command", *sys.argv[1:]]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT).stdout
    result: dict[str, float] = json.loads(out.splitlines()[-1])
    return result


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    source = Path(os.environ["MEDFT_BENCHMARK_ONE"])
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"PYTHONPATH": str(source / "src"), "MEDFT_ROOT": folder}
        environment["MEDFT_CACHE"] = arguments.cache or str(Path(folder) / "cache")
        output = Path(folder) / "run"
        command = [sys.executable, "train.py", *arguments.overrides, f"paths.output_dir={output}"]
        before = read_written()
        began = time.perf_counter()
        subprocess.run(command, check=True, cwd=source, env=environment, stdout=sys.stderr)
        seconds = time.perf_counter() - began
        written = {key: number - before[key] for key, number in read_written().items()}
        with sqlite3.connect(Path(folder) / "mlruns" / "mlflow.db") as store:
            [(loss,)] = store.execute("select value from latest_metrics where key = 'test/loss'").fetchall()
    return {"seconds": seconds, "written": written["wchar"], "to_disk": written["write_bytes"], "loss": loss}


def read_written() -> dict[str, int]:
    """What this process and the children that it has waited for have written, in bytes."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return {name: int(number) for name, _, number in (line.partition(":") for line in lines)}


if __name__ == "__main__":
    main()
