"""The LightningDataModule: splits become samples, samples become batches, which a preview prints."""

from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Sampler
from typing_extensions import override

from medft.config.schema import Config
from medft.console import say, say_marked
from medft.data.batches import MicroBatches
from medft.data.encode import tokenize
from medft.data.samples import Sample, Samples, TruncationStats, make_samples
from medft.data.splits import Splits
from medft.data.tokenizer import Tokenizer
from medft.errors import InputError


class EpochOrder(Sampler[int]):
    """A new order each epoch that depends on (seed, epoch) only, so that a resumed run sees the same rows.

    With several processes each gets every n-th row of the same order, which is filled up with its own first rows so
    that all get the same number.
    """

    def __init__(self, rows: int, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.rows, self.seed, self.rank, self.processes = rows, seed, rank, processes
        self.epoch = 0
        self.skip = 0  # rows of the next pass that were already seen before an interruption

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.rows // self.processes)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + self.epoch) % 2**63)
        order = torch.randperm(self.rows, generator=generator).tolist()
        order = list(islice(cycle(order), len(self) * self.processes))
        skip, self.skip = self.skip, 0
        yield from order[self.rank :: self.processes][skip:]


class MedicalQA(LightningDataModule):
    """Training and validation batches of a data set.

    Attributes:
        splits: the rows; evaluation reads its test rows from here.
        tokens: the token ids of each split, whole.
        cuts: what `dataset.max_length` and `dataset.long_answers` truncated in training rows, and `measured_length` in
            validation rows.
        measured_length: tokens of a validation row that are read, as of a test row: `evaluation.max_length`, or a
            shorter model's context.
        rows_per_step: of training; the loaders give samples, as many as an optimizer step learns from.
        collate: makes micro-batches of them.
        keeps_micro_batches: whether a resumed run makes them as large as before.
    """

    def __init__(self, run: Config, splits: Splits, tokenizer: Tokenizer, context_length: int | None = None) -> None:
        """`context_length` is that of the model; None = it reads as much as it is asked to."""
        super().__init__()
        config, seed, cache = run.dataset, run.seed, run.paths.cache
        self.measured_length = min(run.evaluation.max_length, context_length or run.evaluation.max_length)
        self.config, self.splits, self.tokenizer, self.seed = config, splits, tokenizer, seed
        self.tokens = {name: tokenize(rows, tokenizer, config.prompt, cache) for name, rows in splits.parts().items()}
        mark = tokenizer.encode(config.continuation.mark)
        self.samples: dict[str, Samples] = {}
        self.cuts: dict[str, TruncationStats] = {}
        # validation is measured as the test is, whatever is trained on: runs with other settings can be compared by it
        measured = config.model_copy(update={"loss_on": "response", "max_length": self.measured_length})
        for name, settings, policy, key in (
            ("train", config, config.long_answers, "dataset.max_length"),
            ("validation", measured, "truncate", "evaluation.max_length"),
        ):
            self.samples[name], self.cuts[name] = make_samples(self.tokens[name], settings, mark, policy)
            if not self.cuts[name].samples:
                reason = "row is" if self.cuts[name].dropped else "prompt alone is as long or"
                raise InputError(
                    f"{key}={settings.max_length}: every {name} {reason} longer, no answer token is left to learn; "
                    "raise it"
                )
        self.rows_per_step = config.batch_size
        self.collate = MicroBatches(config.collate, tokenizer.pad_token_id)
        self.keeps_micro_batches = True
        self._resume_at = 0

    @override
    def train_dataloader(self) -> DataLoader[Sample]:
        rank, processes = _get_rank(self.trainer)
        order = EpochOrder(len(self.samples["train"]), self.seed, rank, processes)
        order.skip, self._resume_at = self._resume_at * self.rows_per_step, 0
        return self._loader(self.samples["train"], order, self.rows_per_step)

    @override
    def val_dataloader(self) -> DataLoader[Sample]:
        rank, processes = _get_rank(self.trainer)
        rows = self.samples["validation"]
        own = range(rank, len(rows), processes)
        if not own:  # Lightning would leave the validation out here, which the other processes wait for
            return DataLoader(rows, sampler=range(1), collate_fn=lambda _: [])
        return self._loader(rows, own, self.config.batch_size)

    @override
    def transfer_batch_to_device(self, batch: list[Sample], device: torch.device, dataloader_idx: int) -> list[Sample]:
        return batch  # its micro-batches are, one by one

    @override
    def state_dict(self) -> dict[str, Any]:
        assert self.trainer is not None
        # a checkpoint may be written before Lightning counts the step it follows as completed
        progress: Any = self.trainer.fit_loop.epoch_loop.batch_progress.current
        return {"batches_done": progress.processed, "tokens_per_forward": self.collate.tokens_per_forward}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self.keeps_micro_batches:  # others would round otherwise
            self.collate.tokens_per_forward = state_dict.get("tokens_per_forward", self.collate.tokens_per_forward)
        # a resumed run skips the batches of its epoch that were done before the interruption
        rows = -(-len(self.samples["train"]) // _get_rank(self.trainer)[1])  # of this process
        self._resume_at = state_dict["batches_done"] % -(-rows // self.rows_per_step)

    def _loader(self, samples: Samples, order: Sampler[int] | range, rows: int) -> DataLoader[Sample]:
        return DataLoader(
            samples,
            batch_size=rows,
            sampler=order,
            collate_fn=list,  # micro-batches are made where the memory is known that they may take
            # its own, so that making an iterator draws nothing from the run's random state
            generator=torch.Generator().manual_seed(self.seed),
        )


def preview(data: MedicalQA, split: str, rows: int) -> None:
    """Print every sample of the first rows of a split, as the model reads them, with the learned tokens marked."""
    samples, examples = data.samples[split], data.splits.parts()[split]
    say(f"{split}: {len(examples):,} rows, {len(samples):,} samples; learned tokens are green, or between ⟦ and ⟧")
    for number in range(min(rows, len(examples))):
        windows = samples.get_row_samples(number)
        total = len(data.tokens[split][number].answer)
        learned = sum(window.supervised for window in windows)
        say(f"\n{'─' * 8} row {number + 1}: {examples[number].id} ({examples[number].group})")
        say(f"{learned} tokens learned, the answer has {total}; {len(windows)} sample(s)")
        for place, window in enumerate(windows, 1):
            say(f"{'·' * 8} sample {place} of {len(windows)}: {len(window.input_ids)} tokens")
            border = len(window.input_ids) - window.supervised
            parts = (window.input_ids[:border], window.input_ids[border:])
            say_marked(*(data.tokenizer.decode(ids, with_special=True) for ids in parts))


def _get_rank(trainer: Any) -> tuple[int, int]:
    """(rank, processes) of this process."""
    return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
