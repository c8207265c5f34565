"""Parts of the config that name the class they configure: readers and judges.

A node such as

    reader:
      _target_: medft.data.readers.diseases.Diseases
      path: my.csv

becomes an instance of that class. Classes are pydantic models, so unknown keys, wrong types and ranges are found
while the config is checked, and only subclasses of the expected base are ever called.
"""

import importlib
from typing import Any, TypeVar

from pydantic import BeforeValidator

from medft.config.section import Role, Section


class Component(Section):
    """Base of every class that a `_target_` may name: its fields are its options."""


class ReaderOptions(Component, role=Role.DATA):
    """`dataset.reader`; what a reader does is in `medft.data.readers.base`."""


class JudgeOptions(Component, role=Role.JUDGE):
    """`judge`; what a judge does is in `medft.evaluation.judges.base`."""


C = TypeVar("C", bound=Component)


def find_class(target: object, base: type[C]) -> type[C]:
    """The class a `_target_` names.

    Raises:
        ValueError: it is missing, cannot be imported, or is no subclass of `base`.
    """
    if not isinstance(target, str) or "." not in target:
        raise ValueError(f"_target_ must name a class, such as package.module.Class (got {target!r})")
    module_name, _, class_name = target.rpartition(".")
    try:
        component = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"cannot import {target}: {error}") from None
    if not (isinstance(component, type) and issubclass(component, base)):
        raise ValueError(f"{target} is not a {base.__name__.removesuffix('Options')}")
    return component


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
