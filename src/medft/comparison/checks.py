"""What makes entries less comparable than they look, in words."""

from collections.abc import Sequence

from medft.comparison.labels import shown
from medft.comparison.variants import Variant
from medft.runs.record import RunRecord

_MEASURING = ("evaluation.", "generation.", "dataset.prompt")
_HARMLESS = ("evaluation.baseline", "evaluation.probes", "evaluation.weights")


def warnings_of(entries: Sequence[Variant]) -> list[str]:
    """What a reader has to know before any figure."""
    runs = [run for entry in entries for run in entry.runs]
    return [*_measured_otherwise(runs), *_leaking(entries), *_other_devices(runs), *_uneven_seeds(entries)]


def _measured_otherwise(runs: Sequence[RunRecord]) -> list[str]:
    keys = sorted({key for run in runs for key in run.params if key.startswith(_MEASURING) and key not in _HARMLESS})
    values = {key: sorted({shown(run.params[key]) for run in runs if key in run.params}) for key in keys}
    different = [f"{key} ({', '.join(each)})" for key, each in values.items() if len(each) > 1]
    if not different:
        return []
    return [f"the entries were not measured alike, so differences may come from that: {'; '.join(different)}"]


def _leaking(entries: Sequence[Variant]) -> list[str]:
    names = [entry.name for entry in entries if entry.is_leaking]
    if not names:
        return []
    return [f"trained on test questions, so these figures say nothing about new ones: {'; '.join(names)}"]


def _other_devices(runs: Sequence[RunRecord]) -> list[str]:
    devices = sorted({run.tags["device"] for run in runs if "device" in run.tags})
    if len(devices) < 2:
        return []
    return [f"trained on different devices ({', '.join(devices)}): seconds and memory do not compare"]


def _uneven_seeds(entries: Sequence[Variant]) -> list[str]:
    counts = sorted({len(entry.runs) for entry in entries if not entry.is_before})
    if len(counts) < 2:
        return []
    return [f"entries have from {counts[0]} to {counts[-1]} seeds: those of few hang more on the luck of the seed"]
