"""Whether a training's cost grows with its data: seconds for a token and peak memory, over ever more rows.

    python -m benchmarks memory --medquad FILE.zip [--rows 100,200,400,800] [--length 128] [--repeats 1]

`medft.training.fit` of SmolLM2-135M, one epoch, batch 8, each in a process of its own; start-up and validation are left
out of the seconds. The peer is the smallest number of rows. The last row reads one sample of eight times the length
among the short ones.
"""

import argparse
from statistics import median

from benchmarks._command import measure_alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medquad", required=True)
    parser.add_argument("--rows", default="100,200,400,800")
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--way", default="medft-float32")
    arguments = parser.parse_args()
    sizes = [int(each) for each in arguments.rows.split(",")]
    cases = [(f"{rows} rows", rows, 0) for rows in sizes] + [("with a long row", sizes[0], 8 * arguments.length)]
    first: dict[str, float] = {}
    print(f"{'':18}{'ms a token':>12}{'ratio':>8}{'peak MiB':>10}{'ratio':>8}", flush=True)
    for name, rows, longest in cases:
        runs = [measure(arguments, rows, longest) for _ in range(arguments.repeats)]
        seen = {"ms": 1000 / median(run["steps"] for run in runs), "peak": median(run["peak"] for run in runs)}
        first = first or seen
        print(f"{name:18}{seen['ms']:12.2f}{seen['ms'] / first['ms']:8.2f}"
              f"{seen['peak']:10.0f}{seen['peak'] / first['peak']:8.2f}", flush=True)  # fmt: skip


def measure(arguments: argparse.Namespace, rows: int, longest: int) -> dict[str, float]:
    words = ["--medquad", arguments.medquad, "--rows", rows, "--length", arguments.length]
    return measure_alone("benchmarks.train", *words, "--longest", longest, "--one", arguments.way)


if __name__ == "__main__":
    main()
