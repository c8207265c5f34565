"""A whole command of medft, from its start to its results, against the same command at an earlier commit.

    python -m benchmarks command --commit 5b34c2a [--repeats 1] [--cache FOLDER] -- experiment=demo

Each in a process of its own with this environment's packages, in turn. Without --cache each run begins with an empty
cache, so that it converts weights and measures its baseline. Printed are medians: seconds, the bytes that the command
gave to the system to write and those of them that were due to disks, and the test loss. Packages that only the earlier
commit needs (`tenacity` for 5b34c2a) must be installed.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks._command import ROOT, Measured, run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commit", required=True, help="of this repository; the peer")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="with converted weights; its baselines are used too, if it has any")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / "earlier"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(earlier)], check=True)
        subprocess.run(["git", "-C", str(earlier), "checkout", "--quiet", arguments.commit], check=True)
        runs: dict[str, list[Measured]] = {arguments.commit: [], "now": []}
        for _ in range(arguments.repeats):
            for name, source in ((arguments.commit, earlier), ("now", ROOT)):
                runs[name].append(run_command(arguments.overrides, arguments.cache, source))
    peer = runs[arguments.commit]
    print(f"{'':10}{'seconds':>9}{'ratio':>7}{'written MB':>12}{'to disk MB':>12}{'ratio':>7}{'test loss':>11}")
    for name, found in runs.items():

        def of(number: Callable[[Measured], float], runs: list[Measured] = found) -> float:
            return median(map(number, runs))

        ratios = [of(number) / of(number, peer) for number in (lambda run: run.seconds, lambda run: run.written)]
        print(f"{name:10}{of(lambda run: run.seconds):9.1f}{ratios[0]:7.2f}"
              f"{of(lambda run: run.written / 1e6):12.0f}{of(lambda run: run.to_disk / 1e6):12.0f}{ratios[1]:7.2f}"
              f"{of(lambda run: run.metrics['test/loss']):11.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
