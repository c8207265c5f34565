"""Checks an exported model against the one that was trained: prompts, answers, loss.

An exported model is read by other code. A model that is good where it was trained and writes nonsense elsewhere has
lost its template, its end token, its tokenizer or the layout of a weight on the way; each of these shows here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from medft.console import progress
from medft.data.encode import Encoded, encode_examples
from medft.data.example import Example
from medft.data.tokenizer import Tokenizer
from medft.errors import MedftError
from medft.evaluation.evaluate import compute_answer_losses, count_bytes_read
from medft.evaluation.generation import generate
from medft.export.readers import Reader, Reply
from medft.model.build import get_context_length
from medft.runs.trained_model import TrainedModel

NEAR_TIE = 0.05  # logits; other kernels round otherwise
LOSS_SHARE = 0.001  # of bits per byte
_SHOWN = 40  # characters of what differs


@dataclass(frozen=True)
class Limits:
    """How far an export may be from what was trained.

    Attributes:
        near_tie: an answer may go on differently from a token whose two best logits lie within this.
        loss: by how large a share bits per byte may differ.
    """

    near_tie: float = NEAR_TIE
    loss: float = LOSS_SHARE


# By the numbers of a GGUF file. With bf16 and q8_0 llama.cpp rounds what it multiplies the weights with, too, to as
# many bits: random weights of two layers differed first at gaps of up to 0.3.
LIMITS = {"f32": Limits(), "f16": Limits(), "bf16": Limits(near_tie=0.5), "q8_0": Limits(near_tie=0.5, loss=0.02)}


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        reader: whose code has answered.
        questions: how many were asked.
        equal: of how many the answers are equal.
        ended: how many of these end by themselves; the others run into their limit.
        cut: how many of these the reader gave up on, which are equal as far as they go.
        near_ties: of how many they differ first where two tokens are as good as equal.
        largest_gap: of the two best logits there, the largest.
        bits_per_byte: of the trained model and of the exported weights, on these questions.
    """

    reader: str
    questions: int
    equal: int
    ended: int
    cut: int
    near_ties: int
    largest_gap: float
    bits_per_byte: tuple[float, float]

    @property
    def loss_difference(self) -> float:
        """By what share of the trained model's the exported one's bits per byte are higher."""
        return _compare_losses(*self.bits_per_byte)


class NotVerified(MedftError):
    """What reads an exported model makes something else of it than the training did. The process exits with 1."""


def verify(
    model: TrainedModel, exported: Any, reader: Reader, questions: Sequence[Example], limits: Limits
) -> Verification:
    """Ask an exported model the questions, and compare.

    Args:
        model: as the run has it.
        exported: a network of transformers with the weights and the end token that the export holds, read back.
        questions: with expected answers.

    Raises:
        NotVerified: names the first thing that differs.
    """
    encoded = encode_examples(questions, model.tokenizer, model.config.dataset.prompt)
    losses = tuple(_measure_loss(each, encoded, questions, model) for each in (model.network, exported))
    if not abs(_compare_losses(*losses)) <= limits.loss:
        raise NotVerified(
            f"the exported weights are others: {losses[1]:.4f} bits per byte on {len(questions)} test questions, and "
            f"{losses[0]:.4f} of the trained model"
        )
    end, settings = model.tokenizer.end_token_id, exported.generation_config
    if settings.eos_token_id != end:  # no answer shows that where all run into their limit
        raise NotVerified(
            f"the exported model ends an answer with the token {settings.eos_token_id}, and the trained one with {end}"
        )
    greedy = model.config.generation.model_copy(update={"do_sample": False, "repetition_penalty": 1.0})
    exported.generation_config = model.network.generation_config
    own = generate(exported, [row.prompt for row in encoded], greedy, None, model.config.seed)
    # the reader may have the same network, and is to know no more than the export
    exported.generation_config = settings
    equal, ended, cut, gaps = 0, 0, 0, []
    with progress(f"Asking {reader.name}", len(questions)) as advance:
        for row, mine, question, reply in zip(encoded, own, questions, reader.answer(questions), strict=True):
            advance("", 1)
            _check_prompt(reader, model, question, row.prompt, reply)
            wrote = None
            if reply.answer is None:
                first = _find_text_difference(model.tokenizer, mine.token_ids, reply.text, reply.is_cut)
            else:
                answer = _strip_end(reply.answer, end)
                first = _find_difference(_strip_end(mine.token_ids, end), answer)
                wrote = None if first is None else [*answer, end][first]
            if first is None:
                equal, cut = equal + 1, cut + reply.is_cut
                ended += mine.token_ids[-1:] == [end]
                continue
            gap = _measure_gap(exported, row.prompt + mine.token_ids[:first], wrote)
            if gap > limits.near_tie:
                told = _describe_difference(model, question, mine.token_ids, reply, first)
                raise NotVerified(f"{reader.name} {told}, by {gap:.3f} of a logit (rounding: {limits.near_tie})")
            gaps.append(gap)
    return Verification(
        reader.name, len(questions), equal, ended, cut, len(gaps), max(gaps, default=0.0), (losses[0], losses[1])
    )


