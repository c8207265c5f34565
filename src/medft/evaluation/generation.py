"""Writes answers: many questions at once, and the place of one that is answered goes to the next.

The places share one key-value cache (`shared_cache.py`). A step writes one token of each row; nothing is computed for
rows that have ended.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch
from torch import Tensor
from transformers import DynamicCache

from medft.config.schema import GenerationConfig
from medft.console import progress, warn
from medft.evaluation.recorded_steps import RecordedSteps, can_record, record_graph
from medft.evaluation.sampling import make_generator, make_warpers
from medft.evaluation.shared_cache import SharedCache
from medft.model.build import get_context_length

NEAR_TIE = 1e-4  # between the two best logits; rounding, which differs with the size of a batch, stays well below
_MOST_PLACES = {"cpu": 64, "cuda": 256}  # beyond, a token costs hardly less
_MEMORY_SHARE = 0.25  # of the free memory, for the cache
_PREFILL_TOKENS = 4096  # read at once of questions that come in


@dataclass(frozen=True)
class Generated:
    """One generated answer.

    Attributes:
        token_ids: end-of-text included where it was written.
        hit_limit: there was no more room.
        near_tie: some token was chosen, greedily, by less than `NEAR_TIE`: batches of another size may write another.
    """

    token_ids: list[int]
    hit_limit: bool
    near_tie: bool = False


@dataclass
class _Row:
    """A question that is being answered."""

    number: int  # of the prompt
    limit: int  # tokens of the answer
    generator: torch.Generator | None  # its own, so that what is sampled does not depend on the other rows
    written: list[int] = field(default_factory=list)
    near_tie: bool = False

    def has_ended(self, end: int) -> bool:
        """Whether its answer is written, or out of room."""
        return self.written[-1] == end or len(self.written) == self.limit


def generate(
    network: Any,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    batch_size: int | None,
    seed: int,
    on_answer: Callable[[int, Generated], None] = lambda number, answer: None,
) -> list[Generated]:
    """Answer each prompt, in the order of `prompts`; a bar counts tokens.

    A prompt that leaves less than `max_new_tokens` of the model's context gets what is left.

    Args:
        batch_size: questions answered at once; None = as many as the memory that is free allows.
        on_answer: is told each answer, with the number of its prompt, as soon as it is written.
    """
    answers: dict[int, Generated] = {}
    room = sum(_limits(network, prompts, config))
    with progress("Writing answers", room) as advance:
        for number, answer in iterate_answers(network, prompts, config, batch_size, seed, advance):
            answers[number] = answer
            on_answer(number, answer)
    return [answers[number] for number in range(len(prompts))]


@torch.inference_mode()
def iterate_answers(
    network: Any,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    batch_size: int | None,
    seed: int,
    advance: Callable[[str, int], None] = lambda note, tokens: None,
) -> Iterator[tuple[int, Generated]]:
    """Yield (number of the prompt, its answer) as they are written; the longest prompts come first, so that memory
    runs out at once or not at all.

    Args:
        advance: is told after each step how many answers are written and how many tokens of the most there can be
            have been written or will not be needed.
    """
    network.eval()
    limits = _limits(network, prompts, config)
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    for number in (number for number in order if limits[number] < 1):
        yield number, Generated([], True)
    waiting = deque(number for number in order if limits[number] >= 1)
    if not waiting:
        return
    longest = max(len(prompts[number]) + limits[number] for number in waiting)
    places = min(len(waiting), batch_size or count_places(network, longest))
    # with more questions than places there is room for the columns of rows that have ended, see `SharedCache.make_room`
    writer = _Writer(network, config, places, longest if places == len(waiting) else longest + config.max_new_tokens)
    end, done = network.generation_config.eos_token_id, 0
    while waiting or writer.rows:
        # a few at a time, since reading one question after the other is slow
        if waiting and places - len(writer.rows) >= max(1, min(places // 4, len(waiting))):
            coming = [waiting.popleft() for _ in range(min(places - len(writer.rows), len(waiting)))]
            rows = [_Row(number, limits[number], make_generator(network, config, seed, number)) for number in coming]
            writer.admit(rows, [prompts[number] for number in coming])
            spent = len(rows)
        else:
            writer.step()
            spent = len(writer.rows)
        for place in reversed(range(len(writer.rows))):
            row = writer.rows[place]
            if row.has_ended(end):
                writer.release(place)
                spent, done = spent + row.limit - len(row.written), done + 1
                yield row.number, Generated(row.written, row.written[-1] != end, row.near_tie)
        advance(f"{done} of {len(prompts)} answers", spent)


@torch.inference_mode()
def iterate_tokens(
    network: Any, prompt: Sequence[int], config: GenerationConfig, seed: int, number: int = 0
) -> Iterator[int]:
    """Yield the tokens of one answer as they are written, end-of-text included: those of `generate` with a batch of 1.

    Args:
        number: of the question among those that are asked with one seed.
    """
    network.eval()
    limit = _limits(network, [prompt], config)[0]
    if limit < 1:
        return
    row = _Row(number, limit, make_generator(network, config, seed, number))
    writer = _Writer(network, config, 1, len(prompt) + limit)
    writer.admit([row], [prompt])
    yield row.written[-1]
    while not row.has_ended(network.generation_config.eos_token_id):
        writer.step()
        yield row.written[-1]


class _Writer:
    """The rows that are being answered, and the next token of each."""

    def __init__(self, network: Any, config: GenerationConfig, places: int, columns: int) -> None:
        self.rows: list[_Row] = []
        self._network, self._config = network, config
        self._cache = SharedCache(network.config.num_hidden_layers, places, columns)
        self._mask = torch.zeros((places, columns), dtype=torch.bool, device=network.device)
        self._position = torch.zeros(places, dtype=torch.long, device=network.device)  # of the last token
        self._last = torch.zeros(places, dtype=torch.long, device=network.device)  # it is not in the cache yet
        # which tokens a row has seen, for the repetition penalty
        self._seen = torch.zeros((places, network.config.vocab_size) if config.repetition_penalty != 1 else (places, 0),
                                 dtype=torch.bool, device=network.device)  # fmt: skip
        self._warpers = make_warpers(config)
        state = (self._cache, self._last, self._position, self._mask)
        self._recorded = RecordedSteps(network, *state, record_graph) if can_record(network) else None

    def admit(self, rows: Sequence[_Row], prompts: Sequence[Sequence[int]]) -> None:
        """Read prompts, none longer than the first ever, and choose the first token of each answer."""
        together = max(1, _PREFILL_TOKENS // len(prompts[0]))
        for start in range(0, len(rows), together):
            self._admit(rows[start : start + together], prompts[start : start + together])

    def _admit(self, rows: Sequence[_Row], prompts: Sequence[Sequence[int]]) -> None:
        device, longest = self._network.device, max(map(len, prompts))
        pad = [longest - len(ids) for ids in prompts]
        fill = self._network.generation_config.pad_token_id
        ids = torch.tensor([[fill] * gap + list(each) for gap, each in zip(pad, prompts, strict=True)], device=device)
        column = torch.arange(longest, device=device)
        mask = column >= torch.tensor(pad, device=device)[:, None]
        read = DynamicCache()
        logits = self._network(
            input_ids=ids, attention_mask=mask.long(), past_key_values=read, use_cache=True, logits_to_keep=1,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        ).logits[:, -1]  # fmt: skip
        cache, first = self._cache, len(self.rows)
        cache.filled = max(cache.filled, longest)
        cache.admit(read)
        places = slice(first, first + len(rows))
        self._mask[places] = False
        self._mask[places, cache.filled - longest : cache.filled] = mask
        self._position[places] = torch.tensor([len(each) - 1 for each in prompts], device=device)
        self.rows.extend(rows)
        for place, each in enumerate(prompts, first):
            if self._seen.shape[1]:
                self._seen[place] = False
                self._seen[place, torch.tensor(list(each), device=device)] = True
        self._choose(logits, places)

    def step(self) -> None:
        """Write one more token of each row."""
        cache, count = self._cache, len(self.rows)
        if cache.filled == cache.columns:
            used = self._mask[:count].any(0)
            unused = int(used.long().argmax())
            cache.make_room(unused)
            self._mask[:count, : cache.filled] = self._mask[:count, unused:].clone()
            self._mask[:count, cache.filled :] = False
        self._mask[:count, cache.filled] = True
        self._position[:count] += 1
        logits = self._compute()
        cache.filled += 1
        self._choose(logits, slice(0, count))

    def _compute(self) -> Tensor:
        cache, count = self._cache, len(self.rows)
        if self._recorded:
            try:
                return self._recorded.compute()
            except RuntimeError as error:
                warn(f"answers are written without CUDA graphs, which is slower: {str(error).splitlines()[0]}")
                self._recorded = None
        logits: Tensor = self._network(
            input_ids=self._last[:count, None], position_ids=self._position[:count, None], use_cache=True,
            attention_mask=self._mask[:count, : cache.filled + 1], past_key_values=cache,
        ).logits[:, -1]  # fmt: skip
        return logits

    def release(self, place: int) -> None:
        """Take out a row that has ended."""
        self._cache.release(place)
        last = self.rows.pop()
        if place < len(self.rows):
            self.rows[place] = last
            for each in (self._mask, self._position, self._last, self._seen):
                each[place] = each[len(self.rows)]

    def _choose(self, logits: Tensor, places: slice) -> None:
        """Choose the next token of each row of these places."""
        rows, logits = self.rows[places], logits.float()
        if self._seen.shape[1]:
            penalty = self._config.repetition_penalty
            weaker = torch.where(logits > 0, logits / penalty, logits * penalty)
            logits = torch.where(self._seen[places], weaker, logits)
        if self._config.do_sample:
            for warper in self._warpers:
                logits = warper(None, logits)  # they look at the logits only
            chances = logits.softmax(-1)
            chosen = torch.cat([
                torch.multinomial(each, 1, generator=row.generator) for each, row in zip(chances, rows, strict=True)
            ])  # fmt: skip
            near = torch.zeros_like(chosen)
        else:
            chosen, best = logits.argmax(-1), logits.topk(2).values
            near = (best[:, 0] - best[:, 1] < NEAR_TIE).long()
        self._last[places] = chosen
        if self._seen.shape[1]:
            self._seen[places].scatter_(1, chosen[:, None], True)
        # a GPU is waited for once a step
        for row, (token, is_near) in zip(rows, torch.stack([chosen, near], 1).tolist(), strict=True):
            row.written.append(token)
            row.near_tie = row.near_tie or bool(is_near)


def _limits(network: Any, prompts: Sequence[Sequence[int]], config: GenerationConfig) -> list[int]:
    """How many tokens each answer may have."""
    context = get_context_length(network)
    return [max(0, min(config.max_new_tokens, context - len(ids))) for ids in prompts]


def count_places(network: Any, columns: int) -> int:
    """How many questions are answered at once: what a part of the free memory holds of their keys and values."""
    config, device = network.config, network.device.type
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    one: int = 2 * config.num_hidden_layers * heads * size * network.dtype.itemsize * columns
    free: int = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    return max(1, min(_MOST_PLACES.get(device, 64), int(_MEMORY_SHARE * free) // one))
