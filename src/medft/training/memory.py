"""How many tokens a forward pass reads, by the memory that is free: measured on the model itself before it trains."""

import ctypes
import gc
import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import PreTrainedModel

from medft.config.schema import Config, SgdConfig
from medft.console import note
from medft.data.batches import SMALLEST, MicroBatches
from medft.data.samples import Sample
from medft.model.build import count_parameters, get_context_length
from medft.model.head import read_head
from medft.model.loss import supervised_loss
from medft.training.precision import choose_precision
from medft.training.space import BYTES_PER_NUMBER

_ENOUGH = {"cpu": 384, "cuda": 16384, "mps": 2048}  # tokens; products with more rows are hardly faster
_LONG = 1.5  # times `tokens_per_forward`: a sample that is longer would decide alone what memory a training takes
_SHARE = 0.8  # of what is free is planned with; the rest is for what is not counted here
_PROBE = 128  # tokens
_PROCESS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")

# oneDNN makes products in bfloat16 for one shape each and keeps the last 1,024: with batches of ever new lengths these
# took 1.1 GB of SmolLM2-135M's training. To make them anew takes no time that could be measured.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")  # read when the first product is made
os.environ.setdefault("LRU_CACHE_CAPACITY", "64")  # the same of torch's bridge to it


@dataclass(frozen=True)
class MemoryPlan:
    """How a training keeps to the memory that is free.

    Attributes:
        tokens_per_forward: of a forward pass, with its padding; one sample is read in any case.
        recompute_above: of batches with more tokens the layers' activations are computed again in the backward pass,
            not kept (gradient checkpointing). 0 = of all, None = of none.
        peak: bytes that the training is estimated to take beside the weights, at most.
    """

    tokens_per_forward: int
    recompute_above: int | None
    peak: float


def plan_memory(config: Config, network: PreTrainedModel, tuned: Any, device: str, collate: MicroBatches) -> MemoryPlan:
    """Plan the memory of a training, where the config says `auto` by what is free.

    Args:
        network: the model, still on the CPU, in the attention it trains with.
        tuned: the same with its adapters, if there are any.
        collate: as the training has it.
    """
    settings = config.trainer
    precision = choose_precision(settings)
    longest = min(config.dataset.max_length, get_context_length(network))
    lengths = (min(_PROBE, longest) // 2, min(_PROBE, longest))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision.endswith("mixed")):
        few, many = (_count_kept(tuned, collate, tokens) for tokens in lengths)
    per_token = max(1.0, (many - few) / (lengths[1] - lengths[0]))
    number = BYTES_PER_NUMBER * (2 if precision == "64-true" else 1)
    parameters = count_parameters(tuned)
    states = int(config.optimizer.momentum > 0) if isinstance(config.optimizer, SgdConfig) else 2
    # gradients, the states of the optimizer, the gradient of the head, what any pass keeps; besides, on a CPU
    # the best weights, on a GPU the weights themselves
    copies = parameters["trainable"] if device == "cpu" else parameters["total"]
    largest = max(each.numel() for each in tuned.parameters())
    fixed = number * (parameters["trainable"] * (1 + states) + copies + largest)
    fixed += max(0.0, few - per_token * lengths[0])
    sharing = settings.devices if device == "cpu" else 1  # processes of one machine
    free = measure_free(device) * _SHARE / sharing - fixed
    enough = _ENOUGH.get(device, _ENOUGH["cpu"])
    checkpointing = settings.gradient_checkpointing
    if not network.supports_gradient_checkpointing and checkpointing == "auto":
        checkpointing = False
    layers = int(network.config.num_hidden_layers)
    # what each layer begins with stays, and one layer has all of its own
    recomputed = min(per_token, per_token / layers + network.config.hidden_size * number * layers)
    recomputes = checkpointing
    if recomputes == "auto":
        asked = settings.tokens_per_forward
        recomputes = free < per_token * (min(enough, longest) if asked == "auto" else asked)
    cost = recomputed if recomputes else per_token
    if settings.tokens_per_forward == "auto":
        tokens = enough
        while tokens > SMALLEST and tokens * cost > free:
            tokens = max(SMALLEST, tokens // 2)
    else:
        tokens = settings.tokens_per_forward
    if recomputes and checkpointing == "auto":
        note("little memory is free: activations are computed again, not kept (trainer.gradient_checkpointing)")
    above = 0 if recomputes else int(_LONG * tokens) if checkpointing == "auto" else None
    kept = max(tokens, longest if above is None else min(longest, above)) * cost
    return MemoryPlan(tokens, above, fixed + max(kept, longest * recomputed))


def release_memory() -> None:
    """Give back what earlier work in this process has left: an optimizer's states, caches of the baseline's answers."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # glibc keeps what is freed, unless it is asked
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def keep_to_plan(plan: MemoryPlan, network: PreTrainedModel, collate: MicroBatches) -> Iterator[None]:
    """Train by a plan inside this context."""
    collate.tokens_per_forward = plan.tokens_per_forward
    if plan.recompute_above is None:
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # their new names are younger than the oldest transformers here
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        switched = [module for module in network.modules() if getattr(module, "gradient_checkpointing", False)]

        def switch(module: Any, inputs: Any, keywords: dict[str, Any]) -> None:
            is_long = keywords["input_ids"].numel() > plan.recompute_above
            for each in switched:
                each.gradient_checkpointing = is_long

        hook = network.register_forward_pre_hook(switch, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()
            network.gradient_checkpointing_disable()


def measure_free(device: str) -> int:
    """Measure the memory that a process may still take, in bytes: of the GPU, or of the machine or its container."""
    if device == "cuda":
        torch.cuda.empty_cache()  # what torch keeps of the baseline is free
        return int(torch.cuda.mem_get_info(int(os.environ.get("LOCAL_RANK", "0")))[0])
    return max(0, int(min(psutil.virtual_memory().available, *_measure_groups())))


def _measure_groups() -> list[float]:
    """What each control group leaves that limits this process: a container's, a Slurm job's (cgroup v2)."""
    own = _PROCESS.read_text(encoding="utf-8").partition("0::/")[2].partition("\n")[0] if _PROCESS.is_file() else ""
    left = [math.inf]
    for folder in [_GROUPS / own, *(_GROUPS / own).parents]:
        if (folder / "memory.max").is_file() and (most := (folder / "memory.max").read_text().strip()) != "max":
            used = int((folder / "memory.current").read_text())
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            left.append(int(most) - used + int(stat.get("inactive_file", 0)))  # of files that were read; given up first
        if folder == _GROUPS:
            break
    return left


def _count_kept(tuned: Any, collate: MicroBatches, tokens: int) -> int:
    """Count the bytes that a forward pass keeps for its backward pass, beside the weights."""
    own = {parameter.untyped_storage().data_ptr() for parameter in tuned.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    # where the head's loss is computed in chunks it takes the same however much is learned
    [batch] = collate([Sample([0] * (tokens + 1), tokens if read_head(tuned) else 1)])
    with torch.random.fork_rng(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = supervised_loss(tuned, batch)
    del loss  # until here, so that no two tensors had one address
    return sum(kept.values())
