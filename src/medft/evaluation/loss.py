"""The loss of the expected answers, given the questions."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from medft.console import track
from medft.data.encode import Encoded
from medft.data.samples import Sample, pad
from medft.model.loss import supervised_loss


@dataclass(frozen=True)
class AnswerLoss:
    """The loss of one expected answer; what the fields mean says `AnswerScores`."""

    nats: float
    tokens: int
    cut: int


@torch.inference_mode()
def compute_answer_losses(network: Any, rows: Sequence[Encoded], max_length: int) -> list[AnswerLoss]:
    """The loss of each row's answer, the prompt being context only.

    One row at a time, so that no row's loss depends on which others are in its batch. A row whose prompt alone
    fills `max_length` has no tokens to score.
    """
    losses = []
    for row in track(rows, "Loss of the expected answers"):
        ids = (row.prompt + row.answer)[:max_length]
        sample = Sample(ids, len(row.prompt))
        cut = len(row.prompt) + len(row.answer) - len(ids)
        if sample.supervised < 1:
            losses.append(AnswerLoss(0.0, 0, min(cut, len(row.answer))))
            continue
        batch = {key: value.to(network.device) for key, value in pad([sample], pad_token_id=0).items()}
        nats, tokens = supervised_loss(network, batch)
        losses.append(AnswerLoss(float(nats), int(tokens), cut))
    return losses


def compute_unigram_losses(
    training: Iterable[Sequence[int]], test: Iterable[Sequence[int]], vocab_size: int, additive: float = 0.1
) -> list[float]:
    """The loss, answer by answer, of a model that knows only how often tokens occur in the training answers.

    A fine-tuned model that is not clearly below it has learned nothing of order or content. Additive smoothing over
    the whole vocabulary.

    Args:
        training: token ids of the training answers.
        test: the same test tokens that `compute_answer_losses` reads.

    Returns:
        Nats of each answer, summed over its tokens.
    """
    counts: Counter[int] = Counter()
    for ids in training:
        counts.update(ids)
    total = math.log(counts.total() + additive * vocab_size)
    return [sum(total - math.log(counts[token] + additive) for token in ids) for ids in test]
