"""The loss of a batch, padded or flattened."""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from medft.data.collate import IGNORE_INDEX, Batch


def supervised_loss(network: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the sum of losses over the supervised tokens of a batch, and their number.

    Args:
        network: a causal language model of transformers, or a peft model around one.
        batch: from `medft.data.collate`; its labels are already shifted.

    Returns:
        (sum of cross entropies in nats, number of tokens), both scalars. In a flattened batch the language-model
        head is computed only where something is supervised.
    """
    labels: torch.Tensor = batch["labels"]
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    supervised = labels != IGNORE_INDEX
    if labels.shape[0] == 1:
        positions = supervised[0].nonzero().squeeze(1)
        logits = network(**inputs, use_cache=False, logits_to_keep=positions).logits[0]
    else:
        logits = network(**inputs, use_cache=False).logits[supervised]
    # at least single precision, and double where a test asks for it
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return cross_entropy(logits, labels[supervised], reduction="sum"), supervised.sum()
