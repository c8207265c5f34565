"""Rates over a run, and which weights decay."""

import pytest
import torch

from medft.config.schema import AdamWConfig, SchedulerConfig
from medft.model.module import build_optimizer, compute_lr_factor


def schedule(name: str, warmup: float = 0.1, floor: float = 0.1) -> list[float]:
    config = SchedulerConfig(name=name, warmup_ratio=warmup, min_lr_ratio=floor)
    return [compute_lr_factor(step, 100, config) for step in range(100)]


@pytest.mark.parametrize("name", ["cosine", "linear"])
def test_warms_up_then_falls_to_the_floor(name: str) -> None:
    factors = schedule(name)
    assert 0 < factors[0] < factors[9] < 1
    assert factors[10] == 1.0
    assert all(later < earlier for earlier, later in zip(factors[10:], factors[11:], strict=False))
    assert factors[-1] == pytest.approx(0.1, abs=0.02)


def test_constant_is_constant() -> None:
    assert schedule("constant", warmup=0.0, floor=1.0) == [1.0] * 100


def test_biases_and_norms_do_not_decay_unless_asked() -> None:
    layer = torch.nn.Linear(3, 3)
    config = AdamWConfig(name="adamw", lr=1e-3, weight_decay=0.1, decay_all=False, betas=[0.9, 0.999], eps=1e-8)
    groups = build_optimizer(layer.parameters(), config).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 1), (0.0, 1)]
    groups = build_optimizer(layer.parameters(), config.model_copy(update={"decay_all": True})).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.1, 2)]
