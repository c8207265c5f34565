"""What a run prints at its end: before against after, and some answers to read."""

from collections.abc import Mapping, Sequence

from medft.console import table
from medft.evaluation.predictions import Prediction
from medft.metrics.aggregate import MEASURED

_COLUMNS = ("metric", "before", "after", "difference", "p")
_PARTS = ("_ci_low", "_ci_high", "_p")  # of another metric
_ANSWERS = 3
_CHARACTERS = 240  # of each answer shown; predictions.jsonl has them whole


def print_summary(metrics: Mapping[str, float], predictions: Sequence[Prediction]) -> None:
    """Print the results table and three answers side by side."""
    table(f"test questions (n={len(predictions)}), with 95% intervals", _COLUMNS, _rows(metrics))
    shown = list({each.group: each for each in predictions}.values())[:_ANSWERS]  # of different subjects
    shown += [each for each in predictions if each not in shown][: _ANSWERS - len(shown)]
    rows = [
        (
            each.instruction,
            _short(each.expected),
            _short(each.baseline_answer or "-"),
            _short(each.generated_answer),
        )
        for each in shown
    ]
    title = f"{len(rows)} of {len(predictions)} answers, {_CHARACTERS} characters of each"
    table(title, ("question", "expected", "before", "after"), rows, wrap=True)


def print_scores(judge: str, metrics: Mapping[str, float]) -> None:
    """Print what one judge found."""
    base = f"judge/{judge}/"
    keys = [key for key in metrics if not key.endswith(_PARTS)]
    rows = [(key, interval(metrics, key), p_value(metrics, key)) for key in keys]
    table(f"judge {judge}", ("metric", "value [95% interval]", "p"), [row for row in rows if row[0].startswith(base)])
    others = [row for row in rows if not row[0].startswith(base)]
    if others:
        table("agreement between judges", ("metric", "value [95% interval]", "p"), others)


def interval(metrics: Mapping[str, float], key: str) -> str:
    """A metric with its interval, such as `0.183 [0.170, 0.197]`; a dash where there is none."""
    if key not in metrics:
        return "-"
    low, high = (metrics.get(f"{key}_ci_{end}") for end in ("low", "high"))
    if low is None or high is None:
        return number(metrics[key])
    decimals = _decimals(max(abs(metrics[key]), abs(low), abs(high)))
    return f"{number(metrics[key], decimals)} [{number(low, decimals)}, {number(high, decimals)}]"


def number(value: float, decimals: int | None = None) -> str:
    """Three decimals below 10, one above: what the intervals allow."""
    return f"{value:,.{_decimals(value) if decimals is None else decimals}f}"


def _decimals(value: float) -> int:
    return 3 if abs(value) < 10 else 1


def p_value(metrics: Mapping[str, float], key: str) -> str:
    """The p-value of a difference; empty where there is none."""
    if f"{key}_p" not in metrics:
        return ""
    p = metrics[f"{key}_p"]
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _rows(metrics: Mapping[str, float]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [(name, *cells(metrics, *measured_keys(name))) for name in MEASURED]
    for key in metrics:
        if key.startswith("judge/") and key.endswith("/score"):
            base = key.removesuffix("score")
            counts = ", ".join(f"{metrics[base + name]:.0f} {name}" for name in ("scored", "failed", "too_long"))
            worth = {0.0: "UNRELIABLE on its controls, ", None: "of unknown worth, "}.get(
                metrics.get(f"{base}reliable"), ""
            )
            rows.append((f"{key} ({worth}{counts})", *cells(metrics, *judge_keys(base))))
    rows.append(("reference/unigram_loss", "", interval(metrics, "reference/unigram_loss"), "", ""))
    return rows + [(key, "", number(value), "", "") for key, value in metrics.items() if key.startswith("cost/")]


def measured_keys(name: str) -> tuple[str, str, str]:
    """Where a measured metric stands before, after, and as a difference."""
    return f"baseline/{name}", f"test/{name}", f"difference/{name}"


def judge_keys(base: str) -> tuple[str, str, str]:
    """The same for the scores under `judge/<judge>/`."""
    return f"{base}baseline_score", f"{base}score", f"{base}difference"


def cells(metrics: Mapping[str, float], before: str, after: str, difference: str) -> list[str]:
    """What a line of the results shows: before, after and difference with their intervals, and the p-value."""
    return [*(interval(metrics, key) for key in (before, after, difference)), p_value(metrics, difference)]


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"
