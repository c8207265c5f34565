"""Training speed and memory through medft against transformers' Trainer and TRL: same model, same samples and batches.

    python -m benchmarks train --medquad FILE.zip [--rows 96] [--length 512] [--repeats 5] [--ways ...]
        [--figure FILE.png]

SmolLM2-135M, one epoch, batch 8, loss on the answer; each way in a process of its own, in turn, so that a machine that
slows down does so for all. medft is `medft.training.fit` with its validation of a few rows, Trainer is `train()` with
its padding collator and no validation, TRL the SFTTrainer with `padding_free` or `packing` (extra [peers]). Printed are
medians: tokens per second of the whole call, without padding, the ratio to the first way, the share of the machine's
products that this is (MFU), and the peak memory of the whole process or of the GPU.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks._command import measure_alone, take_medians
from benchmarks._figure import draw_bars

WAYS = ("Trainer-float32", "Trainer-bf16", "medft-float32", "medft-bf16")
MORE = ("medft-pad", "TRL-bf16", "TRL-float32", "TRLpacked-bf16", "TRLpacked-float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medquad", required=True)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--model", default="smollm2-135m", help="of conf/model; of others than the default its shape")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--longest", type=int, default=0, help="put one sample of so many tokens among the others")
    parser.add_argument("--figure", type=Path, help="where to draw it: a PNG, PDF or SVG")
    parser.add_argument("--one", choices=WAYS + MORE, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(train(arguments)))
        return
    ways = arguments.ways.split(",")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(arguments.repeats):
        for way in ways:
            found[way].append(measure_alone("benchmarks.train", *sys.argv[1:], "--one", way))
            print(f"{way}: {found[way][-1]}", file=sys.stderr, flush=True)
    peer = take_medians(found[ways[0]])
    print(f"{'':18}{'tokens/s':>10}{'ratio':>8}{'MFU':>7}{'peak MiB':>10}{'ratio':>8}{'last loss':>11}")
    for way, runs in found.items():
        row = take_medians(runs)
        print(f"{way:18}{row['speed']:10.0f}{row['speed'] / peer['speed']:8.2f}{row['mfu']:7.0%}"
              f"{row['peak']:10.0f}{row['peak'] / peer['peak']:8.2f}{row['last']:11.4f}")  # fmt: skip
    if arguments.figure:
        speeds = {way: take_medians(runs)["speed"] for way, runs in found.items()}
        draw_bars(
            speeds, f"Training {arguments.model}, {arguments.rows} rows, batch {arguments.batch}", arguments.figure
        )


def train(arguments: argparse.Namespace) -> dict[str, float]:
    """One epoch in this process."""
    import torch

    from medft.config.compose import compose_config
    from medft.data.module import MedicalQA
    from medft.data.tokenizer import load_tokenizer
    from medft.model.build import build_model
    from medft.model.flops import count_training_flops, measure_peak_flops
    from medft.model.sources.resolve import resolve
    from medft.runs.splits import read_splits

    system, _, kind = arguments.one.partition("-")
    with tempfile.TemporaryDirectory() as folder:
        config = compose_config([
            f"model={arguments.model}", *([] if arguments.model == "smollm2-135m" else ["model.source=null"]),
            "dataset=medquad", f"dataset.path={arguments.medquad}",
            f"dataset.size={arguments.rows + 8}", "dataset.split.validation=4", "dataset.split.test=4",
            f"dataset.max_length={arguments.length}", f"dataset.batch_size={arguments.batch}", "judge=none",
            "trainer.max_epochs=1", "trainer.val_checks_per_epoch=1",
            f"trainer.precision={'bf16-mixed' if kind == 'bf16' else '32-true'}",
            f"dataset.collate={'pad' if kind == 'pad' else 'flatten'}", f"paths.output_dir={folder}",
        ])  # fmt: skip
        directory = resolve(config.model, config.paths.cache)
        tokenizer = load_tokenizer(config.model, directory)
        data = MedicalQA(config, read_splits(config), tokenizer)
        network = build_model(config.model, directory, tokenizer, config.seed)
        if arguments.longest:
            data.samples["train"] = WithALongOne(data.samples["train"], arguments.longest)  # type: ignore[assignment]
        tokens = int((data.samples["train"].lengths - 1).sum())
        flops = count_training_flops(network, data.samples["train"]) if not arguments.longest else 0
        if torch.cuda.is_available():
            torch.zeros(1).cuda()  # a GPU's start is not part of the training
        began = time.perf_counter()
        last = {"medft": with_medft, "Trainer": with_trainer}.get(system, with_trl)(
            config, network, data, arguments.one
        )
        speed = tokens / (time.perf_counter() - began)
        last, in_steps = last if isinstance(last, tuple) else (last, speed)
    gpu = torch.cuda.is_available()
    peak = (
        torch.cuda.max_memory_allocated() / 2**20 if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    most = measure_peak_flops("cuda" if gpu else "cpu", "bf16-mixed" if kind == "bf16" else "32-true")
    return {"speed": speed, "peak": peak, "last": last, "steps": in_steps, "mfu": speed * flops / most if most else 0.0}


class WithALongOne(list[Any]):
    """Samples, of which one in the middle is that long."""

    def __init__(self, samples: Any, longest: int) -> None:
        super().__init__(samples)
        middle = self[len(self) // 2]
        ids = (middle.input_ids * longest)[: longest + 1]
        self[len(self) // 2] = middle._replace(input_ids=ids)
        self.lengths = np.array([len(each.input_ids) for each in self])

    def count_learned(self) -> int:
        return sum(each.supervised for each in self)


def with_medft(config: Any, network: Any, data: Any, _: str) -> tuple[float, float]:
    """The last loss, and the tokens per second of all steps but the first two, without start-up and validation."""
    from pytorch_lightning.loggers import Logger

    from medft.training.fit import fit

    class Last(Logger):
        name, version = "last", "0"

        def __init__(self) -> None:
            super().__init__()
            self.loss = 0.0
            self.told: list[float] = []  # when each step was told of, which is in the one after it

        def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
            self.loss = metrics.get("train/loss", self.loss)
            if "train/loss" in metrics:
                self.told.append(time.perf_counter())

        def log_hyperparams(self, *_: object) -> None: ...

    logger = Last()
    fit(config, network, data, logger)
    # the last one is told of after the training
    learned = in_order(config, data)[2 * config.dataset.batch_size :]
    tokens = sum(len(sample.input_ids) - 1 for sample in learned)
    return logger.loss, tokens / (logger.told[-2] - logger.told[0])


def with_trainer(config: Any, network: Any, data: Any, way: str) -> float:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    rows = [
        {"input_ids": each.input_ids, "attention_mask": [1] * len(each.input_ids),
         "labels": [-100] * each.supervised_from + each.input_ids[each.supervised_from :]}
        for each in in_order(config, data)
    ]  # fmt: skip
    collator = DataCollatorForSeq2Seq(get_tokenizer(data), padding=True)
    settings = TrainingArguments(config.paths.output_dir, **list_settings(config, way))
    return train_in_order(Trainer, network, settings, data_collator=collator, train_dataset=rows)


def with_trl(config: Any, network: Any, data: Any, way: str) -> float:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_list([
        {"input_ids": each.input_ids,
         "completion_mask": [int(place >= each.supervised_from) for place in range(len(each.input_ids))]}
        for each in in_order(config, data)
    ])  # fmt: skip
    packs = way.startswith("TRLpacked")
    settings = SFTConfig(
        config.paths.output_dir, **list_settings(config, way), packing=packs,
        max_length=config.dataset.max_length if packs else None,  # the samples have it already
        padding_free=not packs, completion_only_loss=True, gradient_checkpointing=False,
    )  # fmt: skip
    return train_in_order(SFTTrainer, network, settings, train_dataset=rows, processing_class=get_tokenizer(data))


def in_order(config: Any, data: Any) -> list[Any]:
    """The samples as medft's first epoch has them."""
    from medft.data.module import EpochOrder

    samples = data.samples["train"]
    order = EpochOrder(len(samples), config.seed)
    order.set_epoch(0)
    return [samples[number] for number in order]


def get_tokenizer(data: Any) -> Any:
    """The run's tokenizer, as transformers has it."""
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        data.tokenizer.save(Path(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return tokenizer


def list_settings(config: Any, way: str) -> dict[str, Any]:
    import torch

    return {
        "per_device_train_batch_size": config.dataset.batch_size, "num_train_epochs": 1, "logging_steps": 1,
        "learning_rate": config.optimizer.lr, "save_strategy": "no", "report_to": [], "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(), "bf16": way.endswith("bf16"), "dataloader_pin_memory": False,
    }  # fmt: skip


def train_in_order(kind: Any, network: Any, settings: Any, **more: Any) -> float:
    from torch.utils.data import SequentialSampler

    class InOrder(kind):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    trainer = InOrder(network, settings, **more)
    trainer.train()
    return float([entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1])


if __name__ == "__main__":
    main()
