"""A step of writing on an NVIDIA GPU as a CUDA graph: recorded once, repeated for each token.

One token of each row takes hundreds of small kernels, which a processor starts more slowly than the GPU computes them.
A graph starts all of them at once, but repeats the same work on the same memory. So the cache lies still, the columns
that are not written yet are masked, and a graph is recorded for few sizes: rows rounded up to a power of two, columns
to a multiple of `_COLUMNS`.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from medft.evaluation.shared_cache import SharedCache

_COLUMNS = 256  # more of them are fewer graphs, and more masked columns that attention reads

Compute = Callable[[], Tensor]
Record = Callable[[Compute], tuple[Callable[[], None], Tensor]]  # how to repeat it, and where its result is then


class RecordedSteps:
    """The logits of the next token of each row, computed by graphs.

    Args:
        last, position, mask: of all places, as `generation.py` keeps them; they are read where they lie.
        record: makes of a computation one that is repeated.
    """

    def __init__(
        self, network: Any, cache: SharedCache, last: Tensor, position: Tensor, mask: Tensor, record: Record
    ) -> None:
        self._network, self._cache, self._record = network, cache, record
        self._last, self._position, self._mask = last, position, mask
        self._column = torch.zeros(1, dtype=torch.long, device=last.device)  # where the next token is written
        self._graphs: dict[tuple[int, int], tuple[Callable[[], None], Tensor]] = {}

    def compute(self) -> Tensor:
        """Compute the logits, (rows, vocabulary); they hold until the next step.

        Raises:
            RuntimeError: something in the model cannot be recorded.
        """
        cache = self._cache
        rows = min(1 << (cache.rows - 1).bit_length(), cache.places)
        columns = min(-(-(cache.filled + 1) // _COLUMNS) * _COLUMNS, cache.columns)
        # a place that is not in use sees its own token: attention to nothing is NaN, which would stay in the cache
        self._mask[cache.rows : rows, cache.filled] = True
        self._column.fill_(cache.filled)
        if (rows, columns) not in self._graphs:
            self._graphs[rows, columns] = self._record(lambda: self._compute(rows, columns))
        repeat, logits = self._graphs[rows, columns]
        repeat()
        return logits[: cache.rows]

    def _compute(self, rows: int, columns: int) -> Tensor:
        with self._cache.keep_still(rows, columns, self._column):
            logits: Tensor = self._network(
                input_ids=self._last[:rows, None], position_ids=self._position[:rows, None], use_cache=True,
                attention_mask=self._mask[:rows, None, None, :columns], past_key_values=self._cache,
            ).logits[:, -1]  # fmt: skip
        return logits


def can_record(network: Any) -> bool:
    """Whether a model's steps can be recorded: on an NVIDIA GPU, and all layers see all tokens before."""
    return network.device.type == "cuda" and not getattr(network.config, "sliding_window", None)


def record_graph(compute: Compute) -> tuple[Callable[[], None], Tensor]:
    """Record a CUDA graph of a computation that may be done twice."""
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):  # kernels are chosen the first time, which cannot be recorded
        compute()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        logits = compute()
    return graph.replay, logits
