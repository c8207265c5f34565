"""`optimizer` and `scheduler`: how the weights are updated."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR

from medft.config.schema import AdamWConfig, SchedulerConfig, SgdConfig


def build_optimizer(parameters: Iterable[Parameter], config: AdamWConfig | SgdConfig) -> torch.optim.Optimizer:
    """Build the optimizer of trainable parameters; vectors (biases, norms) are not decayed unless `decay_all`."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if config.decay_all or p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if not config.decay_all and p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(config, AdamWConfig):
        beta1, beta2 = config.betas
        return torch.optim.AdamW(groups, lr=config.lr, betas=(beta1, beta2), eps=config.eps)
    return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)


def build_scheduler(optimizer: torch.optim.Optimizer, config: SchedulerConfig, total_steps: int) -> LambdaLR:
    """Build the schedule of the learning rate over `total_steps` optimizer steps."""
    return LambdaLR(optimizer, lambda step: compute_lr_factor(step, total_steps, config))


def compute_lr_factor(step: int, total_steps: int, config: SchedulerConfig) -> float:
    """Compute the rate of a step (from 0) as a share of the peak: linear warm-up, then cosine, linear or constant."""
    warmup = math.ceil(config.warmup_ratio * total_steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if config.name == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total_steps - warmup))
    left = 0.5 * (1 + math.cos(math.pi * done)) if config.name == "cosine" else 1 - done
    return config.min_lr_ratio + (1 - config.min_lr_ratio) * left
