"""A run's description in MLflow: the headline table in Markdown, where people look first."""

from collections.abc import Iterable, Mapping

from medft.report.run_table import cells, judge_keys, measured_keys
from medft.runs.sweeps import NOTE
from medft.runs.tracker import Tracker

_HEADLINE = ("bits_per_byte", "loss", "rougeL", "chrf", "length_ratio", "limit_share")
_COLUMNS = ("metric", "before", "after", "difference [95% interval]", "p")


def log_note(tracker: Tracker) -> None:
    """Describe a run by what it has logged so far."""
    run = tracker.client.get_run(tracker.run_id)
    tracker.set_tags({NOTE: note(run.data.metrics, run.data.params, run.data.tags)})


def note(metrics: Mapping[str, float], params: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """The description of a run: its model and data in a line, warnings, the headline table."""
    lines = [
        f"**{params.get('model.name')}** on **{params.get('dataset.name')}**, {params.get('dataset.size_used')} rows, "
        f"max_length {params.get('dataset.max_length')}, seed {params.get('seed')}",
    ]
    if tags.get("leaking") == "true":
        lines.append("**Test questions were trained on**: these figures say nothing about new questions.")
    rows = [(name, *cells(metrics, *measured_keys(name))) for name in _HEADLINE if f"test/{name}" in metrics]
    lines.append(markdown_table(_COLUMNS, [*rows, *_judges(metrics)]))
    lines.append("`report.html` under Artifacts has the rest: curves, judges, answers, the audit of the data.")
    return "\n\n".join(lines)


def markdown_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; what is left aligned in it is up to the reader's program."""
    head = list(columns)
    escaped = [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in [head, *rows]]
    return "\n".join(f"| {line} |" for line in [escaped[0], " | ".join(["---"] * len(head)), *escaped[1:]])


def _judges(metrics: Mapping[str, float]) -> list[tuple[str, ...]]:
    bases = [key.removesuffix("score") for key in metrics if key.startswith("judge/") and key.endswith("/score")]
    unreliable = {base: " (UNRELIABLE)" * (metrics.get(f"{base}reliable") == 0.0) for base in bases}
    return [(f"{base}score{unreliable[base]}", *cells(metrics, *judge_keys(base))) for base in bases]
