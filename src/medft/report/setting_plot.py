"""The picture of a sweep over one setting that is a number, with at most one other beside it."""

from collections.abc import Sequence
from typing import Any

from medft.comparison.compare import Comparison
from medft.comparison.variants import Variant
from medft.report.compare_plots import plain
from medft.report.plots import WIDE, Size, new_figure

_FAR_APART = 8.0  # greatest over least value of a setting, from which its axis is logarithmic


def over_setting(found: Comparison, keys: Sequence[str], size: Size = WIDE) -> Any | None:
    """The primary metric over a setting that is a number, a line for each value of another one; None if the sweep is
    not of that kind.

    Args:
        keys: one or two dotted keys that were varied.
    """
    varied = [key for key in keys if len({entry.values.get(key) for entry in found.trained}) > 1]
    number = next((key for key in varied if _numbers(found, key)), None)
    if number is None or len(varied) > 2:
        return None
    other = next((key for key in varied if key != number), "")
    lines: dict[str, list[Variant]] = {}
    for entry in sorted(found.trained, key=lambda entry: float(entry.values[number])):
        lines.setdefault(entry.values.get(other, ""), []).append(entry)
    if len(lines) * len(_numbers(found, number)) < len(found.trained):
        return None  # something else differs too
    figure, axes = new_figure(size)
    for place, (value, entries) in enumerate(lines.items()):
        _line(axes, found, number, entries, plain(f"{other}={value}") if other else "", f"C{place % 10}")
    _scale(axes, _numbers(found, number))
    axes.set_xlabel(number)
    axes.set_ylabel(found.primary)
    axes.grid(alpha=0.3)
    if other:
        axes.legend(fontsize=8)
    return figure


def _numbers(found: Comparison, key: str) -> list[float]:
    """The different values of a setting, least first; none if one of them is no number."""
    try:
        return sorted({float(entry.values[key]) for entry in found.trained})
    except ValueError:
        return []


def _line(axes: Any, found: Comparison, key: str, entries: Sequence[Variant], label: str, colour: str) -> None:
    points = [(float(entry.values[key]), entry, found.result(found.primary, entry)) for entry in entries]
    known = [(x, entry, result) for x, entry, result in points if result]
    axes.plot([x for x, _, _ in known], [each.value.value for *_, each in known], "-", color=colour, label=label)
    for x, entry, result in known:
        axes.plot(x, result.value.value, "x" if entry.is_leaking else "o", color=colour, markersize=7)
        if result.value.low is not None and result.value.high is not None:
            axes.plot([x, x], [result.value.low, result.value.high], color=colour, alpha=0.5, linewidth=2)
        if len(result.by_run) > 1:
            axes.plot([x] * len(result.by_run), result.by_run, "_", color=colour, markersize=16)


def _scale(axes: Any, values: Sequence[float]) -> None:
    """Logarithmic where the values are far apart; a tick for each."""
    if values[0] > 0 and values[-1] / values[0] >= _FAR_APART:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(values, [f"{value:g}" for value in values])
