"""Training speed and memory of medft's two collates against transformers' Trainer, same model, same samples.

    python benchmarks/collate.py [--rows 96] [--repeats 3] [--medquad FILE.zip]

Each is trained for one epoch in a process of its own, in turn; medians are printed, and ratios to Trainer.
A GPT-2 of 4 layers, 256 wide, batch 8, loss on the answer, no dropout. Without --medquad the bundled data is used.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

KINDS = ("flatten", "pad", "transformers")
LENGTH = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--medquad", type=Path)
    parser.add_argument("--one", choices=KINDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(train(arguments.one, arguments.rows, arguments.medquad)))
        return
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for _ in range(arguments.repeats):
        for kind in KINDS:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", kind]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[kind].append(json.loads(out.splitlines()[-1]))
    peer = summary(found["transformers"])
    print(f"{'':14}{'tokens/s':>10}{'ratio':>8}{'peak MiB':>10}{'ratio':>8}{'first loss':>12}{'last loss':>11}")
    for kind, runs in found.items():
        row = summary(runs)
        print(
            f"{kind:14}{row['tokens_per_second']:10.0f}{row['tokens_per_second'] / peer['tokens_per_second']:8.2f}"
            f"{row['peak_mib']:10.0f}{row['peak_mib'] / peer['peak_mib']:8.2f}{row['first']:12.4f}{row['last']:11.4f}"
        )


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: median(run[key] for run in runs) for key in runs[0]}


def train(kind: str, rows: int, medquad: Path | None) -> dict[str, float]:
    """One epoch; peak memory is what training adds to the process."""
    import torch

    network, samples = build(rows, medquad)
    torch.manual_seed(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    losses, seconds = (with_trainer if kind == "transformers" else with_medft)(network, samples, kind)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    tokens = sum(len(sample.input_ids) for sample in samples)
    return {"tokens_per_second": tokens / seconds, "peak_mib": peak, "first": losses[0], "last": losses[-1]}


def build(rows: int, medquad: Path | None) -> tuple[Any, list[Any]]:
    from medft.config.compose import compose_config
    from medft.data.encode import Tokens, encode_examples
    from medft.data.samples import make_samples
    from medft.data.tokenizer import Gpt2Tokenizer
    from medft.experiment import read_splits
    from medft.model.build import build_model

    source = ["dataset=medquad", f"dataset.path={medquad.resolve()}"] if medquad else []
    shape = ["model.shape.n_layer=4", "model.shape.n_embd=256", "model.shape.n_head=4"]
    config = compose_config([*source, *shape, f"dataset.max_length={LENGTH}"])
    tokenizer = Gpt2Tokenizer()
    chosen = read_splits(config).train[:rows]
    tokens = Tokens.from_encoded(encode_examples(chosen, tokenizer, "alpaca"))
    samples, _ = make_samples(tokens, config.dataset, [])
    return build_model(config.model, None, tokenizer, 0).train(), list(samples)


def with_medft(network: Any, samples: list[Any], kind: str) -> tuple[list[float], float]:
    """Plain steps over medft's batches, what the LightningModule does without its logging."""
    import contextlib

    import torch

    from medft.data.batches import MicroBatches
    from medft.model.loss import supervised_loss, use_flat_attention

    collate = MicroBatches(kind, 50256)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    losses = []
    with use_flat_attention(network) if kind == "flatten" else contextlib.nullcontext():
        started = time.perf_counter()
        for first in range(0, len(samples), 8):
            [batch] = collate(samples[first : first + 8])
            loss = supervised_loss(network, batch) / batch.learned
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(float(loss))
    return losses, time.perf_counter() - started


def with_trainer(network: Any, samples: list[Any], kind: str) -> tuple[list[float], float]:
    """The same rows in the same order through transformers' Trainer and its padding collator."""
    import tempfile

    from torch.utils.data import SequentialSampler
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    from medft.data.tokenizer import Gpt2Tokenizer, OwnTokenizer

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    rows = [
        {"input_ids": each.input_ids, "attention_mask": [1] * len(each.input_ids),
         "labels": [-100] * each.supervised_from + each.input_ids[each.supervised_from :]}
        for each in samples
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        Gpt2Tokenizer().save(Path(folder))
        tokenizer = OwnTokenizer(Path(folder), None, 50256)._inner
        tokenizer.pad_token = tokenizer.eos_token
        settings = TrainingArguments(
            folder, per_device_train_batch_size=8, num_train_epochs=1, learning_rate=1e-3, lr_scheduler_type="constant",
            weight_decay=0.0, max_grad_norm=0.0, logging_steps=1, save_strategy="no", report_to=[], use_cpu=True,
            disable_tqdm=True, dataloader_pin_memory=False, adam_epsilon=1e-8,
        )  # fmt: skip
        trainer = InOrder(network, settings, DataCollatorForSeq2Seq(tokenizer, padding=True), rows)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    return [float(entry["loss"]) for entry in trainer.state.log_history if "loss" in entry], seconds


if __name__ == "__main__":
    main()
