"""What runs differ in, and what to call them by it."""

import re
from collections.abc import Mapping, Sequence

from medft.config.roles import SEEDS, is_setting, role_of
from medft.runs.state import FINGERPRINT

Params = Mapping[str, str]

# keys that stand for a whole group of the config, and what else they bring with them
_GROUPS = {
    "model.name": ("model", ("model.", "optimizer.lr")),
    "dataset.name": ("dataset", ("dataset.",)),
    "finetune.method": ("finetune", ("finetune.", "optimizer.lr")),
    "optimizer.name": ("optimizer", ("optimizer.",)),
    "scheduler.name": ("scheduler", ("scheduler.",)),
}


def select_settings(params: Params, fingerprint: str) -> dict[str, str]:
    """What a run learned and how it was measured, by dotted key; of the data the fingerprint counts, not the path."""
    kept = {key: value for key, value in params.items() if is_setting(key, params) or _is_derived(key)}
    return kept | {FINGERPRINT: fingerprint}


def differing_keys(runs: Sequence[Params]) -> list[str]:
    """Keys that are not the same in all runs, seeds last."""
    keys = dict.fromkeys(key for run in runs for key in run)
    differing = [key for key in keys if len({run.get(key) for run in runs}) > 1]
    return sorted(differing, key=lambda key: key in SEEDS)


def label_variants(runs: Sequence[Params], swept: Sequence[str] = ()) -> list[str]:
    """A name for each of the runs: what differs, such as `max_length=256, long_answers=split`; may not be unique.
    What follows from `swept`, the keys that a sweep varied, in its order, is not part of a name.
    """
    keys = _naming_keys(runs, [as_param(key) for key in swept])
    short = shorten_keys(keys)
    return [", ".join(f"{short[key]}={format_value(run.get(key))}" for key in keys) for run in runs]


def as_param(key: str) -> str:
    """`model`, a group that was swept, is logged as `model.name`."""
    return next((param for param, (group, _) in _GROUPS.items() if group == key), key)


def format_value(value: str | None) -> str:
    """A value as YAML and the command line have it."""
    return {"None": "null", "True": "true", "False": "false", None: "-"}.get(value, str(value))


def _is_derived(key: str) -> bool:
    """Whether a parameter is no key of the config but follows from them, such as `dataset.size_used`."""
    return role_of(key) is None


def _naming_keys(runs: Sequence[Params], swept: Sequence[str]) -> list[str]:
    differing = differing_keys(runs)
    kept = [key for key in swept if key in differing]
    rest = [key for key in differing if key not in kept and not _is_derived(key)]
    rest = [key for key in rest if not _follows(runs, key, kept)]
    groups = [key for key in _GROUPS if key in rest]
    kept += groups + [key for key in rest if key not in groups and not _is_brought(runs, key, groups)]
    if len({tuple(run.get(key) for key in kept) for run in runs}) < len(runs):  # nothing else tells them apart
        kept += [key for key in differing if _is_derived(key) and not _follows(runs, key, kept)]
    return sorted(kept, key=lambda key: key in SEEDS)


def _is_brought(runs: Sequence[Params], key: str, groups: Sequence[str]) -> bool:
    """Whether a key is what it is since these groups were chosen."""
    bringing = [group for group in groups if key.startswith(_GROUPS[group][1])]
    return bool(bringing) and _follows(runs, key, bringing)


def _follows(runs: Sequence[Params], key: str, others: Sequence[str]) -> bool:
    """Whether the value of `key` is the same wherever those of `others` are."""
    values: dict[tuple[str | None, ...], set[str | None]] = {}
    for run in runs:
        values.setdefault(tuple(run.get(other) for other in others), set()).add(run.get(key))
    return all(len(each) == 1 for each in values.values())


def shorten_keys(keys: Sequence[str]) -> dict[str, str]:
    """The shortest end of each key that tells it from the others: `dataset.max_length` is `max_length`. A key that
    stands for a whole group is called by the group.
    """
    parts = {key: re.split(r"[./]", key) for key in keys}
    short = {}
    for key, own in parts.items():
        others = [each for other, each in parts.items() if other != key]
        unique = (size for size in range(1, len(own) + 1) if all(each[-size:] != own[-size:] for each in others))
        size = next(unique, len(own))
        short[key] = _GROUPS[key][0] if key in _GROUPS else key if size == len(own) else ".".join(own[-size:])
    return short
