"""Pictures of a run, of its data and of a search, as matplotlib figures."""

from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import accumulate
from typing import Any, Literal

from medft.data.samples import TruncationStats

Points = Sequence[tuple[int, float]]
Size = tuple[float, float]
Grid = Literal["both", "x", "y", ""]

WIDE: Size = (8, 4.5)  # inches
NARROW: Size = (5, 3.4)  # readable on a phone
STEPS, LOSS = "optimizer step", "loss (nats per token)"


def plot_losses(curves: Mapping[str, Points], references: Mapping[str, float], size: Size = WIDE) -> Any:
    """Losses over optimizer steps, with reference losses as dashed lines.

    Args:
        curves: by name, (step, nats a token).
        references: by name, nats a token.
    """
    figure, axes = make_figure(size, STEPS, LOSS)
    for name, points in curves.items():
        is_val = name.startswith("val")
        axes.plot(*split_points(points), label=name, marker="o" if is_val else "", linewidth=2 if is_val else 1,
                  alpha=1.0 if is_val else 0.6)  # fmt: skip
    for (name, value), colour in zip(references.items(), ("tab:gray", "tab:red", "tab:green"), strict=False):
        axes.axhline(value, linestyle="--", linewidth=1, color=colour, label=f"{name} {value:.2f}")
    axes.legend()
    return figure


def plot_lengths(lengths: Mapping[str, Any], cuts: Mapping[int, TruncationStats]) -> Any:
    """How long the rows of each split are, with a line at each length that cuts, and what it loses.

    Args:
        lengths: by split, tokens of each row (prompt + answer + end-of-text).
        cuts: by length, what cutting the training rows there loses.
    """
    import numpy as np

    x_label = "tokens of a row: prompt + answer + end-of-text (log scale)"
    figure, axes = make_figure(WIDE, x_label, "share of the split's rows", grid="")
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
    figure, axes = make_figure(NARROW, "score", "answers", grid="")
    axes.hist(list(scores.values()), bins=[*range(0, 100, 10), 100.001], label=list(scores))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(0, 100)
    axes.legend()
    return figure


def plot_score_by_length(words: Sequence[float], scores: Sequence[float]) -> Any:
    """Scores over the length of the answers: a judge that likes long answers shows here."""
    figure, axes = make_figure(NARROW, "words of the answer", "score")
    axes.scatter(words, scores, alpha=0.5, edgecolors="none")
    axes.set_ylim(-3, 103)
    return figure


def plot_trials(completed: Points, pruned: Points, metric: str, minimize: bool) -> Any:
    """What each trial of a search has reached, with the best so far.

    Args:
        completed, pruned: (number, value) of trials that ran to their end and that were given up.
    """
    figure, axes = make_figure(WIDE, "trial", metric)
    for points, name, marker in ((completed, "completed", "o"), (pruned, "pruned, when given up", "x")):
        if points:
            axes.scatter(*split_points(points), label=name, marker=marker)
    if completed:
        best = list(accumulate((value for _, value in completed), min if minimize else max))
        axes.step([number for number, _ in completed], best, where="post", color="tab:green", label="best so far")
        axes.legend()
    axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def render_svg(figure: Any) -> str:
    """The figure as an `<svg>` element whose text is text; the same figure is the same string."""
    import matplotlib

    text = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "medft"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]


def make_figure(size: Size, x_label: str, y_label: str = "", grid: Grid = "both") -> tuple[Any, Any]:
    """An empty figure and its axes.

    Args:
        size: in inches.
        grid: lines across which axis; empty = none.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=130, layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if grid:
        axes.grid(axis=grid, alpha=0.3)
    return figure, axes


def split_points(points: Points) -> tuple[list[int], list[float]]:
    """Points as coordinates of x and of y."""
    return [x for x, _ in points], [y for _, y in points]
