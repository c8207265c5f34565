"""Pictures of a run, of its data, of a search and of a comparison, as matplotlib figures."""

import warnings
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medft.comparison.compare import Comparison
from medft.comparison.metrics import TRAIN_SECONDS
from medft.comparison.variants import Variant
from medft.metrics.statistics import Estimate
from medft.runs.metric_names import LOSS_CURVES

if TYPE_CHECKING:  # imports torch, and who only looks at results does without
    from medft.data.samples import TruncationStats

Points = Sequence[tuple[int, float]]
Size = tuple[float, float]

WIDE: Size = (8, 4.5)  # inches
STEPS, LOSS = "optimizer step", "loss (nats per token)"
NARROW: Size = (5, 3.4)  # readable on a phone
_LINE = 0.17  # inches that a line of a legend takes
_SMALL = 7  # points
_FEW = 2  # variants up to which the model before fine-tuning is shown beside them
_FAR_APART = 8.0  # greatest over least value of a setting, from which its axis is logarithmic

# names in scripts that matplotlib's font lacks are boxes in a picture; the page and the table have them as text
warnings.filterwarnings("ignore", message="Glyph .* missing from")


def plot_losses(curves: Mapping[str, Points], references: Mapping[str, float], size: Size = WIDE) -> Any:
    """Losses, nats a token, over optimizer steps, by name; with reference losses as dashed lines."""
    figure, axes = _make_figure(size, STEPS, LOSS)
    for name, points in curves.items():
        is_val = name.startswith("val")
        axes.plot(*_split_points(points), label=name, marker="o" if is_val else "", linewidth=2 if is_val else 1,
                  alpha=1.0 if is_val else 0.6)  # fmt: skip
    for (name, value), colour in zip(references.items(), ("tab:gray", "tab:red", "tab:green"), strict=False):
        axes.axhline(value, linestyle="--", linewidth=1, color=colour, label=f"{name} {value:.2f}")
    axes.legend()
    return figure


def plot_lengths(lengths: Mapping[str, Any], cuts: Mapping[int, "TruncationStats"]) -> Any:
    """How long the rows of each split are, in tokens (prompt + answer + end-of-text), with a line at each length that
    cuts, and what cutting the training rows there loses.
    """
    import numpy as np

    x_label = "tokens of a row: prompt + answer + end-of-text (log scale)"
    figure, axes = _make_figure(WIDE, x_label, "share of the split's rows", grid="")
    shortest = min(int(each.min()) for each in lengths.values())
    longest = max([*(int(each.max()) for each in lengths.values()), *cuts])
    bins = [shortest * (1.15 * longest / shortest) ** (number / 32) for number in range(33)]
    for name, each in lengths.items():
        filled = name == "train"
        axes.hist(each, bins=bins, weights=np.full(len(each), 1 / len(each)), label=f"{name} ({len(each):,} rows)",
                  histtype="stepfilled" if filled else "step", alpha=0.35 if filled else 1.0)  # fmt: skip
    top = 1.15 * axes.get_ylim()[1]  # room for the words above the bars
    axes.set_ylim(top=top)
    for number, (length, stats) in enumerate(cuts.items()):
        axes.axvline(length, color="tab:red", linestyle="--", linewidth=1)
        cut, lost = stats.answers_cut / max(1, stats.rows), stats.answer_tokens_lost / max(1, stats.answer_tokens)
        text = f"{length}: {cut:.0%} of answers truncated,\n{lost:.0%} of answer tokens lost"
        axes.text(length * 1.02, top * (0.98 - 0.11 * number), text, color="tab:red", fontsize=7, va="top",
                  bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1})  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.legend(loc="upper left", fontsize=8)
    return figure


def plot_scores(scores: Mapping[str, Sequence[float]]) -> Any:
    """A histogram of scores from 0 to 100 in bins of ten, by name."""
    figure, axes = _make_figure(NARROW, "score", "answers", grid="")
    axes.hist(list(scores.values()), bins=[*range(0, 100, 10), 100.001], label=list(scores))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(0, 100)
    axes.legend()
    return figure


def plot_score_by_length(words: Sequence[float], scores: Sequence[float]) -> Any:
    """Scores over the length of the answers: a judge that likes long answers shows here."""
    figure, axes = _make_figure(NARROW, "words of the answer", "score")
    axes.scatter(words, scores, alpha=0.5, edgecolors="none")
    axes.set_ylim(-3, 103)
    return figure


