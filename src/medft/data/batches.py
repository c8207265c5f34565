"""Batches: samples side by side, padded, or end to end, flattened.

The two ways give the same losses and gradients. Both shift once: position t of `labels` is the
token that position t of `input_ids` has to predict, or IGNORE_INDEX where nothing is learned (padding, or the prompt
with `loss_on=response`). Models are given no `labels`, so nothing is shifted a second time.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import torch

from medft.data.samples import Sample

IGNORE_INDEX = -100  # what torch's cross entropy leaves out

Batch = dict[str, Any]


def make_collate(kind: str, pad_token_id: int) -> Callable[[Sequence[Sample]], Batch]:
    """The collate that `dataset.collate` names: `flatten` or `pad`."""
    return flatten if kind == "flatten" else lambda samples: pad(samples, pad_token_id)


def pad(samples: Sequence[Sample], pad_token_id: int) -> Batch:
    """Make one row per sample, padded on the right to the longest.

    Returns:
        `input_ids`, `attention_mask` and `labels`, each of shape (samples, longest - 1).
    """
    length = max(len(sample.input_ids) for sample in samples) - 1
    input_ids = torch.full((len(samples), length), pad_token_id)
    labels = torch.full((len(samples), length), IGNORE_INDEX)
    attention_mask = torch.zeros((len(samples), length), dtype=torch.long)
    for row, sample in enumerate(samples):
        inputs, targets = _shift(sample)
        input_ids[row, : len(inputs)] = torch.tensor(inputs)
        labels[row, : len(inputs)] = torch.tensor(targets)
        attention_mask[row, : len(inputs)] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}


def flatten(samples: Sequence[Sample]) -> Batch:
    """Concatenate all samples in one row without padding.

    Returns:
        `input_ids`, `position_ids` (restarting at 0 with each sample) and `labels`, of shape (1, tokens);
        `sequence_lengths`, the tokens of each sample, and `cu_seqlens`, their running sum from 0 (int32, samples + 1),
        from which attention knows where a sample ends. No label crosses from one sample to the next.
    """
    inputs, labels = zip(*map(_shift, samples), strict=True)
    lengths = [len(ids) for ids in inputs]
    return {
        "input_ids": torch.tensor([list(chain.from_iterable(inputs))]),
        "position_ids": torch.tensor([list(chain.from_iterable(map(range, lengths)))]),
        "labels": torch.tensor([list(chain.from_iterable(labels))]),
        "sequence_lengths": lengths,
        "cu_seqlens": torch.cumsum(torch.tensor([0, *lengths]), dim=0).to(torch.int32),
    }


def _shift(sample: Sample) -> tuple[list[int], list[int]]:
    """Return the inputs and what each has to predict: the next token, if that one is supervised."""
    ids, first = sample.input_ids, max(sample.supervised_from, 1)
    return ids[:-1], [IGNORE_INDEX] * (first - 1) + ids[first:]
