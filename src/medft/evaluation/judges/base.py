"""What a judge is.

A new judge is one file here and one YAML in `conf/judge/`:

    class MyJudge(Judge):
        name: str = "mine"
        def prepare(self) -> Self: ...
        def score(self, item: Question) -> Verdict: ...
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from medft.config.component import Component


@dataclass(frozen=True)
class Verdict:
    """What a judge said of one answer.

    Attributes:
        score: 0 (worst) to 100, or None when there is none; a missing score is never counted as 0.
        failure: why there is no score.
        reply: the judge's words as they came.
    """

    score: int | None
    failure: str | None = None
    reply: str = ""


@dataclass(frozen=True)
class Question:
    """One thing to judge: an answer to a question, beside the expected one."""

    question: str
    expected: str
    answer: str


class Judge(Component):
    """Scores answers from 0 to 100. Fields are the options that its YAML may set."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")] = "none"
    limit: Annotated[int, Field(ge=1)] | None = None

    @abstractmethod
    def prepare(self) -> "Judge | None":
        """Make sure that the judge can judge, before any training; None = there is none and the run goes on.

        Raises:
            JudgeUnavailable: it cannot, and was asked for by name.
        """

    @abstractmethod
    def score(self, item: Question) -> Verdict:
        """Score one answer.

        Raises:
            JudgeUnavailable: the judge is gone; the rows after this one need not be tried.
        """

    def describe(self) -> dict[str, str]:
        """What to log of the judge beyond its options: versions, digests."""
        return {}