def plot_trials(completed: Points, pruned: Points, metric: str, minimize: bool) -> Any:
    """What each trial of a search, (number, value), has reached or was given up at, with the best so far."""
    figure, axes = _make_figure(WIDE, "trial", metric)
    for points, name, marker in ((completed, "completed", "o"), (pruned, "pruned, when given up", "x")):
        if points:
            axes.scatter(*_split_points(points), label=name, marker=marker)
    if completed:
        best = list(accumulate((value for _, value in completed), min if minimize else max))
        axes.step([number for number, _ in completed], best, where="post", color="tab:green", label="best so far")
        axes.legend()
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def plot_variants(comparison: Comparison, metric: str, width: float = NARROW[0]) -> Any:
    """Each variant's value as a dot with its interval; small dots are the runs of each seed. The model before
    fine-tuning lies so far off that the others would be one spot: where there are several, it is not shown.
    """
    variants = comparison.trained if len(comparison.trained) > _FEW else comparison.variants
    shown = [(variant, result) for variant in variants if (result := comparison.result(metric, variant))]
    label = describe_intervals(comparison, metric).replace(" with ", "\nwith ")  # wider than a narrow figure
    figure, axes = _make_figure((width, 0.8 + 0.36 * len(shown)), label, grid="x")
    for place, (variant, result) in enumerate(reversed(shown)):
        colour = _choose_colour(comparison, variant)
        _draw_interval(axes, result.value, place, is_horizontal=True, color=colour, linewidth=2)
        axes.plot(result.value.value, place, "o", color=colour, markersize=7)
        if len(result.by_run) > 1:
            axes.plot(result.by_run, [place + 0.22] * len(result.by_run), ".", color=colour, alpha=0.7, markersize=5)
    if reference := comparison.result(metric, comparison.reference):
        axes.axvline(reference.value.value, color="tab:gray", linestyle=":", linewidth=1)
    names = [_escape_dollars(variant.name).replace(", ", ",\n") for variant, _ in reversed(shown)]
    axes.set_yticks(range(len(shown)), names, fontsize=_SMALL)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    return figure


def describe_intervals(comparison: Comparison, metric: str) -> str:
    """What the intervals of a figure are over: those of variants with several seeds are of settings."""
    have_seeds = {len(variant.runs) > 1 for variant in comparison.trained}
    over = "seeds and groups" if True in have_seeds else "groups, of these trained models"
    return f"{metric} with 95% intervals over {over}{'; of one seed over groups' if len(have_seeds) > 1 else ''}"


def plot_score_by_cost(comparison: Comparison) -> Any | None:
    """The primary metric against what training has cost, with what is worth it as diamonds; None if none has a cost."""
    points = {}
    cost = comparison.front_cost or TRAIN_SECONDS
    for variant in comparison.variants:
        result = comparison.result(comparison.primary, variant)
        spent = comparison.costs[variant.name].get(cost)
        if result and spent is not None:
            points[variant.name] = (variant, spent, result.value)
    if not points:
        return None
    figure, axes = _make_figure_with_legend(len(points), f"cost/{cost}", comparison.primary)
    for name, (variant, spent, value) in points.items():
        colour = _choose_colour(comparison, variant)
        _draw_interval(axes, value, spent, color=colour, alpha=0.5, linewidth=1)
        mark = "x" if variant.is_leaking else "D" if name in comparison.front else "o"
        label = _escape_dollars(name) + (" (leaking)" if variant.is_leaking else "")
        axes.plot(spent, value.value, mark, color=colour, label=label)
    front = sorted((points[name][1], points[name][2].value) for name in comparison.front)
    for (left, upper), (right, lower) in pairwise(front):
        axes.plot([left, right, right], [upper, upper, lower], "--", color="tab:gray", linewidth=1)
    figure.legend(loc="outside lower left", fontsize=_SMALL, frameon=False)
    return figure


def plot_curves(comparison: Comparison) -> Any:
    """Validation losses of all runs, training losses faint behind them."""
    figure, axes = _make_figure_with_legend(len(comparison.trained), STEPS, LOSS)
    for variant in comparison.trained:
        colour = _choose_colour(comparison, variant)
        for number, run in enumerate(variant.runs):
            train, validation = (_split_points(run.curves.get(name, [])) for name in LOSS_CURVES)
            label = None if number else _escape_dollars(variant.name)
            axes.plot(*train, color=colour, alpha=0.15, linewidth=0.7)
            axes.plot(*validation, color=colour, linewidth=1.4, marker=".", label=label)
    figure.legend(loc="outside lower left", fontsize=_SMALL, frameon=False)
    return figure


