"""The LightningDataModule: splits become samples, samples become batches."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch.utils.data import DataLoader, Sampler
from typing_extensions import override

from medft.config.schema import DatasetConfig
from medft.data.collate import Collate, make_collate
from medft.data.encode import tokenize
from medft.data.sampler import EpochOrder
from medft.data.samples import Sample, Samples, TruncationStats, make_samples
from medft.data.splits import Splits
from medft.data.tokenizer import Tokenizer
from medft.errors import InputError


class MedicalQA(LightningDataModule):
    """Training and validation batches of a data set.

    Attributes:
        splits: the rows; evaluation reads its test rows from here.
        tokens: the token ids of each split, whole.
        cuts: what `dataset.max_length` and `dataset.long_answers` truncated in training and validation rows.
    """

    def __init__(self, config: DatasetConfig, splits: Splits, tokenizer: Tokenizer, seed: int, cache: Path) -> None:
        super().__init__()
        self.config, self.splits, self.tokenizer, self.seed = config, splits, tokenizer, seed
        self.tokens = {name: tokenize(rows, tokenizer, config.prompt, cache) for name, rows in splits.parts().items()}
        mark = tokenizer.encode(config.continuation.mark)
        self.samples: dict[str, Samples] = {}
        self.cuts: dict[str, TruncationStats] = {}
        # validation is truncated under every policy, or the losses of runs with different ones were not comparable
        for name, policy in (("train", config.long_answers), ("validation", "truncate")):
            self.samples[name], self.cuts[name] = make_samples(self.tokens[name], config, mark, policy)
            if not self.cuts[name].samples:
                reason = "row is" if self.cuts[name].dropped else "prompt alone is as long or"
                raise InputError(
                    f"dataset.max_length={config.max_length}: every {name} {reason} longer, no answer token is left to "
                    "learn; raise it"
                )
        self._collate: Collate = make_collate(config.collate, tokenizer.pad_token_id)
        self._order: EpochOrder | None = None
        self._resume_at = 0

    def count_train_batches(self, processes: int = 1) -> int:
        """Count the micro-batches of one epoch in one process."""
        rows = -(-len(self.samples["train"]) // processes)
        return -(-rows // self.config.batch_size)

    @override
    def train_dataloader(self) -> DataLoader[Sample]:
        rank, processes = _get_rank(self.trainer)
        self._order = EpochOrder(len(self.samples["train"]), self.seed, rank, processes)
        self._order.skip, self._resume_at = self._resume_at * self.config.batch_size, 0
        return self._loader(self.samples["train"], self._order)

    @override
    def val_dataloader(self) -> DataLoader[Sample]:
        rank, processes = _get_rank(self.trainer)
        rows = self.samples["validation"]
        return self._loader(rows, range(rank, len(rows), processes) or range(1))

    @override
    def state_dict(self) -> dict[str, Any]:
        assert self.trainer is not None
        return {"batches_done": self.trainer.fit_loop.epoch_loop.batch_progress.current.completed}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # a resumed run skips the batches of its epoch that were done before the interruption
        self._resume_at = state_dict["batches_done"] % self.count_train_batches(_get_rank(self.trainer)[1])

    def _loader(self, samples: Samples, order: Sampler[int] | range) -> DataLoader[Sample]:
        return DataLoader(
            samples,
            batch_size=self.config.batch_size,
            sampler=order,
            collate_fn=self._collate,
            # its own, so that making an iterator draws nothing from the run's random state
            generator=torch.Generator().manual_seed(self.seed),
        )


def _get_rank(trainer: Any) -> tuple[int, int]:
    """(rank, processes) of this process."""
    return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
