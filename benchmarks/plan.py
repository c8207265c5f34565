"""How well `medft plan` foretells: memory and time of eight configs, against what each run then took.

    python -m benchmarks plan --medquad FILE.zip [--rows 60] [--questions 12] [--tokens 64]

SmolLM2-135M and a GPT-2 of 124 M random weights, full and LoRA, samples of up to 128, 256 and 512 tokens; estimate and
run in a process of their own each, with a cache that has the weights and nothing else. The run's memory is the peak of
its training, which the estimate is of; that of its whole process, with evaluation, stands beside it.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks._command import measure_alone, run_command

CASES = [
    ("smollm2-135m", "full", 128), ("smollm2-135m", "full", 256), ("smollm2-135m", "full", 512),
    ("smollm2-135m", "lora", 128), ("smollm2-135m", "lora", 512),
    ("gpt2, random", "full", 128), ("gpt2, random", "full", 512), ("gpt2, random", "lora", 256),
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medquad", required=True)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--questions", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        foretell(arguments.one)
        return
    print(f"{'':28}{'planned MiB':>12}{'training':>10}{'off':>6}{'process':>9}{'planned s':>11}{'seen':>8}{'off':>6}"
          f"{'probe s':>9}", flush=True)  # fmt: skip
    weights = tempfile.TemporaryDirectory()
    make_gpt2(weights.name)
    models = {"smollm2-135m": ["model=smollm2-135m"], "gpt2, random": ["model=gpt2", f"model.source={weights.name}"]}
    for model, method, length in CASES:
        overrides = [
            *models[model], f"finetune={method}", f"dataset.max_length={length}", "dataset=medquad",
            f"dataset.path={arguments.medquad}", f"dataset.size={arguments.rows}",
            f"dataset.split.test={arguments.questions}", f"generation.max_new_tokens={arguments.tokens}",
            "trainer.max_epochs=1", "judge=none",
        ]  # fmt: skip
        with with_weights_only() as folder:
            planned = measure_alone("benchmarks.plan", *sys.argv[1:], "--one", *overrides, MEDFT_CACHE=folder)
            seen = run_command(overrides, Path(folder))
        training = seen.metrics["cost/peak_memory"]
        print(f"{model + ', ' + method + f', {length}':28}{planned['memory']:12.0f}{training:10.0f}"
              f"{planned['memory'] / training - 1:6.0%}{seen.peak:9.0f}{planned['seconds']:11.0f}{seen.seconds:8.0f}"
              f"{planned['seconds'] / seen.seconds - 1:6.0%}{planned['probe']:9.0f}", flush=True)  # fmt: skip


def make_gpt2(folder: str) -> None:
    """Random weights in a folder, since adapters around a model from scratch are refused."""
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config()).save_pretrained(folder)


def with_weights_only() -> tempfile.TemporaryDirectory[str]:
    """A cache with the weights that are converted already, if there are any."""
    folder = tempfile.TemporaryDirectory()
    usual = Path(os.environ.get("MEDFT_CACHE") or Path.home() / ".cache" / "medft")
    for name in ("models", "gguf"):
        if (usual / name).is_dir():
            (Path(folder.name) / name).symlink_to(usual / name)
    return folder


def foretell(overrides: list[str]) -> None:
    import time

    from medft.config.compose import compose_config
    from medft.estimate import estimate

    began = time.perf_counter()
    planned = estimate(compose_config(overrides))
    probe = time.perf_counter() - began - planned.reading
    print(json.dumps({"memory": planned.memory / 2**20, "seconds": planned.seconds, "probe": probe}))


if __name__ == "__main__":
    main()
