"""From a composed mapping to a checked `Config`, or to one line for each thing that is wrong."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from medft.config.schema import Config
from medft.errors import InputError


def check(raw: DictConfig) -> Config:
    """Resolve and validate a composed config.

    Raises:
        InputError: one line per wrong key, such as `dataset.size: must be at least 1 (got -1)`.
    """
    try:
        resolved = OmegaConf.to_container(raw, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        key, text = getattr(error, "full_key", None) or "config", str(error).splitlines()[0]
        is_missing = "Missing mandatory value" in text
        raise InputError(
            f"{key}: a value is required, for example {key}=..." if is_missing else f"{key}: {text}"
        ) from None
    if not isinstance(resolved, dict):
        raise InputError("the config is not a mapping")
    return validate({str(key): value for key, value in resolved.items()})


def validate(plain: dict[str, Any]) -> Config:
    """The same for a config that is resolved already."""
    try:
        config = Config.model_validate(plain)
    except ValidationError as error:
        raise InputError("\n".join(describe_errors(error, plain))) from None
    config._resolved = plain
    return config


def describe_errors(error: ValidationError, given: Mapping[str, Any]) -> list[str]:
    """One line for each wrong key, in the order of the config, alternatives of one key joined with 'or'.

    Args:
        given: what was validated.
    """
    messages: dict[str, dict[str, None]] = {}
    for item in error.errors(include_url=False):
        messages.setdefault(_key(item, given), {})[_message(item)] = None
    return [f"{key}: {' or '.join(texts)}" if key else " or ".join(texts) for key, texts in messages.items()]


def _key(item: Any, given: Any) -> str:
    """The key of an error. Where a key may hold one of several types, pydantic puts the one it tried into the path too
    (`dataset.path.list[str]`, `finetune.lora.rank`); what was given has nothing under that name.
    """
    parts = []
    for number, part in enumerate(item["loc"], 1):
        if (isinstance(given, dict) and part in given) or (isinstance(given, list) and isinstance(part, int)):
            given = given[part]
        elif item["type"] != "missing" or number < len(item["loc"]):
            continue
        parts.append(str(part))
    return ".".join(parts)


def _message(item: Any) -> str:
    kind, given = item["type"], item.get("input")
    if kind == "extra_forbidden":
        return "no such key"
    if kind == "missing":
        return "a value is required"
    text = item["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    if kind == "value_error" or isinstance(given, dict | BaseException):
        return str(text)
    return f"{text} (got {given!r})"
