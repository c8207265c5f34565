"""Training speed and memory through medft against transformers' Trainer: same model, same samples, same batches.

    python -m benchmarks train --medquad FILE.zip [--rows 96] [--length 512] [--repeats 5] [--ways medft-float32,...]

SmolLM2-135M, one epoch, batch 8, loss on the answer; each way in a process of its own, in turn, so that a machine that
slows down does so for all. medft is `medft.training.fit` with its validation of a few rows, Trainer is `train()` with
its padding collator and no validation. Printed are medians: tokens per second of the whole call, without padding, the
ratio to Trainer in float32, and the peak memory of the whole process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median
from typing import Any

WAYS = ("medft-float32", "medft-bf16", "medft-pad", "Trainer-float32", "Trainer-bf16")
PEER = "Trainer-float32"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medquad", required=True)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--longest", type=int, default=0, help="put one sample of so many tokens among the others")
    parser.add_argument("--one", choices=WAYS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(train(arguments)))
        return
    ways = arguments.ways.split(",")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(arguments.repeats):
        for way in ways:
            command = [sys.executable, "-m", "benchmarks.train", *sys.argv[1:], "--one", way]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[way].append(json.loads(out.splitlines()[-1]))
    peer = summary(found.get(PEER) or found[ways[0]])
    print(f"{'':16}{'tokens/s':>10}{'ratio':>8}{'peak MiB':>10}{'ratio':>8}{'last loss':>11}")
    for way, runs in found.items():
        row = summary(runs)
        print(f"{way:16}{row['speed']:10.0f}{row['speed'] / peer['speed']:8.2f}"
              f"{row['peak']:10.0f}{row['peak'] / peer['peak']:8.2f}{row['last']:11.4f}")  # fmt: skip


def summary(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: median(run[key] for run in runs) for key in runs[0]}


def train(arguments: argparse.Namespace) -> dict[str, float]:
    """One epoch in this process."""
    from medft.config.compose import compose_config
    from medft.data.module import MedicalQA
    from medft.data.tokenizer import load_tokenizer
    from medft.model.build import build_model
    from medft.model.sources.resolve import resolve
    from medft.runs.splits import read_splits

    system, _, kind = arguments.one.partition("-")
    with tempfile.TemporaryDirectory() as folder:
        config = compose_config([
            f"model={arguments.model}", "dataset=medquad", f"dataset.path={arguments.medquad}",
            f"dataset.size={arguments.rows + 8}", "dataset.split.validation=4", "dataset.split.test=4",
            f"dataset.max_length={arguments.length}", "dataset.batch_size=8", "trainer.max_epochs=1", "judge=none",
            "trainer.val_checks_per_epoch=1", f"trainer.precision={'bf16-mixed' if kind == 'bf16' else '32-true'}",
            f"dataset.collate={'pad' if kind == 'pad' else 'flatten'}", f"paths.output_dir={folder}",
        ])  # fmt: skip
        directory = resolve(config.model, config.paths.cache)
        tokenizer = load_tokenizer(config.model, directory)
        data = MedicalQA(config.dataset, read_splits(config), tokenizer, config.seed, config.paths.cache)
        network = build_model(config.model, directory, tokenizer, config.seed)
        if arguments.longest:
            data.samples["train"] = WithALongOne(data.samples["train"], arguments.longest)
        tokens = sum(len(sample.input_ids) - 1 for sample in data.samples["train"])
        began = time.perf_counter()
        last = with_medft(config, network, data) if system == "medft" else with_trainer(config, network, data, kind)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"speed": tokens / seconds, "peak": peak, "last": last}


class WithALongOne(list[Any]):
    """Samples, of which one in the middle is that long."""

    def __init__(self, samples: Any, longest: int) -> None:
        super().__init__(samples)
        middle = self[len(self) // 2]
        ids = (middle.input_ids * longest)[: longest + 1]
        self[len(self) // 2] = middle._replace(input_ids=ids)


def with_medft(config: Any, network: Any, data: Any) -> float:
    from pytorch_lightning.loggers import Logger

    from medft.training.fit import fit

    class Last(Logger):
        name, version, loss = "last", "0", 0.0

        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            self.loss = metrics.get("train/loss", self.loss)

        def log_hyperparams(self, *_: object) -> None: ...

    logger = Last()
    fit(config, network, data, logger)
    return logger.loss


def with_trainer(config: Any, network: Any, data: Any, kind: str) -> float:
    from torch.utils.data import SequentialSampler
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    from medft.data.module import EpochOrder

    samples = data.samples["train"]
    order = EpochOrder(len(samples), config.seed)
    order.set_epoch(0)

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    rows = [
        {"input_ids": each.input_ids, "attention_mask": [1] * len(each.input_ids),
         "labels": [-100] * each.supervised_from + each.input_ids[each.supervised_from :]}
        for each in (samples[number] for number in order)
    ]  # fmt: skip
    tokenizer = data.tokenizer._inner
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    settings = TrainingArguments(
        config.paths.output_dir, per_device_train_batch_size=8, num_train_epochs=1, learning_rate=config.optimizer.lr,
        logging_steps=1, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, bf16=kind == "bf16",
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = InOrder(network, settings, DataCollatorForSeq2Seq(tokenizer, padding=True), rows)
    trainer.train()
    return float([entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1])


if __name__ == "__main__":
    main()
