"""What the parts of the config are made of: sections, whose fields are its keys, and the role of each key."""

from enum import Flag, auto
from typing import Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict


class Role(Flag):
    """What a key of the config is, which decides whether a run is the same without it (see `roles.py`).

    A section names its role once, `class AuditConfig(Section, role=Role.SHOWN)`; a key of another kind says so itself:
    `log_every_n_steps: Annotated[int, Role.SHOWN]`. A few keys have two. With SHOWN as the second, a key belongs to
    what the first one says but changes none of the other figures: `judge.limit`, `evaluation.baseline`.
    """

    DATA = auto()  # which rows and which of their tokens are learned from and validated on
    LEARNED = auto()  # what is learned from them
    MEASURED = auto()  # how answers are generated and measured
    JUDGE = auto()  # who judges, and what
    PLACE = auto()  # where things lie and jobs run, and how they are reached: folders, servers, time limits
    SHOWN = auto()  # what is shown, logged, checked or tracked


class Section(BaseModel):
    """A part of the config. Unknown keys are errors; values are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    default_role: ClassVar[Role | None] = None  # of keys that name none; None = that of the key this section stands at

    def __init_subclass__(cls, role: Role | None = None, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.default_role = role or cls.default_role


def role_of_field(section: type[BaseModel], name: str, inherited: Role | None = None) -> Role | None:
    """The role that a key has in its section.

    Args:
        inherited: of the key that the section stands at.
    """
    # a subclass that gives a field another default need not say again what it is
    bases = [base for base in section.__mro__ if issubclass(base, BaseModel)]
    fields = [base.model_fields[name] for base in bases if name in base.model_fields]
    own = next((each for known in fields for each in known.metadata if isinstance(each, Role)), None)
    below = [getattr(each, "default_role", None) for each in sections_in(section.model_fields[name].annotation)]
    return own or next(filter(None, below), None) or getattr(section, "default_role", None) or inherited


def sections_in(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a key of this type may hold: none for a plain value, several for alternatives."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for each in get_args(annotation) for section in sections_in(each)]
