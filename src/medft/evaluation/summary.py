"""What a run prints at its end: before against after, and some answers to read."""

from collections.abc import Mapping, Sequence

from medft.console import table
from medft.evaluation.predictions import Prediction

_SHOWN = ("loss", "perplexity", "bits_per_byte", "rouge1", "rouge2", "rougeL", "chrf", "token_f1", "exact_match",
          "length_ratio", "repeat_share", "limit_share")  # fmt: skip
_ANSWERS = 3
_CHARACTERS = 240  # of each answer shown; predictions.jsonl has them whole


def print_summary(metrics: Mapping[str, float], predictions: Sequence[Prediction]) -> None:
    """Print the results table and three answers side by side."""
    table(f"test questions (n={len(predictions)})", ("metric", "before", "after"), _rows(metrics))
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


def _rows(metrics: Mapping[str, float]) -> list[tuple[str, str, str]]:
    rows = [(name, _cell(metrics, f"baseline/{name}"), _cell(metrics, f"test/{name}")) for name in _SHOWN]
    for key in metrics:
        if key.startswith("judge/") and key.endswith("/score"):
            base = key.removesuffix("score")
            counts = f"{metrics[base + 'scored']:.0f} scored, {metrics[base + 'failed']:.0f} failed"
            rows.append((f"{key} ({counts})", _cell(metrics, f"{base}baseline_score"), _cell(metrics, key)))
    rows.append(("reference/unigram_loss", "", _cell(metrics, "reference/unigram_loss")))
    rows += [(key, "", f"{value:,.1f}") for key, value in metrics.items() if key.startswith("cost/")]
    return rows


def _cell(metrics: Mapping[str, float], key: str) -> str:
    return f"{metrics[key]:.3f}" if key in metrics else "-"


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"
