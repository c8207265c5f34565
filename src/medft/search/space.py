"""What may be searched: numbers between two ends, or one of several choices."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from medft.config.schema import Section
from medft.jobs.launchers import quoted

Value = str | int | float | bool | None


class Space(Section):
    """The values that a key may take."""

    @abstractmethod
    def ends(self) -> Sequence[Value]:
        """The values to try a config with before the first trial."""

    @abstractmethod
    def suggest(self, trial: Any, key: str) -> Value:
        """The value of a key in an Optuna trial; one that it has already stays."""

    def like(self, value: object) -> "Space":
        """The same, for a key whose value in the config is `value`."""
        return self


class Range(Space):
    """Numbers from `low` to `high`, both included; whole ones where both ends are and the key's value is not real."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high (got {self.low} and {self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"log: true needs low above 0 (got {self.low})")
        if self.log and self.step is not None:
            raise ValueError("step and log: true exclude each other")
        if self.step is not None:
            steps = (self.high - self.low) / self.step
            if abs(steps - round(steps)) > 1e-6:
                raise ValueError(f"high must be low and a whole number of steps (got {steps:g} steps)")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether it holds whole numbers only."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step or 1))

    def ends(self) -> Sequence[Value]:
        """Both ends."""
        return self.low, self.high

    def suggest(self, trial: Any, key: str) -> Value:
        """A number."""
        if self.is_whole:
            whole: int = trial.suggest_int(key, self.low, self.high, log=self.log, step=self.step or 1)
            return whole
        real: float = trial.suggest_float(key, self.low, self.high, log=self.log, step=self.step)
        return real

    def like(self, value: object) -> Space:
        """Real numbers where the config has one, though both ends may be written as whole ones."""
        if isinstance(value, float):
            return self.model_copy(update={"low": float(self.low), "high": float(self.high)})
        return self


class Choices(Space):
    """One of several values; of a config group, one of its files."""

    choices: list[Value] = Field(min_length=1)

    @field_validator("choices")
    @classmethod
    def _different(cls, choices: list[Value]) -> list[Value]:
        if len({repr(each) for each in choices}) < len(choices):
            raise ValueError("a value stands there twice")
        return choices

    def ends(self) -> Sequence[Value]:
        """Each choice."""
        return self.choices

    def suggest(self, trial: Any, key: str) -> Value:
        """One of them."""
        chosen: Value = trial.suggest_categorical(key, self.choices)
        return chosen


def space_of(node: object) -> Space:
    """From the plain mapping of a YAML.

    Raises:
        ValueError: it is neither ends nor choices.
    """
    if isinstance(node, Space):
        return node
    if not isinstance(node, dict):
        raise ValueError("must be {low: ..., high: ...} or {choices: [...]}")
    return (Choices if "choices" in node else Range).model_validate(node)


def override(key: str, value: Value) -> str:
    """A value as a Hydra override that is read back as exactly the same value."""
    if value is None:
        return f"{key}=null"
    if isinstance(value, bool):
        return f"{key}={str(value).lower()}"
    if isinstance(value, str):
        return f"{key}={_quoted(value)}"
    return f"{key}={value!r}"


def short(value: Value) -> str:
    """A value for people: three digits of a real number."""
    return f"{value:.3g}" if isinstance(value, float) else "null" if value is None else str(value)


def _quoted(text: str) -> str:
    """Plain where Hydra reads it as the same text."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        if OverridesParser.create().parse_overrides([f"key={text}"])[0].value() == text:
            return text
    except HydraException:
        pass
    return quoted(text)
