"""Pictures of a comparison, one colour an entry in all of them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from medft.comparison.compare import Comparison
from medft.comparison.costs import TRAIN_SECONDS
from medft.comparison.variants import Variant
from medft.report.plots import NARROW, Size, new_figure

_LINE = 0.17  # inches that a line of a legend takes
_SMALL = 7  # points
_FEW = 2  # entries up to which the model before fine-tuning is shown beside them


def by_entry(found: Comparison, metric: str, width: float = NARROW[0]) -> Any:
    """Each entry's value as a dot with its interval; small dots are the runs of each seed. Before fine-tuning lies so
    far off that nobody would see the others apart: where there are several, it is not shown.
    """
    entries = found.trained if len(found.trained) > _FEW else found.entries
    shown = [entry for entry in entries if found.result(metric, entry)]
    figure, axes = new_figure((width, 0.8 + 0.36 * len(shown)))
    for place, entry in enumerate(reversed(shown)):
        result = found.result(metric, entry)
        assert result is not None
        colour = colour_of(found, entry)
        if result.value.low is not None and result.value.high is not None:
            axes.plot([result.value.low, result.value.high], [place, place], color=colour, linewidth=2)
        axes.plot(result.value.value, place, "o", color=colour, markersize=7)
        if len(result.by_run) > 1:
            axes.plot(result.by_run, [place + 0.22] * len(result.by_run), ".", color=colour, alpha=0.7, markersize=5)
    reference = found.result(metric, found.reference)
    if reference:
        axes.axvline(reference.value.value, color="tab:gray", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(shown)), [_wrapped(entry.name) for entry in reversed(shown)], fontsize=_SMALL)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlabel(metric)
    axes.grid(axis="x", alpha=0.3)
    return figure


def score_by_cost(found: Comparison, size: Size = NARROW) -> Any | None:
    """The primary metric against the training time, the Pareto front as a line; None if no entry has a cost."""
    points = {}
    for entry in found.entries:
        result, seconds = found.result(found.primary, entry), found.costs[entry.name].get(TRAIN_SECONDS)
        if result and seconds is not None:
            points[entry.name] = (entry, seconds, result.value)
    if not points:
        return None
    figure, axes = new_figure(_with_legend(size, len(points)))
    for name, (entry, seconds, value) in points.items():
        colour = colour_of(found, entry)
        if value.low is not None and value.high is not None:
            axes.plot([seconds, seconds], [value.low, value.high], color=colour, alpha=0.5, linewidth=1)
        mark = "x" if entry.is_leaking else "D" if name in found.front else "o"
        axes.plot(
            seconds, value.value, mark, color=colour, label=plain(name) + (" (leaking)" if entry.is_leaking else "")
        )
    front = sorted((points[name][1], points[name][2].value) for name in found.front)
    for (left, upper), (right, lower) in pairwise(front):
        axes.plot([left, right, right], [upper, upper, lower], "--", color="tab:gray", linewidth=1)
    axes.set_xlabel("training time (s)")
    axes.set_ylabel(found.primary)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower left", fontsize=_SMALL, frameon=False)
    return figure


def curves(found: Comparison, size: Size = NARROW) -> Any:
    """Validation losses of all runs, training losses faint behind them."""
    figure, axes = new_figure(_with_legend(size, len(found.trained)))
    for entry in found.trained:
        colour = colour_of(found, entry)
        for number, run in enumerate(entry.runs):
            train, val = (run.curves.get(name, []) for name in ("train/loss", "val/loss"))
            axes.plot(*_columns(train), color=colour, alpha=0.15, linewidth=0.7)
            axes.plot(
                *_columns(val), color=colour, linewidth=1.4, marker=".", label=None if number else plain(entry.name)
            )
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss (nats per token)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower left", fontsize=_SMALL, frameon=False)
    return figure


def colour_of(found: Comparison, entry: Variant) -> Any:
    """An entry's colour: gray before fine-tuning, else ten strong ones, of more entries twenty."""
    from matplotlib import colormaps

    if entry.is_before:
        return "tab:gray"
    trained = [each.name for each in found.trained]
    many = len(trained) > 10
    return colormaps["tab20" if many else "tab10"](trained.index(entry.name) % (20 if many else 10))


def plain(text: str) -> str:
    """A text in which no formula is looked for."""
    return text.replace("$", r"\$")


def _with_legend(size: Size, lines: int) -> Size:
    return size[0], size[1] + _LINE * lines


def _columns(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [step for step, _ in points], [value for _, value in points]


def _wrapped(name: str) -> str:
    return plain(name).replace(", ", ",\n")