def _compare_losses(own: float, exported: float) -> float:
    """By what share of the first the second is higher."""
    return exported / own - 1


def _measure_loss(network: Any, encoded: Sequence[Encoded], questions: Sequence[Example], model: TrainedModel) -> float:
    """Bits per byte of the expected answers, all of them together."""
    length = min(model.config.evaluation.max_length, get_context_length(network))
    losses = compute_answer_losses(network.eval(), encoded, length)
    read = [
        count_bytes_read(question.output, row, loss, model.tokenizer)
        for row, loss, question in zip(encoded, losses, questions, strict=True)
    ]
    return sum(loss.nats for loss in losses) / math.log(2) / max(1, sum(read))


def _check_prompt(reader: Reader, model: TrainedModel, question: Example, expected: list[int], reply: Reply) -> None:
    first = _find_difference(expected, reply.prompt)
    if first is None:
        return
    own, other = (
        repr(model.tokenizer.decode(ids[first : first + 8], with_special=True)) if ids[first:] else "its end"
        for ids in (expected, reply.prompt)
    )
    raise NotVerified(
        f"{reader.name} reads another prompt than was trained on, from token {first + 1} of "
        f"{question.instruction[:60]!r} on: {other} where the training has {own}"
    )


def _find_difference(own: Sequence[int], other: Sequence[int]) -> int | None:
    """Where two sequences differ first; None = nowhere."""
    for place, (a, b) in enumerate(zip(own, other, strict=False)):
        if a != b:
            return place
    return None if len(own) == len(other) else min(len(own), len(other))


def _strip_end(ids: Sequence[int], end: int) -> Sequence[int]:
    """An answer without the token that ends it, which one at its limit has not."""
    return ids[:-1] if ids and ids[-1] == end else ids


def _find_text_difference(tokenizer: Tokenizer, own: Sequence[int], text: str, is_cut: bool = False) -> int | None:
    """The first token of an answer that is not in a text any more; None = it is the same text, or begins with it where
    the text is cut.
    """
    ids = [each for each in own if each != tokenizer.end_token_id]
    raw = tokenizer.decode(ids)
    if raw.strip() == text.strip() or (is_cut and raw.startswith(text)):
        return None
    if is_cut and text.strip() and raw.strip().startswith(text.strip()):  # of white space alone that says nothing
        return None
    # a token may end within a character
    starts = (tokenizer.decode(ids[:size]).rstrip("\ufffd").strip() for size in range(1, len(ids) + 1))
    return next((size for size, start in enumerate(starts) if not text.strip().startswith(start)), len(ids))


@torch.inference_mode()
def _measure_gap(network: Any, ids: Sequence[int], wrote: int | None) -> float:
    """By how much the best logit of the next token is above that of the token that the reader wrote. Where that is not
    known, or is the best, as of one that goes on after its end, above the second best.
    """
    logits = network(input_ids=torch.tensor([list(ids)], device=network.device)).logits[0, -1].float()
    best = logits.topk(2)
    other = best.values[1] if wrote is None or wrote == int(best.indices[0]) else logits[wrote]
    return float(best.values[0] - other)


def _describe_difference(model: TrainedModel, question: Example, own: Sequence[int], reply: Reply, first: int) -> str:
    end = model.tokenizer.end_token_id
    ids = [each for each in own if each != end]
    before = len(model.tokenizer.decode(ids[:first]))
    mine, other = (
        repr(text[before : before + _SHOWN]) if text[before:] else "its end"
        for text in (model.tokenizer.decode(ids), reply.text)
    )
    return (
        f"answers {question.instruction[:60]!r} otherwise from token {first + 1} on: {other} where the exported weights"
        f" have {mine}"
    )
