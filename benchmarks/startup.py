"""How long a command takes that needs no data: seconds of a whole process, against `python -c pass` and `import torch`.

python -m benchmarks startup [--repeats 5]
"""

import argparse
import subprocess
import sys
import time
from statistics import median

MEDFT = [sys.executable, "-m", "medft.cli.main"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import torch": [sys.executable, "-c", "import torch"],
    "medft --help": [*MEDFT, "--help"],
    "train --help": [*MEDFT, "train", "--help"],
    "train --cfg job": [*MEDFT, "train", "--cfg", "job"],
    "a wrong key": [*MEDFT, "train", "dataset.sise=100"],
    "a wrong value": [*MEDFT, "train", "dataset.size=abc"],
    "a missing file": [*MEDFT, "train", "dataset=alpaca", "dataset.path=nowhere.csv"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            began = time.perf_counter()
            subprocess.run(command, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
    peer = median(seconds["import torch"])
    for name, taken in seconds.items():
        print(f"{name:18}{median(taken):7.2f} s{median(taken) / peer:7.2f} of importing torch")


if __name__ == "__main__":
    main()
