"""From examples to token ids, and what cutting at `max_length` costs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medft.data.example import Example
from medft.data.prompt import encode_prompt
from medft.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Encoded:
    """A whole example in token ids; the answer ends with the end-of-text token."""

    id: str
    prompt: list[int]
    answer: list[int]


@dataclass(frozen=True)
class Sample:
    """A training sample: at most `max_length` token ids, of which those from `supervised_from` on are learned."""

    input_ids: list[int]
    supervised_from: int

    @property
    def supervised(self) -> int:
        """How many tokens are learned; the first token of all has nothing to be predicted from."""
        return len(self.input_ids) - max(self.supervised_from, 1)


@dataclass(frozen=True)
class Cuts:
    """What cutting at `max_length` did to a split.

    Attributes:
        rows: rows of the split.
        tokens: tokens of the samples after cutting.
        answers_cut: rows whose answer lost tokens at its end; no end-of-text is put in place of what was lost.
        answer_tokens: answer tokens before cutting, end-of-text included.
        answer_tokens_lost: answer tokens cut away.
        unsupervised: rows left out since the prompt alone fills `max_length` and nothing would be learned.
    """

    rows: int
    tokens: int
    answers_cut: int
    answer_tokens: int
    answer_tokens_lost: int
    unsupervised: int


def encode(example: Example, tokenizer: Tokenizer, prompt_style: str) -> Encoded:
    """Encode prompt and answer apart, so that the border between them never falls inside a token."""
    answer = [*tokenizer.encode(example.output), tokenizer.end_token_id]
    return Encoded(example.id, encode_prompt(example, tokenizer, prompt_style), answer)


def encode_all(examples: Iterable[Example], tokenizer: Tokenizer, prompt_style: str) -> list[Encoded]:
    """`encode` for each example."""
    return [encode(example, tokenizer, prompt_style) for example in examples]


def cut(rows: Sequence[Encoded], max_length: int, loss_on: str) -> tuple[list[Sample], Cuts]:
    """Cut each row at `max_length` tokens and leave out rows where nothing of the answer is left.

    Args:
        loss_on: `response` supervises the answer, `all` the prompt too.
    """
    samples: list[Sample] = []
    lost: list[int] = []
    for row in rows:
        room = max(0, max_length - len(row.prompt))
        lost.append(max(0, len(row.answer) - room))
        if room:
            start = len(row.prompt) if loss_on == "response" else 1
            samples.append(Sample((row.prompt + row.answer)[:max_length], start))
    return samples, Cuts(
        rows=len(rows),
        tokens=sum(len(sample.input_ids) for sample in samples),
        answers_cut=sum(count > 0 for count in lost),
        answer_tokens=sum(len(row.answer) for row in rows),
        answer_tokens_lost=sum(lost),
        unsupervised=len(rows) - len(samples),
    )
