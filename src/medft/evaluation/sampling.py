"""What sampling does to the logits of the next token, and the random numbers of each question."""

from typing import Any

import torch
from transformers.generation.logits_process import (
    LogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from medft.config.schema import GenerationConfig


def make_generator(network: Any, config: GenerationConfig, seed: int, number: int) -> torch.Generator | None:
    """The random generator of one question, so that its answer does not depend on the others; None where nothing is
    sampled.
    """
    if not config.do_sample:
        return None
    return torch.Generator(network.device).manual_seed((seed * 1_000_003 + number) % 2**63)


def make_warpers(config: GenerationConfig) -> list[LogitsProcessor]:
    """What sampling does to the logits, in the order of transformers."""
    warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(float(config.temperature))]
    if config.top_k:
        warpers.append(TopKLogitsWarper(config.top_k))
    if config.top_p < 1:
        warpers.append(TopPLogitsWarper(config.top_p))
    return warpers
