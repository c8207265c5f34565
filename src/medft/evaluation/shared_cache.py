"""The key-value cache that all questions share which are answered at once (`generation.py`).

All rows end at the same column:

    column      0 1 2 3 4 5 6 7
    place 0     q q q q q a a a
    place 1     . . q q q a a a      . = masked: what another row had left there, or nothing
    place 2     . . . . . q q a      a question that came in later

The next token of each row is written into the next column, in place. The rows in use stay together: the last one takes
the place of one that has ended.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin
from typing_extensions import override


class _Layer(CacheLayerMixin):  # type: ignore[misc]  # transformers has no types for it
    """Keys and values of one layer for all places, of which a forward pass sees those in use."""

    is_sliding = False

    def __init__(self, cache: "SharedCache") -> None:
        super().__init__()
        self._cache = cache

    @override
    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        shape = (self._cache.places, key_states.shape[1], self._cache.columns)
        self.keys = key_states.new_zeros((*shape, key_states.shape[3]))
        self.values = value_states.new_zeros((*shape, value_states.shape[3]))
        self.is_initialized = True

    @override
    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        assert self.keys is not None
        assert self.values is not None
        if still := self._cache.still:
            rows, columns, column = still
            self.keys[:rows].index_copy_(2, column, key_states)
            self.values[:rows].index_copy_(2, column, value_states)
            return self.keys[:rows, :, :columns], self.values[:rows, :, :columns]
        rows, at = self._cache.rows, self._cache.filled
        self.keys[:rows, :, at : at + 1] = key_states
        self.values[:rows, :, at : at + 1] = value_states
        return self.keys[:rows, :, : at + 1], self.values[:rows, :, : at + 1]

    @override
    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self._cache.filled + query_length, 0

    @override
    def get_seq_length(self) -> int:
        return self._cache.filled

    @override
    def get_max_length(self) -> int:
        return self._cache.columns


class SharedCache(Cache):  # type: ignore[misc]
    """The cache of all places: `rows` of them are in use, `filled` columns are written."""

    def __init__(self, layers: int, places: int, columns: int) -> None:
        self.places, self.columns, self.rows, self.filled = places, columns, 0, 0
        self.still: tuple[int, int, Tensor] | None = None
        super().__init__(layers=[_Layer(self) for _ in range(layers)])

    @contextmanager
    def keep_still(self, rows: int, columns: int, column: Tensor) -> Iterator[None]:
        """Inside this context a forward pass reads and writes the same memory, however much of it is in use.

        Args:
            rows, columns: that it reads.
            column: (1,) where it writes.
        """
        self.still = (rows, columns, column)
        try:
            yield
        finally:
            self.still = None

    def admit(self, read: DynamicCache) -> None:
        """Take in what was read of questions, in the next places; it ends at the last column that is filled."""
        first, count = self.filled - read.get_seq_length(), read.layers[0].keys.shape[0]
        for layer, new in zip(self.layers, read.layers, strict=True):
            if not layer.is_initialized:
                layer.lazy_initialization(new.keys, new.values)
            layer.keys[self.rows : self.rows + count, :, first : self.filled] = new.keys
            layer.values[self.rows : self.rows + count, :, first : self.filled] = new.values
        self.rows += count

    def release(self, place: int) -> None:
        """Give the place to the last row."""
        self.rows -= 1
        if place != self.rows:
            for layer in self.layers:
                layer.keys[place, :, : self.filled] = layer.keys[self.rows, :, : self.filled]
                layer.values[place, :, : self.filled] = layer.values[self.rows, :, : self.filled]

    def make_room(self, unused: int) -> None:
        """Move everything to the left, over columns that no row uses any more."""
        for layer in self.layers:
            for part in (layer.keys, layer.values):
                part[: self.rows, :, : self.filled - unused] = part[: self.rows, :, unused : self.filled].clone()
        self.filled -= unused
