"""What makes variants less comparable than they look, in words."""

from collections.abc import Sequence

from medft.comparison.labels import format_value
from medft.comparison.variants import Variant
from medft.config.roles import changes_measurement


def list_warnings(variants: Sequence[Variant]) -> list[str]:
    """What a reader has to know before any figure."""
    runs = [run for variant in variants for run in variant.runs]
    warnings = []
    keys = sorted({key for run in runs for key in run.params if changes_measurement(key)})
    values = {key: sorted({format_value(run.params[key]) for run in runs if key in run.params}) for key in keys}
    different = [f"{key} ({', '.join(each)})" for key, each in values.items() if len(each) > 1]
    if different:
        warnings.append(
            f"the variants were not measured alike, so differences may come from that: {'; '.join(different)}"
        )
    leaking = [variant.name for variant in variants if variant.is_leaking]
    if leaking:
        warnings.append(f"trained on test questions, so these figures say nothing about new ones: {'; '.join(leaking)}")
    devices = sorted({run.tags["device"] for run in runs if "device" in run.tags})
    if len(devices) > 1:
        warnings.append(f"trained on different devices ({', '.join(devices)}): seconds and memory do not compare")
    counts = sorted({len(variant.runs) for variant in variants if not variant.is_baseline})
    if len(counts) > 1:
        warnings.append(
            f"variants have from {counts[0]} to {counts[-1]} seeds: those with few depend more on the luck of the seed"
        )
    return warnings
