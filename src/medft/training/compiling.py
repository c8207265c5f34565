"""`trainer.compile`: the layers of a model, compiled one by one.

All layers have the same code, which is compiled once for all of them; a whole model would take many times as long.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import AttentionInterface, PreTrainedModel

from medft.errors import ModelError
from medft.model.loss import ATTENTION_NAME, flat_attention

_BACKEND = "inductor"  # torch's own


@contextmanager
def compile_layers(network: PreTrainedModel) -> Iterator[None]:
    """Inside this context the layers are compiled when they first read a batch, for batches of any length.

    Raises:
        ModelError: the model keeps its layers in no list.
    """
    layers = find_layers(network)
    # compiled, it would be compiled anew for each number of samples in a batch; its own kernels are fast as they are
    AttentionInterface.register(ATTENTION_NAME, torch.compiler.disable(flat_attention))  # type: ignore[no-untyped-call]
    for layer in layers:
        layer.compile(backend=_BACKEND, dynamic=True)
    try:
        yield
    finally:
        AttentionInterface.register(ATTENTION_NAME, flat_attention)
        for layer in layers:
            layer._compiled_call_impl = None  # torch has no method for it


def find_layers(network: PreTrainedModel) -> torch.nn.ModuleList:
    """Find the list of a model's layers."""
    count = int(network.config.num_hidden_layers)
    for module in network.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module
    raise ModelError("trainer.compile=true: this model keeps its layers in no list")
