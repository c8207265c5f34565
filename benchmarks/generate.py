"""How fast answers are written: tokens per second, against transformers' `generate` at several batch sizes.

    python -m benchmarks generate --medquad FILE.zip [--run RUN] [--questions 50] [--repeats 5] [--ways auto,8,...]

SmolLM2-135M, up to 256 tokens each, greedy, float32, the same questions in the same process; RUN = a finished run whose
model to ask instead. The ways: `auto` is medft, a number `generate` in batches of that size (in batches of 8 medft
wrote before it had a loop of its own), `CTranslate2` its generator at its own batching (extra [peers]).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from benchmarks._figure import draw_bars

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
    parser.add_argument("--ways", default="auto,8,16,50")
    parser.add_argument("--model", default="smollm2-135m", help="of conf/model; of others than the default its shape")
    parser.add_argument("--figure", type=Path, help="where to draw it: a PNG, PDF or SVG")
    arguments = parser.parse_args()
    config = compose_config([
        f"model={arguments.model}", *([] if arguments.model == "smollm2-135m" else ["model.source=null"]),
        "dataset=medquad", f"dataset.path={arguments.medquad}", "dataset.size=600",
        f"dataset.split.test={arguments.questions}", "judge=none",
    ])  # fmt: skip
    network, tokenizer = load(config, arguments.run)
    prompts = encode_prompts(read_splits(config).test, tokenizer, config.dataset.prompt)
    asked = arguments.ways.split(",")
    with tempfile.TemporaryDirectory() as folder:
        peer = convert(network, tokenizer, Path(folder)) if "CTranslate2" in asked else None
        ways: dict[str, Callable[[], Answers]] = {
            way: (lambda size=int(way): ask(network, prompts, size, config.generation.max_new_tokens))  # type: ignore[misc]
            for way in asked
            if way.isdecimal()
        }
        ways["CTranslate2"] = lambda: ask_peer(peer, prompts, config.generation.max_new_tokens)
        ways["auto"] = lambda: [each.token_ids for each in generate(network, prompts, config.generation, None, 0)]
        speeds = compare({name: ways[name] for name in asked}, arguments.repeats)
    if arguments.figure:
        title = f"Answers of {arguments.model}{' after fine-tuning' if arguments.run else ''}"
        draw_bars(speeds, title, arguments.figure)


def compare(ways: dict[str, Callable[[], Answers]], repeats: int) -> dict[str, float]:
    """Answer in each way, one after the other, so that a machine that slows down does so for all; returns tokens per
    second by way.
    """
    speeds: dict[str, float] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    written: dict[str, Answers] = {}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.perf_counter()
            written[name] = way()
            seconds[name].append(time.perf_counter() - began)
    ours = statistics.median(seconds["auto"])
    for name, answers in written.items():
        took, tokens = statistics.median(seconds[name]), sum(map(len, answers))
        same = sum(one == other for one, other in zip(answers, written["auto"], strict=True))
        label = f"generate, {name}" if name.isdecimal() else name
        speeds["medft" if name == "auto" else label] = tokens / took
        print(f"{label:<14}{took:7.1f} s {tokens / took:6.0f} tokens/s  medft is {took / ours:.2f} times as fast; "
              f"the same text in {same} of {len(answers)}", flush=True)  # fmt: skip
    return speeds


def load(config: Any, run: str | None) -> tuple[Any, Any]:
    if run:
        model = load_model(open_run(run, []))
        return model.network, model.tokenizer
    directory = resolve(config.model, config.paths.cache)
    tokenizer = load_tokenizer(config.model, directory)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return build_model(config.model, directory, tokenizer, config.seed).to(device), tokenizer


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
        ids = torch.tensor([[pad] * (longest - len(prompts[each])) + list(prompts[each]) for each in batch]).to(
            network.device
        )
        mask = torch.tensor([[0] * (longest - len(prompts[each])) + [1] * len(prompts[each]) for each in batch]).to(ids)
        out = network.generate(input_ids=ids, attention_mask=mask, max_new_tokens=most, do_sample=False)
        for number, row in zip(batch, out[:, longest:].tolist(), strict=True):
            answers[number] = row[: row.index(end) + 1] if end in row else row
    return [answers[number] for number in range(len(prompts))]


def convert(network: Any, tokenizer: Any, folder: Path) -> tuple[Any, Any]:
    """CTranslate2's generator of the model, and the tokens that it calls by their texts."""
    import ctranslate2
    from transformers import AutoTokenizer

    network.save_pretrained(folder / "model")
    tokenizer.save(folder / "model")
    out = ctranslate2.converters.TransformersConverter(str(folder / "model")).convert(str(folder / "out"))
    generator = ctranslate2.Generator(out, compute_type="float32", intra_threads=torch.get_num_threads())
    return generator, AutoTokenizer.from_pretrained(folder / "model")


def ask_peer(peer: Any, prompts: Sequence[Sequence[int]], most: int) -> Answers:
    generator, tokenizer = peer
    results = generator.generate_batch(
        [tokenizer.convert_ids_to_tokens(list(ids)) for ids in prompts], max_length=most, sampling_topk=1,
        include_prompt_in_result=False, return_end_token=True, end_token=[tokenizer.eos_token_id],
    )  # fmt: skip
    return [list(result.sequences_ids[0]) for result in results]


if __name__ == "__main__":
    main()
