"""The results of one run: what it prints at its end, and its description in MLflow."""

from collections.abc import Mapping

from medft import console
from medft.evaluation.judging.metrics import JudgeResults
from medft.metrics.registry import HEADLINES
from medft.metrics.statistics import Difference
from medft.report.format import describe_reliability, format_before_after, format_estimate, format_number, format_p
from medft.report.table import Table
from medft.runs.metric_names import read_estimate
from medft.runs.record import RunRecord

_COLUMNS = ("metric", "before", "after", "difference", "p")
_PARTS = ("_ci_low", "_ci_high", "_p")  # of another metric
_ANSWERS = 3
_CHARACTERS = 240  # of each answer shown; predictions.jsonl has them whole


def print_summary(record: RunRecord) -> None:
    """Print the results table and three answers side by side."""
    predictions = record.predictions
    rows = [(name, *format_before_after(result)) for name, result in record.results.items()]
    rows += [_make_judge_row(judge, with_counts=True) for judge in record.judges]
    rows.append(("reference/unigram_loss", "", format_estimate(record.unigram_loss), "", ""))
    rows += [(f"cost/{name}", "", format_number(value), "", "") for name, value in record.costs.items()]
    Table(f"test questions (n={len(predictions)}), with 95% intervals", _COLUMNS, rows).print()
    shown = list({row.group: row for row in predictions}.values())[:_ANSWERS]  # of different subjects
    shown += [row for row in predictions if row not in shown][: _ANSWERS - len(shown)]
    answers = [
        (
            row.instruction,
            *map(_shorten, (row.expected, (row.baseline and row.baseline.answer) or "-", row.test.answer)),
        )
        for row in shown
    ]
    title = f"{len(answers)} of {len(predictions)} answers, {_CHARACTERS} characters of each"
    console.print_table(title, ("question", "expected", "before", "after"), answers, wrap=True)


def print_judge(judge: str, metrics: Mapping[str, float]) -> None:
    """Print what one judge's verdicts come to, and how far it agrees with others.

    Args:
        metrics: under their MLflow names.
    """
    own: list[tuple[str, str, str]] = []
    others: list[tuple[str, str, str]] = []
    for key in metrics:
        if not key.endswith(_PARTS):
            estimate = read_estimate(metrics, key)
            p = estimate.p if isinstance(estimate, Difference) else None
            rows = own if key.startswith(f"judge/{judge}/") else others
            rows.append((key, format_estimate(estimate), format_p(p, missing="")))
    columns = ("metric", "value [95% interval]", "p")
    Table(f"judge {judge}", columns, own).print()
    if others:
        Table("agreement between judges", columns, others).print()


def describe_run(record: RunRecord) -> str:
    """The run's description in MLflow, in Markdown: its model and data in a line, warnings, the headline table."""
    params = record.params
    lines = [
        f"**{params.get('model.name')}** on **{params.get('dataset.name')}**, {params.get('dataset.size_used')} rows, "
        f"max_length {params.get('dataset.max_length')}, seed {record.seed}"
    ]
    if record.is_leaking:
        lines.append("**Test questions were trained on**: these figures say nothing about new questions.")
    rows = [(name, *format_before_after(record.results[name])) for name in HEADLINES if name in record.results]
    rows += [_make_judge_row(judge) for judge in record.judges]
    lines.append(Table("", _COLUMNS, rows).to_markdown())
    lines.append("`report.html` under Artifacts has the rest: curves, judges, answers, the audit of the data.")
    return "\n\n".join(lines)


def _make_judge_row(judge: JudgeResults, with_counts: bool = False) -> tuple[str, str, str, str, str]:
    about = [describe_reliability(judge.reliability.reliable)]
    if with_counts:
        about += [f"{count} {status}" for status, count in judge.counts.items()]
    words = ", ".join(each for each in about if each)
    return (f"judge/{judge.name}/score{f' ({words})' if words else ''}", *format_before_after(judge.score))


def _shorten(text: str) -> str:
    return text if len(text) <= _CHARACTERS else text[: _CHARACTERS - 1] + "…"
