"""Pictures of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medft.data.windows import Cuts

Points = Sequence[tuple[int, float]]


def loss_curves(curves: Mapping[str, Points], references: Mapping[str, float], path: Path) -> None:
    """Draw losses over optimizer steps, with reference losses as dashed lines.

    Args:
        curves: by name, (step, nats a token).
        references: by name, nats a token.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=130, layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        steps, values = [step for step, _ in points], [value for _, value in points]
        is_validation = name.startswith("val")
        axes.plot(steps, values, label=name, marker="o" if is_validation else None,
                  linewidth=2 if is_validation else 1, alpha=1.0 if is_validation else 0.6)  # fmt: skip
    for (name, value), colour in zip(references.items(), ("tab:gray", "tab:red", "tab:green"), strict=False):
        axes.axhline(value, linestyle="--", linewidth=1, color=colour, label=f"{name} {value:.2f}")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("loss (nats per token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def length_histogram(lengths: Mapping[str, Any], cuts: Mapping[int, Cuts], path: Path) -> None:
    """Draw how long the rows of each split are, with a line at each length that cuts, and what it loses.

    Args:
        lengths: by split, tokens of each row (prompt + answer + end-of-text).
        cuts: by length, what cutting the training rows there loses.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=130, layout="constrained")
    axes = figure.subplots()
    shortest = min(int(each.min()) for each in lengths.values())
    longest = max([*(int(each.max()) for each in lengths.values()), *cuts])
    bins = [shortest * (1.15 * longest / shortest) ** (number / 32) for number in range(33)]
    for name, each in lengths.items():
        filled = name == "train"
        axes.hist(each, bins=bins, weights=np.full(len(each), 1 / len(each)), label=f"{name} ({len(each):,} rows)",
                  histtype="stepfilled" if filled else "step", alpha=0.35 if filled else 1.0)  # fmt: skip
    top = 1.15 * axes.get_ylim()[1]  # room for the words above the bars
    axes.set_ylim(top=top)
    for number, (length, found) in enumerate(cuts.items()):
        lost = found.answer_tokens_lost / max(1, found.answer_tokens)
        axes.axvline(length, color="tab:red", linestyle="--", linewidth=1)
        text = (
            f"{length}: {found.answers_cut / max(1, found.rows):.0%} of answers cut,\n{lost:.0%} of answer tokens lost"
        )
        axes.text(length * 1.02, top * (0.98 - 0.11 * number), text, color="tab:red", fontsize=7, va="top",
                  bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1})  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("tokens of a row: prompt + answer + end-of-text (log scale)")
    axes.set_ylabel("share of the split's rows")
    axes.legend(loc="upper left", fontsize=8)
    figure.savefig(path)
