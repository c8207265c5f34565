"""A figure of what a benchmark found: a bar for each way, medft's own in colour."""

from collections.abc import Mapping
from pathlib import Path


def draw_bars(speeds: Mapping[str, float], title: str, file: Path, unit: str = "tokens") -> None:
    """Draw how many a second each way does, the fastest on top; the ratio is to the slowest.

    Args:
        speeds: by way; those of medft begin with "medft".
        file: PNG, PDF or SVG.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    order = sorted(speeds, key=lambda way: speeds[way])
    figure, axes = pyplot.subplots(figsize=(7, 0.6 + 0.42 * len(order)), layout="constrained")
    colors = ["tab:blue" if way.startswith("medft") else "lightgray" for way in order]
    bars = axes.barh(order, [speeds[way] for way in order], color=colors)
    least = speeds[order[0]]
    axes.bar_label(
        bars, [f"{speeds[way]:,.{0 if least > 20 else 1}f}  ({speeds[way] / least:.2f})" for way in order], padding=4
    )
    axes.set_xlim(0, 1.25 * speeds[order[-1]])
    axes.set_xlabel(f"{unit} per second (times the slowest)")
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)
    pyplot.close(figure)
