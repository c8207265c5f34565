"""The language-model head and its loss, some rows at a time: the logits of a whole batch never are in memory.

A vocabulary of 50,000 makes the logits of 1,000 tokens 200 MB, and an ordinary cross entropy keeps several such
matrices for its backward pass. Here the gradients are computed with the loss, chunk by chunk, as in Liger Kernel's
fused linear cross entropy (Hsu et al. 2024, arXiv:2410.10989).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_CHUNK = {"cpu": 50 << 20, "cuda": 400 << 20, "mps": 100 << 20}  # bytes of the logits that are there at once


class HeadLoss(torch.autograd.Function):
    """The sum of the cross entropies of `hidden @ weight.T + bias` against `targets`, in nats.

    `hidden` is (tokens, width), `weight` (vocabulary, width), `bias` (vocabulary,) or None, `targets` (tokens,). The
    products are in the type that autocast asks for, all else in at least single precision.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
    ) -> torch.Tensor:
        """Compute the loss, and the gradients that will be asked for."""
        device = hidden.device.type
        product = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        exact = torch.promote_types(weight.dtype, torch.float32)
        if product == torch.float16:  # the gradients are made before the loss is scaled, and would be lost in it
            product = exact
        size = max(1, _CHUNK.get(device, _CHUNK["cpu"]) // (len(weight) * exact.itemsize))
        matrix = weight.to(product)
        needs_hidden, needs_weight, needs_bias, _ = ctx.needs_input_grad
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        grad_weight = torch.zeros_like(weight) if needs_weight else None
        grad_bias = torch.zeros_like(bias) if bias is not None and needs_bias else None
        loss = torch.zeros((), dtype=exact, device=hidden.device)
        with torch.autocast(device, enabled=False):
            for begin in range(0, len(hidden), size):
                rows = slice(begin, begin + size)
                states, wanted = hidden[rows].to(product), targets[rows].unsqueeze(1)
                logits = (states @ matrix.T).to(exact)
                if bias is not None:
                    logits += bias
                top = logits.amax(1, keepdim=True)
                loss += (top - logits.gather(1, wanted)).sum()
                exponentials = logits.sub_(top).exp_()
                sums = exponentials.sum(1, keepdim=True)
                loss += sums.log().sum()
                if not (needs_hidden or needs_weight or needs_bias):
                    continue
                # what the loss loses per logit: its probability, less one where it is the target's
                errors = exponentials.div_(sums)
                errors.scatter_add_(1, wanted, torch.full_like(sums, -1))
                if grad_bias is not None:
                    grad_bias += errors.sum(0)
                errors = errors.to(product)
                if grad_hidden is not None:
                    grad_hidden[rows] = errors @ matrix
                if grad_weight is not None:
                    if product == grad_weight.dtype:
                        grad_weight.addmm_(errors.T, states)
                    else:
                        grad_weight += errors.T @ states
        ctx.gradients = (grad_hidden, grad_weight, grad_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> Any:
        """Scale the gradients by what comes after the loss."""
        gradients, ctx.gradients = ctx.gradients, None
        return *(None if each is None else each.mul_(outer[0]) for each in gradients), None


@contextmanager
def keep_logits_out(network: Any) -> Iterator[None]:
    """Inside this context the model returns, as its logits, what its head reads, where its loss can be had from that:
    `read_head` tells. Models that do more with their logits, as to cap them, stay as they are.
    """
    head = network.get_output_embeddings()
    if type(head) is not torch.nn.Linear:
        yield
        return
    head.__dict__["forward"] = lambda hidden: hidden  # shadows the class's own, for this module only
    try:
        if not _returns_what_the_head_does(network, head):
            del head.__dict__["forward"]
        yield
    finally:
        head.__dict__.pop("forward", None)


def read_head(network: Any) -> torch.nn.Linear | None:
    """The head that `supervised_loss` has to apply to what the model returns; None = the model has done so."""
    head = network.get_output_embeddings()
    return head if head is not None and "forward" in head.__dict__ else None


def _returns_what_the_head_does(network: Any, head: torch.nn.Linear) -> bool:
    """Whether a model returns the very tensor that its head gives it."""
    given: list[torch.Tensor] = []
    hook = head.register_forward_hook(lambda module, inputs, output: given.append(output))
    try:
        with torch.no_grad(), torch.random.fork_rng():
            returned = network(input_ids=torch.zeros((1, 2), dtype=torch.long, device=head.weight.device)).logits
    finally:
        hook.remove()
    return len(given) == 1 and returned is given[0]
