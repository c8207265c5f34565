"""The options that the groups of `conf/` have: which there are, which have a key, which read a file of the user's."""

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import yaml

from medft.config.paths import conf_dir
from medft.config.section import ReaderOptions, find_class

TO_NAME = "???"  # what a user has to say
BASE = "common"  # the file that the options of a group start from, itself none


def list_options(group: str) -> dict[str, dict[str, Any]]:
    """What is in the file of each option of a group, by the option's name."""
    files = {file.stem: file for file in (conf_dir() / group).glob("*.yaml") if file.stem != BASE}
    return {name: yaml.safe_load(files[name].read_text(encoding="utf-8")) or {} for name in sorted(files)}


@dataclass(frozen=True)
class Preset:
    """A model of conf/model, as its file and the comment at its head describe it.

    Attributes:
        parameters: such as `124 M`.
        source, sha256: as in its file; no source = made from scratch, ??? = to be named.
    """

    name: str
    parameters: str
    licence: str
    source: str | None
    sha256: str | None


def list_presets() -> list[Preset]:
    """The models of conf/model, by name."""
    presets = []
    for name, node in list_options("model").items():
        size = re.search(r"([\d,.]+ [MB]) parameters", _read_head("model", name))
        own = (node.get(key) for key in ("source", "sha256"))
        presets.append(Preset(name, size[1] if size else "", find_licence("model", name), *own))
    return presets


def find_licence(group: str, name: str) -> str:
    """Find the licence that an option's file names, such as `Apache-2.0`; empty where it names none."""
    found = re.search(r"Licence: ([\w-]+(?:\.\d+)?)", _read_head(group, name))
    return found[1] if found else ""


def _read_head(group: str, name: str) -> str:
    """The comment at the head of an option's file; empty if there is no such option."""
    file = conf_dir() / group / f"{name}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))


def list_with_key(key: str) -> list[str]:
    """Overrides that choose an option which has a key that others lack, such as `optimizer=sgd`."""
    group, *parts = key.split(".")
    found = []
    for name, node in list_options(group).items():
        inner: Any = node
        for part in parts:
            inner = inner.get(part, KeyError) if isinstance(inner, dict) else KeyError
        if parts and inner is not KeyError:
            found.append(f"{group}={name}")
    return found


def list_file_readers(path: str) -> list[str]:
    """Overrides that choose a data set which reads `dataset.path`, those first that a path looks made for."""
    ranked = []
    for name, node in list_options("dataset").items():
        reader = node.get("reader", {})
        if "${dataset.path}" in str(reader):
            fit = 0
            with suppress(ValueError):
                fit = find_class(reader.get("_target_"), ReaderOptions).rate_path(path)
            ranked.append((-fit, f"dataset={name}"))
    return [override for _, override in sorted(ranked)]


def list_pretrained() -> list[str]:
    """Overrides that choose a model with weights."""
    return [f"model={preset.name}" for preset in list_presets() if preset.source not in (None, TO_NAME)]


def list_with_rows() -> list[str]:
    """Overrides that choose a data set which is found without a path, but not bundled."""
    return [
        f"dataset={name}" for name, node in list_options("dataset").items() if node.get("path") not in (None, TO_NAME)
    ]