def plot_over_setting(comparison: Comparison, keys: Sequence[str]) -> Any | None:
    """The primary metric over a setting that is a number, a line for each value of another one; None if the `keys` that
    a sweep varied are not of that kind.
    """
    varied = [key for key in keys if len({variant.values.get(key) for variant in comparison.trained}) > 1]
    number = next((key for key in varied if _read_numbers(comparison, key)), None)
    if number is None or len(varied) > 2:
        return None
    other = next((key for key in varied if key != number), "")
    values = _read_numbers(comparison, number)
    lines: dict[str, list[Variant]] = {}
    for variant in sorted(comparison.trained, key=lambda variant: float(variant.values[number])):
        lines.setdefault(variant.values.get(other, ""), []).append(variant)
    if len(lines) * len(values) < len(comparison.trained):
        return None  # something else differs too
    figure, axes = _make_figure(WIDE, number, comparison.primary)
    for place, (value, variants) in enumerate(lines.items()):
        colour = f"C{place % 10}"
        points = [
            (float(variant.values[number]), variant, result)
            for variant in variants
            if (result := comparison.result(comparison.primary, variant))
        ]
        label = _escape_dollars(f"{other}={value}") if other else ""
        axes.plot([x for x, *_ in points], [each.value.value for *_, each in points], "-", color=colour, label=label)
        for x, variant, result in points:
            axes.plot(x, result.value.value, "x" if variant.is_leaking else "o", color=colour, markersize=7)
            _draw_interval(axes, result.value, x, color=colour, alpha=0.5, linewidth=2)
            if len(result.by_run) > 1:
                axes.plot([x] * len(result.by_run), result.by_run, "_", color=colour, markersize=16)
    if values[0] > 0 and values[-1] / values[0] >= _FAR_APART:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(values, [f"{value:g}" for value in values])
    if other:
        axes.legend(fontsize=8)
    return figure


def _read_numbers(comparison: Comparison, key: str) -> list[float]:
    """The different values of a setting, least first; none if one of them is no number."""
    try:
        return sorted({float(variant.values[key]) for variant in comparison.trained})
    except ValueError:
        return []


def _draw_interval(axes: Any, estimate: Estimate, place: float, is_horizontal: bool = False, **style: Any) -> None:
    """A line from the low to the high end of an estimate, where it has an interval."""
    if estimate.low is not None and estimate.high is not None:
        ends, places = [estimate.low, estimate.high], [place, place]
        axes.plot(*((ends, places) if is_horizontal else (places, ends)), **style)


def _choose_colour(comparison: Comparison, variant: Variant) -> Any:
    """A variant's colour: gray before fine-tuning, else ten strong ones, of more variants twenty."""
    from matplotlib import colormaps

    if variant.is_baseline:
        return "tab:gray"
    colours = colormaps["tab20" if len(comparison.trained) > 10 else "tab10"]
    return colours(comparison.trained.index(variant) % colours.N)


def _escape_dollars(text: str) -> str:
    """A text in which matplotlib looks for no formula."""
    return text.replace("$", r"\$")


def _make_figure_with_legend(lines: int, x_label: str, y_label: str) -> tuple[Any, Any]:
    return _make_figure((NARROW[0], NARROW[1] + _LINE * lines), x_label, y_label)


def _make_figure(
    size: Size, x_label: str, y_label: str = "", grid: Literal["both", "x", ""] = "both"
) -> tuple[Any, Any]:
    """An empty figure of a size in inches, and its axes, with grid lines across one of them, both or none."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=130, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if grid:
        axes.grid(axis=grid, alpha=0.3)
    return figure, axes


def _split_points(points: Points) -> tuple[list[int], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def save_figure(figure: Any, path: Path) -> None:
    """Save a figure to look at (PNG) and for a paper (PDF, SVG); `path` has no suffix."""
    figure.savefig(path.with_suffix(".png"))
    figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None})
    path.with_suffix(".svg").write_text(render_svg(figure), encoding="utf-8")


def render_svg(figure: Any) -> str:
    """The figure as an `<svg>` element whose text is text; the same figure is the same string."""
    import matplotlib

    text = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "medft"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
