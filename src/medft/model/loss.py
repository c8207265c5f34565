"""The loss of a batch, padded or flattened, and attention for flattened ones: each token sees only its own sample.

`flatten` (medft.data.batches) lays samples end to end in one row; a model set to this attention reads from the
forward keywords `sequence_lengths` and `cu_seqlens` where each sample ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cross_entropy, scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from medft.data.batches import Batch, SampleLengths, flatten, pad
from medft.data.samples import Sample
from medft.errors import ModelError
from medft.model.hardware import has_bfloat16
from medft.model.head import HeadLoss, read_head

ATTENTION_NAME = "medft_flat"
_SHORT, _BEYOND = 5, 8  # tokens of the sample that is checked; how many more than a sliding window has
_CLOSE = 1e-5  # relative, of sums of losses in float32


def supervised_loss(network: Any, batch: Batch) -> torch.Tensor:
    """Compute the sum of losses over the supervised tokens of a batch, in nats.

    The language-model head is computed only where something is supervised, and inside `keep_logits_out` in chunks.

    Args:
        network: a causal language model of transformers, or a peft model around one.
    """
    kept = {"logits_to_keep": batch.places} if len(batch.inputs["input_ids"]) == 1 else {}
    logits = network(**batch.inputs, use_cache=False, **kept).logits.flatten(0, 1)
    if not kept:
        logits = logits[batch.places]
    if head := read_head(network):
        weights: list[torch.Tensor | None] = [head.weight, head.bias]
        if not torch.is_grad_enabled():  # the function is told that a parameter needs its gradient in any case
            weights = [None if each is None else each.detach() for each in weights]
        loss: torch.Tensor = HeadLoss.apply(logits, *weights, batch.targets)  # type: ignore[no-untyped-call]
        return loss
    # at least single precision, and double where a test asks for it
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return cross_entropy(logits, batch.targets, reduction="sum")


def flat_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    sequence_lengths: SampleLengths,
    cu_seqlens: torch.Tensor,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each sample of a flattened row.

    Args:
        query: (1, heads, tokens, head size); `key` and `value` may have fewer heads (grouped queries).
        sequence_lengths: tokens of each sample; they add up to `tokens`.
        cu_seqlens: their running sum from 0, int32, on the same device.
        dropout: on the attention weights; the model passes 0.0 unless it trains.
        sliding_window: the tokens that one sees, itself included; None = all before it.

    Returns:
        (1, tokens, heads, head size), and None for the weights, which are not computed.

    Raises:
        ValueError: the model caps its scores (`softcap`) or has sinks (`s_aux`), which the kernels used here do not.
    """
    if softcap or s_aux is not None:
        raise ValueError(f"its attention has {'soft caps' if softcap else 'sinks'}")
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16) and not dropout and has_bfloat16(query.device):
        # one kernel for all samples: torch's variable-length attention (CUDA from Ampere on, 16 bit)
        from torch.nn.attention.varlen import varlen_attn

        q, k, v = (part[0].transpose(0, 1).contiguous() for part in (query, key, value))
        if (groups := q.shape[1] // k.shape[1]) > 1:
            k, v = (part.repeat_interleave(groups, dim=1) for part in (k, v))
        longest = max(sequence_lengths.tokens)
        causal = (sliding_window - 1 if sliding_window else -1, 0)  # so many before, -1 = all; nothing after
        out = varlen_attn(q, k, v, cu_seqlens, cu_seqlens, longest, longest, scale=scaling, window_size=causal)
        assert isinstance(out, torch.Tensor)
        return out.unsqueeze(0), None
    parts = (query, key, value)
    if query.device.type == "cpu" and query.dtype == torch.bfloat16:
        parts = (query.float(), key.float(), value.float())  # torch's kernel is slower in bfloat16 on short samples
    pieces = (torch.split(part, sequence_lengths.tokens, dim=2) for part in parts)
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    for q, k, v in zip(*pieces, strict=True):
        window = _mask_beyond(sliding_window, q) if sliding_window and q.shape[2] > sliding_window else None
        outputs.append(
            scaled_dot_product_attention(
                q, k, v, window, is_causal=window is None, scale=scaling, dropout_p=dropout, enable_gqa=grouped
            )
        )
    return torch.cat(outputs, dim=2).to(query.dtype).transpose(1, 2).contiguous(), None


def _mask_beyond(window: int, query: torch.Tensor) -> torch.Tensor:
    """Which keys each query sees, (tokens, tokens): itself and the `window` - 1 before it."""
    tokens = query.shape[2]
    seen = torch.ones((tokens, tokens), dtype=torch.bool, device=query.device)
    return seen.tril().triu(1 - window)


@contextmanager
def use_flat_attention(network: PreTrainedModel) -> Iterator[None]:
    """Inside this context the model reads flattened batches; after it, it generates as before."""
    before = network.config._attn_implementation
    AttentionInterface.register(ATTENTION_NAME, flat_attention)
    network.set_attn_implementation(ATTENTION_NAME)
    try:
        yield
    finally:
        network.set_attn_implementation(before)


def check_flat_attention(network: PreTrainedModel, max_length: int) -> None:
    """Check that a model computes the same from a flattened batch as from a padded one.

    Args:
        max_length: the most tokens of a sample; where a model's sliding window is shorter, one is read that is longer.

    Raises:
        ModelError: it does not, as its code has another kind of attention.
    """
    window = getattr(network.config, "sliding_window", None) or max_length
    longest = min(max_length, window + _BEYOND) if window < max_length else _SHORT
    samples = [Sample([5 + place % 7 for place in range(longest)], 1), Sample([8, 2, 6], 1)]
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            expected = supervised_loss(network, pad(samples, pad_token_id=0))
            with use_flat_attention(network):
                flattened = supervised_loss(network, flatten(samples))
    except (TypeError, ValueError) as error:
        raise ModelError(f"this model cannot read flattened batches ({error}): set dataset.collate=pad") from None
    finally:
        network.train(was_training)
    if not torch.allclose(flattened, expected, rtol=_CLOSE):
        raise ModelError("this model computes something else from flattened batches: set dataset.collate=pad")
