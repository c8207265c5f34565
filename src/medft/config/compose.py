"""Composing configs without running anything."""

import difflib
import re
from collections.abc import Iterator, Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medft.config.check import check
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
        if OmegaConf.is_dict(node) and not OmegaConf.is_missing(node, key):
            child = node._get_node(key)
            if isinstance(child, DictConfig):
                yield from _keys(child, f"{prefix}{key}.")
