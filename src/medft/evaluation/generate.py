"""Writing answers: batched, with a key-value cache, greedy unless asked otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from medft.config.schema import GenerationConfig
from medft.console import track
from medft.model.build import get_context_length


@dataclass(frozen=True)
class Generated:
    """One generated answer in token ids.

    Attributes:
        token_ids: what was written, end-of-text included where it was.
        hit_limit: it ran into `max_new_tokens` or the end of the model's context.
    """

    token_ids: list[int]
    hit_limit: bool


def generate(
    network: Any, prompts: Sequence[Sequence[int]], config: GenerationConfig, batch_size: int, seed: int
) -> list[Generated]:
    """Answer each prompt, in the order of `prompts`; longest first, so that memory runs out at once or not at all.

    A prompt that leaves less than `max_new_tokens` of the model's context is answered alone, with what is left.
    """
    room = get_context_length(network) - config.max_new_tokens
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    tight = [row for row in order if len(prompts[row]) > room]
    roomy = order[len(tight) :]
    batches = [[row] for row in tight]
    batches += [roomy[start : start + batch_size] for start in range(0, len(roomy), batch_size)]
    answers: dict[int, Generated] = {}
    network.eval()
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        for batch in track(batches, "Writing answers"):
            answers.update(zip(batch, _generate_batch(network, [prompts[row] for row in batch], config), strict=True))
    return [answers[row] for row in range(len(prompts))]


def _generate_batch(network: Any, prompts: list[Sequence[int]], config: GenerationConfig) -> list[Generated]:
    """Answers to one batch of prompts, padded on the left."""
    longest = max(map(len, prompts))
    limit = min(config.max_new_tokens, get_context_length(network) - longest)
    if limit < 1:
        return [Generated([], True) for _ in prompts]
    settings = network.generation_config
    pad = settings.pad_token_id
    input_ids = torch.tensor([[pad] * (longest - len(ids)) + list(ids) for ids in prompts], device=network.device)
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=network.device)
    sampling: dict[str, Any] = {"do_sample": config.do_sample, "repetition_penalty": config.repetition_penalty}
    if config.do_sample:
        sampling |= {"temperature": config.temperature, "top_p": config.top_p, "top_k": config.top_k}
    written = network.generate(input_ids=input_ids, attention_mask=mask, max_new_tokens=limit, **sampling)
    end, answers = settings.eos_token_id, []
    for ids in written[:, longest:].tolist():
        has_ended = end in ids  # what follows the first end-of-text token is padding
        answers.append(Generated(ids[: ids.index(end) + 1] if has_ended else ids, hit_limit=not has_ended))
    return answers
