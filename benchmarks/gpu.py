"""What an NVIDIA GPU makes of it: a whole run, training, writing answers, and the tests that a GPU has not seen.

    python -m benchmarks gpu --medquad FILE.zip [--model gpt2-medium] [--rows 1100] [--length 512] [--questions 110]

The model's shape with random weights, since how fast it is does not depend on what it knows. In turn, each in a process
of its own and none longer than its part of nine minutes: `python train.py` from its start to its results; training with
16,384 tokens a step against TRL's padding-free SFTTrainer (extra [peers]; left out without it), and the share of the
GPU's products that this is; writing against `generate`; tests/training/test_gpu.py.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time

import torch
from benchmarks._command import ROOT, run_command

TOKENS = 16_384  # of a step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medquad", required=True)
    parser.add_argument("--model", default="gpt2-medium")
    parser.add_argument("--rows", type=int, default=1100)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--questions", type=int, default=110)
    parser.add_argument("--tokens", type=int, default=256)
    arguments = parser.parse_args()
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "no NVIDIA GPU: the processor"
    print(f"{name}; torch {torch.__version__}", flush=True)
    data = [f"--medquad={arguments.medquad}", f"--model={arguments.model}"]
    run = run_command(
        [
            f"model={arguments.model}", "model.source=null", "dataset=medquad", f"dataset.path={arguments.medquad}",
            f"dataset.size={arguments.rows}", f"dataset.split.test={arguments.questions}", "trainer.max_epochs=2",
            f"dataset.max_length={arguments.length}", f"generation.max_new_tokens={arguments.tokens}", "judge=none",
        ],
        None,
    )  # fmt: skip
    speed, mfu = (run.metrics.get(f"cost/{cost}", float("nan")) for cost in ("tokens_per_second", "mfu"))
    trained, peak = (run.metrics[f"cost/{cost}"] for cost in ("train_seconds", "peak_memory"))
    print(f"the whole command: {run.seconds:.1f} s, of it training {trained:.1f} s at {speed:,.0f} tokens/s "
          f"(MFU {mfu:.0%}), peak {peak:,.0f} MiB", flush=True)  # fmt: skip
    ways = ["medft-bf16", "Trainer-bf16"]
    if importlib.util.find_spec("trl"):
        ways = ["TRL-bf16", *ways]
    start("benchmarks.train", *data, "--rows", arguments.rows, "--length", arguments.length, "--repeats", 1, "--batch",
          TOKENS // arguments.length, "--ways", ",".join(ways), limit=150)  # fmt: skip
    start("benchmarks.generate", *data, "--questions", arguments.questions, "--repeats", 1, "--ways",
          f"auto,{arguments.questions}", limit=120)  # fmt: skip
    start("pytest", "tests/training/test_gpu.py", "-p", "no:cacheprovider", "--no-header", limit=150)


def start(module: str, *words: object, limit: int) -> None:
    """Run a module with this checkout's sources; what it prints is shown, and that it failed or took too long."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, words)], cwd=ROOT, env=environment, timeout=limit
        )
        ended = f"exit code {done.returncode}"
    except subprocess.TimeoutExpired:
        ended = f"stopped at {limit} s"
    print(f"{module}: {ended} after {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
