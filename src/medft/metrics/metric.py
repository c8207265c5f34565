"""What a metric is, and what is measured of one answer.

A new metric is one file here that defines a `Metric`, and its entry in `registry.METRICS`:

    def measure(expected: Sequence[str], generated: Sequence[str]) -> dict[str, list[float]]: ...
    MINE = Metric("mine", "what it says, 0 to 1", (0.0, 1.0), "higher", measure=measure)
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medft.metrics.statistics import Bounds, Ratio

Better = Literal["lower", "higher"]
# from expected and generated answers to the values of each, by metric; what is computed together is one of these
Measure = Callable[[Sequence[str], Sequence[str]], Mapping[str, Sequence[float]]]


@dataclass(frozen=True)
class AnswerScores:
    """One generated answer and everything that was measured on its question.

    Attributes:
        answer: the generated text.
        hit_limit: generation stopped because it was out of room, not because the answer ended.
        nats: loss of the expected answer, summed over its tokens.
        tokens: tokens that the loss read, end-of-text included unless it was cut.
        cut: tokens of the expected answer beyond `evaluation.max_length`, not read.
        bytes: UTF-8 bytes of the tokens that the loss read.
        words, expected_words: length of the generated and of the expected answer.
        values: of the metrics that compare both texts, by name; empty if no answer was to be written.
    """

    answer: str
    hit_limit: bool
    nats: float
    tokens: int
    cut: int
    bytes: int
    words: int
    expected_words: int
    values: dict[str, float]

    @property
    def is_written(self) -> bool:
        """Whether the model was to write an answer (`generation.max_new_tokens` above 0)."""
        return bool(self.values)


@dataclass(frozen=True)
class Metric:
    """One metric: over several answers it is Σ numerator / Σ denominator.

    Attributes:
        meaning: in a few words, with its range.
        bounds: the least and the greatest value.
        better: which way is better; None = neither.
        measure: computes the values of answers from both texts; None = it follows from the other `AnswerScores`.
        numerator: of one answer; None = the value that `measure` gave it.
        denominator: of one answer; None = 1, which makes the metric a mean over answers.
        of_answers: whether it is of generated answers, which a run may not have; texts compared always are.
        function_of: the metric that this one is a `transform` of; it has no difference and no p-value of its own.
        headline: shown where there is room for a few metrics only.
        requires: a module, of the optional extra `extra`, without which the metric is absent.
    """

    name: str
    meaning: str
    bounds: Bounds
    better: Better | None
    measure: Measure | None = None
    numerator: Callable[[AnswerScores], float] | None = None
    denominator: Callable[[AnswerScores], float] | None = None
    of_answers: bool = False
    function_of: str = ""
    transform: Callable[[float], float] | None = None
    headline: bool = False
    requires: str = ""
    extra: str = ""

    @property
    def can_rank(self) -> bool:
        """Whether settings can be ranked by it: it has a better side and is no function of another metric."""
        return self.better is not None and not self.function_of

    @property
    def is_installed(self) -> bool:
        """Whether what it requires is there."""
        return not self.requires or importlib.util.find_spec(self.requires) is not None

    def is_measured(self, rows: Sequence[AnswerScores]) -> bool:
        """Whether all of these answers have it."""
        if self.measure:
            return all(self.name in row.values for row in rows)
        return not self.of_answers or all(row.is_written for row in rows)

    def ratio(self, rows: Sequence[AnswerScores], groups: Sequence[str]) -> Ratio:
        """The metric answer by answer; `groups` is what each question comes from."""
        numerator = self.numerator or (lambda row: row.values[self.name])
        counts = [self.denominator(row) for row in rows] if self.denominator else None
        return Ratio.of([numerator(row) for row in rows], groups, counts, self.bounds)
