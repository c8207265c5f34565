"""What the parts of the config are made of: sections, whose fields are its keys, and the role of each key.

Some sections name the class that they configure, readers and judges. A node such as

    reader:
      _target_: medft.data.readers.diseases.Diseases
      path: my.csv

becomes an instance of that class. Classes are pydantic models, so unknown keys, wrong types and ranges are found
while the config is checked, and only known subclasses of the expected base are ever imported and called.
"""

import importlib
import inspect
from enum import Flag, auto
from importlib.metadata import entry_points
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Ratio = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
RowsOrShare = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)]


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
    """The role that a key has in its section; `inherited` is that of the key that the section stands at."""
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


class Component(Section):
    """Base of every class that a `_target_` may name: its fields are its options."""

    home: ClassVar[str]  # the package of medft's own classes of this kind
    plugins: ClassVar[str]  # the entry points of installed packages that have others


class ReaderOptions(Component, role=Role.DATA):
    """`dataset.reader`; what a reader does is in `medft.data.readers.base`."""

    home: ClassVar[str] = "medft.data.readers"
    plugins: ClassVar[str] = "medft.readers"

    @classmethod
    def rate_path(cls, path: str) -> int:
        """How much a path looks like what this reader reads, for suggestions: 0 = not, or nobody can tell."""
        return 0

    def count(self) -> int | None:
        """How many rows there are, where that is known at once; None = reading tells."""
        return None


class JudgeOptions(Component, role=Role.JUDGE):
    """`judge`; what a judge does is in `medft.evaluation.judges.base`."""

    home: ClassVar[str] = "medft.evaluation.judges"
    plugins: ClassVar[str] = "medft.judges"


C = TypeVar("C", bound=Component)


def find_class(target: object, base: type[C]) -> type[C]:
    """The class a `_target_` names: one of medft's own, or one that an installed package has as an entry point.

    A config may come from somebody else, and importing a module runs it: nothing else is imported.

    Raises:
        ValueError: it is missing or unknown, cannot be imported, is no subclass of `base`, or is abstract.
    """
    if not isinstance(target, str) or "." not in target:
        raise ValueError(f"_target_ must name a class, such as package.module.Class (got {target!r})")
    component = _load(target, base)
    if not (isinstance(component, type) and issubclass(component, base)):
        raise ValueError(f"{target} is not a {base.__name__.removesuffix('Options')}")
    if inspect.isabstract(component):
        raise ValueError(f"{target} is abstract: name one of its subclasses")
    return component


def _load(target: str, base: type[Component]) -> object:
    module, _, name = target.rpartition(".")
    try:
        if module.startswith(f"{base.home}."):
            return getattr(importlib.import_module(module), name)
        for entry_point in entry_points(group=base.plugins):
            if entry_point.value.replace(":", ".") == target:
                return entry_point.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import {target}: {error}") from None
    raise ValueError(
        f"{target} is not known: it is not in {base.home}, and no installed package has it as an entry point "
        f"{base.plugins} (docs/extending.md)"
    )


def instantiate_as(base: type[C]) -> BeforeValidator:
    """Make a pydantic validator that turns a `_target_` node into an instance of a subclass of `base`."""

    def build(node: Any) -> C:
        if isinstance(node, base):
            return node
        if not isinstance(node, dict):
            raise ValueError("expected a mapping with a _target_")
        options = {key: value for key, value in node.items() if key != "_target_"}
        return find_class(node.get("_target_"), base).model_validate(options)

    return BeforeValidator(build)
