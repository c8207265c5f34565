"""One job of a sweep: what it is called, where it writes, and which command repeats it alone."""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from medft.runs.provenance import command_line

_OWN = ("hydra.", "hydra/", "sweep.", "sweep/")
_LONGEST = 120  # characters of a folder's name


def named(raw: DictConfig, overrides: Sequence[str], folder: Path, label: str | None = None) -> DictConfig:
    """A job's config with its label, its command and its own folder.

    Args:
        overrides: all of the job's.
        folder: of the sweep.
        label: of the job; None = made of the swept values.
    """
    values = swept_values(overrides, list(raw.sweep.swept))
    label = label or job_label(values)
    OmegaConf.update(raw, "sweep.label", label)
    OmegaConf.update(raw, "sweep.values", values, force_add=True)
    OmegaConf.update(raw, "sweep.command", job_command(overrides))
    OmegaConf.update(raw, "paths.output_dir", str(folder / folder_name(label)))
    return raw


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each swept key, or the whole key where two end alike: `dataset.max_length` is `max_length`."""
    last = {key: re.split(r"[./]", key)[-1] for key in keys}
    often = Counter(last.values())
    return {key: short if often[short] == 1 else key for key, short in last.items()}


def job_label(values: Mapping[str, str]) -> str:
    """What sets a job apart in its sweep, such as `max_length=512, seed=1`."""
    return ", ".join(f"{short}={value}" for short, value in values.items()) or "the only job"


def swept_values(overrides: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """The value of each swept key under its short name, in an order that the command line does not change."""
    parsed = {each.key_or_group: each for each in OverridesParser.create().parse_overrides(list(overrides))}
    names = short_names(keys)
    ordered = sorted((key for key in keys if key in parsed), key=lambda key: (key == "seed", key))
    return {names[key]: parsed[key].get_value_element_as_str() for key in ordered}


def job_command(overrides: Sequence[str]) -> str:
    """The command that runs the job alone."""
    return command_line("medft train", [each for each in overrides if not each.lstrip("+~").startswith(_OWN)])


def folder_name(label: str) -> str:
    """A label as the name of a folder, which other labels do not share."""
    plain = label.replace(", ", ",")
    safe = re.sub(r"[^A-Za-z0-9=._,+-]+", "_", plain)[:_LONGEST].strip(".") or "job"
    return safe if safe == plain else f"{safe}-{hashlib.sha256(label.encode()).hexdigest()[:8]}"
