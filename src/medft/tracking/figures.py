"""Pictures of a run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

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
