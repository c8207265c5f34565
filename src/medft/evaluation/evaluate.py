"""The evaluation stage: one model, the test questions, everything that is measured of it.

Nothing here reads a training setting, so that runs which differ only in those can be compared.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from medft.config.schema import Config
from medft.data.encode import encode_all
from medft.data.example import Example
from medft.data.prompt import decode_answer, encode_prompts
from medft.data.tokenizer import Tokenizer
from medft.evaluation.generate import generate
from medft.evaluation.loss import AnswerLoss, answer_losses
from medft.evaluation.probes import load_probes
from medft.metrics.overlap import OVERLAP, row_metrics
from medft.metrics.statistics import Ratio
from medft.model.build import context_length


@dataclass(frozen=True)
class AnswerScores:
    """What was measured on one test question.

    Attributes:
        id: of the example.
        answer: the generated text.
        hit_limit: generation stopped since it was out of room, not since the answer ended.
        nats, tokens, cut: the loss of the expected answer, see `AnswerLoss`.
        bytes: UTF-8 bytes of the expected answer's tokens that the loss read.
        words, expected_words: length of the generated and the expected answer.
        metrics: overlap with the expected answer.
    """

    id: str
    answer: str
    hit_limit: bool
    nats: float
    tokens: int
    cut: int
    bytes: int
    words: int
    expected_words: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Measurement:
    """All that was measured of one model: its rows, and its answers to the probes by probe id."""

    rows: list[AnswerScores]
    probes: dict[str, str]

    def ratios(self, documents: Sequence[str]) -> dict[str, Ratio]:
        """The measured metrics row by row, without their `baseline/` or `test/` prefix.

        `loss` is in nats a token and a mean over all answer tokens, not over rows; `length_ratio` is generated words
        over expected words, both summed; the others are means over rows.

        Args:
            documents: of each row.
        """
        rows, positive = self.rows, (0.0, math.inf)
        nats, tokens = [row.nats for row in rows], [row.tokens for row in rows]
        bits, size = [row.nats / math.log(2) for row in rows], [row.bytes for row in rows]
        words, expected = [row.words for row in rows], [row.expected_words for row in rows]
        return {
            "loss": Ratio.of(nats, documents, tokens, positive),
            "bits_per_byte": Ratio.of(bits, documents, size, positive),
            **{
                name: Ratio.of([row.metrics[name] for row in rows], documents, bounds=(0.0, top))
                for name, top in OVERLAP.items()
            },
            "length_ratio": Ratio.of(words, documents, expected, positive),
            "limit_share": Ratio.of([row.hit_limit for row in rows], documents, bounds=(0.0, 1.0)),
        }

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for a JSON file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The reverse of `to_dict`."""
        return cls([AnswerScores(**row) for row in data["rows"]], data["probes"])


def measure(network: Any, tokenizer: Tokenizer, test: Sequence[Example], config: Config) -> Measurement:
    """Measure a model on the test questions and ask it the probes. The model stays where it is and as it is."""
    network.eval()
    max_length = min(config.evaluation.max_length, context_length(network))
    encoded = encode_all(test, tokenizer, config.dataset.prompt)
    losses = answer_losses(network, encoded, max_length)
    probes = load_probes(config.evaluation.probes)
    prompts = [row.prompt for row in encoded]
    prompts += encode_prompts(probes, tokenizer, config.dataset.prompt)
    generated = generate(network, prompts, config.generation, config.evaluation.batch_size, config.seed)
    texts = [decode_answer(answer.token_ids, tokenizer) for answer in generated]
    rows = []
    for example, row, loss, text, answer in zip(test, encoded, losses, texts, generated, strict=False):
        kept = row.answer[: loss.tokens]
        rows.append(
            _row(
                example,
                text,
                answer.hit_limit,
                loss,
                len(tokenizer.decode(_text_ids(kept, tokenizer)).encode()),
            )
        )
    return Measurement(rows, {probe.id: text for probe, text in zip(probes, texts[len(test) :], strict=True)})


def _text_ids(token_ids: list[int], tokenizer: Tokenizer) -> list[int]:
    """Without the end-of-text token, which has a loss but no bytes."""
    return token_ids[:-1] if token_ids and token_ids[-1] == tokenizer.end_token_id else token_ids


def _row(example: Example, text: str, hit_limit: bool, loss: AnswerLoss, read_bytes: int) -> AnswerScores:
    return AnswerScores(
        id=example.id,
        answer=text,
        hit_limit=hit_limit,
        nats=loss.nats,
        tokens=loss.tokens,
        cut=loss.cut,
        bytes=read_bytes,
        words=len(text.split()),
        expected_words=len(example.output.split()),
        metrics=row_metrics(example.output, text),
    )
