"""What a judge is.

A new judge is one file here and one YAML in `conf/judge/`:

    class MyJudge(Judge):
        name: str = "mine"
        def prepare(self) -> Self: ...
        def score(self, item: JudgeItem, repeat: int = 0) -> Verdict: ...
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from medft.config.schema import Config
from medft.config.section import JudgeOptions, Role, role_of_field
from medft.errors import InputError
from medft.files import json_digest

Status = Literal["scored", "failed", "too_long"]


@dataclass(frozen=True)
class Verdict:
    """What a judge said of one answer.

    Attributes:
        status: `scored`; `too_long` = the judge cannot read all of it; `failed` = asked, and no score came.
        score: 0 (worst) to 100, or None when there is none; a missing score is never counted as 0.
        reason: the judge's own, where it gives one.
        failure: why there is no score.
        reply: the judge's words as they came.
        repeats: with `judge.repeats` above 1, all that it said of this answer; the score is their mean.
    """

    status: Status
    score: float | None = None
    reason: str = ""
    failure: str | None = None
    reply: str = ""
    repeats: "tuple[Verdict, ...]" = ()

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """From what `dataclasses.asdict` made of it."""
        return cls(**{**fields, "repeats": tuple(map(cls.from_dict, fields.get("repeats", ())))})


@dataclass(frozen=True)
class JudgeItem:
    """An answer to judge, with its question and the expected answer."""

    instruction: str
    input: str
    expected: str
    answer: str

    @property
    def text(self) -> str:
        """The question with its further context, if any."""
        return f"{self.instruction}\n{self.input}".strip()


Name = Annotated[str, Field(pattern=r"^[a-z0-9_.-]+$"), Role.JUDGE | Role.SHOWN]


class Judge(JudgeOptions):
    """Scores answers from 0 to 100. Fields are the options that its YAML may set."""

    # what is asked and what it is called: no verdict depends on it
    name: Name = "none"
    limit: Annotated[Annotated[int, Field(ge=1)] | None, Role.JUDGE | Role.SHOWN] = None
    repeats: Annotated[int, Field(ge=1), Role.JUDGE | Role.SHOWN] = 1
    controls: Annotated[int, Field(ge=0), Role.JUDGE | Role.SHOWN] = 0
    controls_seed: Annotated[int, Field(ge=0), Role.JUDGE | Role.SHOWN] = 0
    concurrency: Annotated[int, Field(ge=1), Role.PLACE] = 1
    cache: Annotated[bool, Role.PLACE] = True
    early: Annotated[bool, Role.PLACE] = False

    @model_validator(mode="after")
    def _keeps_what_is_early(self) -> Self:
        if self.early and not self.cache:
            raise ValueError("early=true keeps verdicts in the cache: it needs cache=true")
        return self

    @abstractmethod
    def prepare(self) -> "Judge | None":
        """Make sure that the judge can judge, before any training; None = there is none and the run goes on.

        Raises:
            JudgeUnavailable: it cannot, and was asked for by name.
        """

    @abstractmethod
    def score(self, item: JudgeItem, repeat: int = 0) -> Verdict:
        """Score one answer. The verdict is final: it is cached, failures too. Called from `concurrency` threads.

        Args:
            item: what to judge.
            repeat: 0 to `repeats` - 1; a judge that samples draws anew for each.

        Raises:
            JudgeUnavailable: the judge could not be asked; asking later may do better.
            MedftError: it would not judge this one; it is failed, but not for ever.
        """

    def interrupt(self) -> None:
        """Begin no further request; called from another thread."""

    def plan(self, items: Sequence[JudgeItem]) -> None:
        """See everything that will be asked, before the first score."""

    def load(self) -> None:
        """Get ready to answer; called once, and only if something has to be asked.

        Raises:
            JudgeUnavailable: it cannot.
        """

    def describe(self) -> dict[str, str]:
        """What to log of the judge beyond its options: versions, digests."""
        return {}

    @property
    def context(self) -> int | None:
        """Tokens that it reads at most in this judging; a `too_long` verdict holds for this and for less."""
        return None

    @property
    def patience(self) -> int:
        """How often it asks where no score comes; a `failed` verdict holds for this and for less."""
        return 1

    def depends_on(self) -> dict[str, object]:
        """All that its scores depend on, beside the item: what tells two judges apart.

        `judge_hash` answers another question, whether a run was judged in this way. It is asked before any server is,
        so it knows the options only, and it takes those along that decide which answers are judged, and how often.
        """
        roles = {name: role_of_field(type(self), name) for name in type(self).model_fields}
        options = self.model_dump(include={name for name, role in roles.items() if role == Role.JUDGE}, mode="json")
        return {"class": f"{type(self).__module__}.{type(self).__qualname__}", "options": options}

    def identity(self) -> str:
        """SHA-256 (16 hex digits) over `depends_on`: verdicts of one identity may stand in for each other, so it is the
        same before and after `plan`.
        """
        return json_digest(self.depends_on())


def judge_of(config: Config) -> Judge:
    """The judge that a config names.

    Raises:
        InputError: what `_target_` names is none.
    """
    if not isinstance(config.judge, Judge):
        raise InputError(f"judge: {type(config.judge).__qualname__} is not a Judge")
    return config.judge
