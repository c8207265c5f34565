"""Composes configs without running anything: to a checked `Config`, or to one line for each thing that is wrong."""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from medft.config.paths import conf_dir, register_resolvers
from medft.config.schema import Config
from medft.errors import InputError


def compose_raw(overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    """Compose `conf/train.yaml` with overrides, unresolved.

    Raises:
        InputError: an override names no key or no option, or cannot be read.
    """
    register_resolvers()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("train", overrides=list(overrides), return_hydra_config=with_hydra)
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(describe_error(error)) from None


def compose_config(overrides: Sequence[str] = ()) -> Config:
    """Compose and check one run's config."""
    return check(compose_raw(overrides))


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


def load_yaml(file: Path, where: str) -> DictConfig:
    """Read a YAML file of keys and values, unresolved.

    Args:
        where: how the user knows the file, for the error.

    Raises:
        InputError: it is something else.
    """
    try:
        loaded = OmegaConf.load(file)
    # OmegaConf asserts that it is no single value, and PyYAML's parser recurses
    except (YAMLError, OmegaConfBaseException, OSError, ValueError, AssertionError, RecursionError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError(f"{where}: not a mapping of keys to values ({reason})") from None
    if not isinstance(loaded, DictConfig):
        raise InputError(f"{where}: not a mapping of keys to values")
    return loaded


def describe_errors(error: ValidationError, given: Mapping[str, Any]) -> list[str]:
    """One line for each wrong key of what was given, in its order, alternatives of one key joined with 'or'."""
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


def describe_error(error: Exception) -> str:
    """Hydra's error as one line that names the key and the nearest right one."""
    text = f"{error}\n{error.__cause__ or ''}"
    if match := re.search(r"Could not (?:override|append to config\.?[^']*) '([^']+)'", text):
        key, known = match[1], list(_keys(compose_raw([])))
        if key in known:  # the key exists, what is put into it does not
            inner = re.search(r"Key '([^']+)' is not in struct", text)
            unknown = f"{key}.{inner[1] if inner else ''}"
            return f"{unknown}: no such key; where new keys are allowed, +{unknown}=VALUE adds one"
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
        return f"{key}: no such key" + (f" (did you mean {near[0]}?)" if near else "; --cfg job prints all of them")
    if match := re.search(r"Could not find '([^']+)'\s*Available options in '[^']+':((?:\s*\t\S+)*)", text):
        group, _, wrong = match[1].rpartition("/")
        return f"{group}={wrong}: no such option; there are {', '.join(sorted(set(match[2].split()) - {'common'}))}"
    return " ".join(text.split())


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in map(str, node):
        yield f"{prefix}{key}"
        child = None if OmegaConf.is_missing(node, key) else node._get_node(key)
        if isinstance(child, DictConfig):
            yield from _keys(child, f"{prefix}{key}.")
