"""The order of training rows."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler


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
        order += order[: len(self) * self.processes - self.rows]
        skip, self.skip = self.skip, 0
        yield from order[self.rank :: self.processes][skip:]
