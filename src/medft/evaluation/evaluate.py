"""The evaluation stage: one model, the test questions, everything that is measured of it.

Nothing here reads a training setting, so that runs which differ only in those can be compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from medft.config.schema import Config
from medft.data.encode import Encoded, decode_answer, encode_prompts
from medft.data.example import Example
from medft.data.tokenizer import Tokenizer
from medft.evaluation.generate import generate
from medft.evaluation.loss import compute_answer_losses
from medft.evaluation.probes import load_probes
from medft.metrics.metric import AnswerScores
from medft.metrics.registry import measure_answers
from medft.model.build import get_context_length


@dataclass(frozen=True)
class Measurement:
    """All that was measured of one model: its answers, and what it said to the probes, by probe id."""

    answers: list[AnswerScores]
    probes: dict[str, str]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """From what `dataclasses.asdict` made of it."""
        return cls([AnswerScores(**row) for row in data["answers"]], data["probes"])


def evaluate(
    network: Any, tokenizer: Tokenizer, test: Sequence[Example], encoded: Sequence[Encoded], config: Config
) -> Measurement:
    """Measure a model on the test questions and ask it the probes. The model stays where it is and as it is.

    Args:
        encoded: the test questions in token ids.
    """
    network.eval()
    losses = compute_answer_losses(network, encoded, min(config.evaluation.max_length, get_context_length(network)))
    probes = load_probes(config.evaluation.probes)
    prompts = [row.prompt for row in encoded] + encode_prompts(probes, tokenizer, config.dataset.prompt)
    generated = generate(network, prompts, config.generation, config.evaluation.batch_size, config.seed)
    texts = [decode_answer(answer.token_ids, tokenizer) for answer in generated]
    values = measure_answers([row.output for row in test], texts[: len(test)])
    answers = []
    for place, (row, loss, text) in enumerate(zip(test, losses, texts, strict=False)):  # the probes come after
        read = row.output
        if loss.cut:  # only what the loss has read; end-of-text, which has a loss but no bytes, is not among it
            read = tokenizer.decode(encoded[place].answer[: loss.tokens])
        answers.append(
            AnswerScores(
                answer=text,
                hit_limit=generated[place].hit_limit,
                nats=loss.nats,
                tokens=loss.tokens,
                cut=loss.cut,
                bytes=len(read.encode()),
                words=len(text.split()),
                expected_words=len(row.output.split()),
                values=values[place],
            )
        )
    return Measurement(answers, {probe.id: text for probe, text in zip(probes, texts[len(test) :], strict=True)})
