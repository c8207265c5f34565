"""How fast answers are written: tokens per second, against transformers' `generate` at several batch sizes.

    python -m benchmarks.generate --medquad FILE.zip [--run RUN] [--questions 50] [--repeats 5]

SmolLM2-135M, up to 256 tokens each, greedy, float32, the same questions in the same process; RUN = a finished run whose
model to ask instead. `generate` in batches of 8 is how medft wrote before it had a loop of its own.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from medft.config.compose import compose_config
from medft.data.encode import encode_prompts
from medft.data.tokenizer import load_tokenizer
from medft.evaluation.generation import generate
from medft.model.build import build_model
from medft.model.sources.resolve import resolve
from medft.runs.open import open_run
from medft.runs.splits import read_splits
from medft.runs.trained_model import load_model

Answers = list[list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medquad", required=True)
    parser.add_argument("--run")
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    config = compose_config([
        "model=smollm2-135m", "dataset=medquad", f"dataset.path={arguments.medquad}", "dataset.size=600",
        f"dataset.split.test={arguments.questions}", "judge=none",
    ])  # fmt: skip
    network, tokenizer = load(config, arguments.run)
    prompts = encode_prompts(read_splits(config).test, tokenizer, config.dataset.prompt)
    ways: dict[str, Callable[[], Answers]] = {
        "medft, auto": lambda: [each.token_ids for each in generate(network, prompts, config.generation, None, 0)],
        "generate, 8": lambda: ask(network, prompts, 8, config.generation.max_new_tokens),
        "generate, 16": lambda: ask(network, prompts, 16, config.generation.max_new_tokens),
        f"generate, {len(prompts)}": lambda: ask(network, prompts, len(prompts), config.generation.max_new_tokens),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    written: dict[str, Answers] = {}
    for _ in range(arguments.repeats):  # one after the other, so that a machine that slows down does so for all
        for name, way in ways.items():
            began = time.perf_counter()
            written[name] = way()
            seconds[name].append(time.perf_counter() - began)
    ours = statistics.median(seconds["medft, auto"])
    for name, answers in written.items():
        took, tokens = statistics.median(seconds[name]), sum(map(len, answers))
        same = sum(one == other for one, other in zip(answers, written["medft, auto"], strict=True))
        print(f"{name:<14}{took:7.1f} s {tokens / took:6.0f} tokens/s  medft is {took / ours:.2f} times as fast; "
              f"the same text in {same} of {len(answers)}", flush=True)  # fmt: skip


def load(config: Any, run: str | None) -> tuple[Any, Any]:
    if run:
        model = load_model(open_run(run, []))
        return model.network, model.tokenizer
    directory = resolve(config.model, config.paths.cache)
    tokenizer = load_tokenizer(config.model, directory)
    return build_model(config.model, directory, tokenizer, config.seed), tokenizer


@torch.inference_mode()
def ask(network: Any, prompts: Sequence[Sequence[int]], size: int, most: int) -> Answers:
    """The peer: batches of prompts sorted by length, padded on the left."""
    network.eval()
    pad, end = network.generation_config.pad_token_id, network.generation_config.eos_token_id
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    answers: dict[int, list[int]] = {}
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        longest = max(len(prompts[number]) for number in batch)
        ids = torch.tensor([[pad] * (longest - len(prompts[each])) + list(prompts[each]) for each in batch])
        mask = torch.tensor([[0] * (longest - len(prompts[each])) + [1] * len(prompts[each]) for each in batch])
        out = network.generate(input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False)
        for number, row in zip(batch, out[:, longest:].tolist(), strict=True):
            answers[number] = row[: row.index(end) + 1] if end in row else row
    return [answers[number] for number in range(len(prompts))]


if __name__ == "__main__":
    main()
