"""Batches: the samples of an optimizer step as micro-batches, padded or flattened, and what each predicts.

The two ways to lay samples out give the same losses and gradients. Both shift once: a batch names the places of
`input_ids` whose next token is learned, and these tokens; padding and, with `loss_on=response`, prompts are not among
them. Models are given no `labels`, so nothing is shifted a second time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch

from medft.data.samples import Sample

SMALLEST = 64  # tokens of a micro-batch


class SampleLengths:
    """The tokens of each sample of a flattened batch. No list: code is compiled anew for each length of one."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)


@dataclass(frozen=True)
class Batch:
    """What a model reads in one forward pass, and what it has to predict.

    Attributes:
        inputs: by keyword. `input_ids` of shape (rows, tokens), and what else the layout needs.
        places: (learned,) where in `input_ids`, row after row, the next token is learned.
        targets: (learned,) the ids of these tokens.
        tokens: how many it has, without padding.
    """

    inputs: dict[str, Any]
    places: torch.Tensor
    targets: torch.Tensor
    tokens: int

    @property
    def learned(self) -> int:
        """How many tokens are learned."""
        return len(self.targets)

    def to(self, device: torch.device) -> "Batch":
        """The same on a device; a GPU gets it while it computes something else."""

        def move(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                return value
            return value.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else value.to(device)

        inputs = {key: move(value) for key, value in self.inputs.items()}
        return Batch(inputs, move(self.places), move(self.targets), self.tokens)


Collate = Callable[[Sequence[Sample]], Batch]


class MicroBatches:
    """The custom collate: makes of the samples of an optimizer step batches of at most so many tokens.

    How many there are changes what a step costs, not what it learns: `CausalLM` adds their gradients up.

    Attributes:
        tokens_per_forward: of a batch, with its padding; a longer sample is a batch alone. None = all in one.
    """

    def __init__(self, kind: str, pad_token_id: int, tokens_per_forward: int | None = None) -> None:
        self.tokens_per_forward = tokens_per_forward
        self._is_padded = kind == "pad"
        self._lay_out: Collate = (lambda samples: pad(samples, pad_token_id)) if self._is_padded else flatten

    def __call__(self, samples: Sequence[Sample]) -> list[Batch]:
        """Lay the samples of a step out, the longest first if that takes several batches."""
        return [self._lay_out(group) for group in self._group(samples)]

    def halve(self) -> bool:
        """Make batches half as large from now on; returns whether they can be."""
        if self.tokens_per_forward is None or self.tokens_per_forward < 2 * SMALLEST:
            return False
        self.tokens_per_forward //= 2
        return True

    def _group(self, samples: Sequence[Sample]) -> list[list[Sample]]:
        if self.tokens_per_forward is None or self._count(samples) <= self.tokens_per_forward:
            return [list(samples)]
        groups: list[list[Sample]] = []
        for sample in sorted(samples, key=lambda each: -len(each.input_ids)):
            roomy = (group for group in groups if self._count([*group, sample]) <= self.tokens_per_forward)
            if group := next(roomy, None):
                group.append(sample)
            else:
                groups.append([sample])
        return groups

    def _count(self, samples: Sequence[Sample]) -> int:
        lengths = [len(sample.input_ids) - 1 for sample in samples]
        return max(lengths) * len(lengths) if self._is_padded else sum(lengths)


def pad(samples: Sequence[Sample], pad_token_id: int) -> Batch:
    """Make one row per sample, padded on the right to the longest.

    Returns:
        With `input_ids` and `attention_mask`, each of shape (samples, longest - 1).
    """
    length = max(len(sample.input_ids) for sample in samples) - 1
    input_ids = torch.full((len(samples), length), pad_token_id)
    attention_mask = torch.zeros((len(samples), length), dtype=torch.long)
    for row, sample in enumerate(samples):
        size = len(sample.input_ids) - 1
        input_ids[row, :size] = torch.tensor(sample.input_ids[:-1])
        attention_mask[row, :size] = 1
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    return _make_batch(inputs, samples, range(0, len(samples) * length, length))


def flatten(samples: Sequence[Sample]) -> Batch:
    """Concatenate all samples in one row without padding.

    Returns:
        With `input_ids` and `position_ids` (restarting at 0 with each sample) of shape (1, tokens);
        `sequence_lengths`, the tokens of each sample, and `cu_seqlens`, their running sum from 0 (int32, samples + 1),
        from which attention knows where a sample ends. No target crosses from one sample to the next.
    """
    lengths = [len(sample.input_ids) - 1 for sample in samples]
    ends = torch.cumsum(torch.tensor([0, *lengths]), dim=0)
    inputs = {
        "input_ids": torch.tensor([list(chain.from_iterable(sample.input_ids[:-1] for sample in samples))]),
        "position_ids": torch.tensor([list(chain.from_iterable(map(range, lengths)))]),
        "sequence_lengths": SampleLengths(lengths),
        "cu_seqlens": ends.to(torch.int32),
    }
    return _make_batch(inputs, samples, ends.tolist())


def _make_batch(inputs: dict[str, Any], samples: Sequence[Sample], starts: Sequence[int]) -> Batch:
    """A batch in which each sample starts at a place of its own."""
    places: list[int] = []
    targets: list[int] = []
    for start, sample in zip(starts, samples, strict=False):  # `flatten` also tells where the last one ends
        first = max(sample.supervised_from, 1)
        places.extend(range(start + first - 1, start + len(sample.input_ids) - 1))
        targets.extend(sample.input_ids[first:])
    tokens = sum(len(sample.input_ids) - 1 for sample in samples)
    return Batch(inputs, torch.tensor(places), torch.tensor(targets), tokens)
