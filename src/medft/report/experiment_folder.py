"""The folder of an experiment: README.md (question, results, limits), results.csv, figure.png."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from medft.comparison.compare import Comparison
from medft.comparison.labels import as_param
from medft.report.compare_page import COMPARED_INTERVALS, describe_family, describe_questions, make_glance_table
from medft.report.compare_plots import plot_over_setting, plot_variants
from medft.report.csv_files import extend_results_csv
from medft.report.plots import WIDE
from medft.report.table import capitalize, format_count, to_bullets
from medft.report.verdict import write_verdict
from medft.runs.sweep_record import SweepRecord

_VERSIONS = "version."


def write_folder(sweep: SweepRecord, comparison: Comparison, left_out: Mapping[str, str], folder: Path) -> None:
    """Write the three files; results.csv keeps what it has of other runs.

    Args:
        left_out: runs of the sweep that are not compared, and why.

    Raises:
        InputError: a file of that name is there and is not an experiment's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    other_lines = extend_results_csv(comparison, sweep.settings, folder / "results.csv")
    figure = plot_over_setting(comparison, [as_param(key) for key in sweep.settings])
    figure = figure or plot_variants(comparison, comparison.primary, WIDE[0])
    figure.savefig(folder / "figure.png")
    (folder / "README.md").write_text(render_readme(sweep, comparison, left_out, other_lines), encoding="utf-8")


def render_readme(sweep: SweepRecord, comparison: Comparison, left_out: Mapping[str, str], other_lines: int) -> str:
    """The text of README.md.

    Args:
        other_lines: lines of results.csv that are not of this sweep.
    """
    primary, direction = comparison.primary, "lower" if comparison.lower_is_better else "higher"
    runs = format_count(sum(len(variant.runs) for variant in comparison.trained), "run", "runs")
    variants = format_count(len(comparison.trained), "variant", "variants")
    result = next(iter(comparison.results[primary].values()))
    questions = format_count(result.questions, "question", "questions")
    documents = format_count(result.documents, "document", "documents")
    lines = format_count(other_lines, "further line", "further lines")
    further = f" It has {lines} of other runs, which the table above is not of." if other_lines else ""
    parts = [
        f"# {sweep.name}",
        sweep.question,
        f"![{primary} of each variant](figure.png)",
        f"*{primary} with 95% intervals over documents; small marks are single seeds.*",
        "## Verdict",
        to_bullets(write_verdict(comparison)),
        "## Results",
        f"On {describe_questions(comparison)}; {direction} {primary} is better. Differences are to "
        f"{comparison.reference.name}.",
        to_bullets(f"**{capitalize(words)}**" for words in comparison.warnings),
        make_glance_table(comparison).to_markdown(),
        f"{COMPARED_INTERVALS} {describe_family(comparison)}",
        to_bullets(capitalize(note) for note in comparison.notes),
        to_bullets(f"Run {run_id} of the sweep is left out: {why}." for run_id, why in left_out.items()),
        f"[results.csv](results.csv) has a line for each run.{further}",
        "## What the sizes allow to say",
        sweep.limits,
        f"{runs} of {variants}, tested on {questions} of {documents}: intervals and p-values speak of further "
        "questions of such documents, not of other data, models or sizes.",
        "## How",
        f"```\n{sweep.command or '?'}\n```",
        to_bullets(_describe_provenance(sweep, comparison)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _describe_provenance(sweep: SweepRecord, comparison: Comparison) -> list[str]:
    runs = [run for variant in comparison.trained for run in variant.runs]
    run_tags, params = [run.tags for run in runs], [run.params for run in runs]
    tags = sorted(sweep.tags.items())
    versions = [f"{key.removeprefix(_VERSIONS)} {value}" for key, value in tags if key.startswith(_VERSIONS)]
    machine = [value for key, value in tags if key.startswith("machine")]
    dirty = " with changes" if sweep.tags.get("git.dirty") == "true" else ""
    lines = [
        f"Date: {sweep.started:%Y-%m-%d}; MLflow run {sweep.run_id}",
        f"Machine: {', '.join([*machine, _join_values(run_tags, 'device')])}",
        f"Versions: {', '.join(versions)}; commit {sweep.tags.get('git.commit', '?')}{dirty}",
        f"Model: {_join_values(params, 'model.name')}; data: {_join_values(params, 'dataset.name')}, "
        f"{_join_values(params, 'dataset.size_used')} rows, "
        f"fingerprint {_join_values(run_tags, 'dataset.fingerprint', 16)}",
        f"All metrics, and answers side by side: `medft compare parent={sweep.run_id}`",
        f"This folder is renewed by `medft report experiment={sweep.name}`",
    ]
    if sweep.primary != sweep.metric.removeprefix("test/").removesuffix("/score"):
        lines.append(f"The sweep was about {sweep.metric}; what is compared by question is {comparison.primary}")
    return [f"{line}." for line in lines]


def _join_values(settings: Sequence[Mapping[str, str]], key: str, length: int | None = None) -> str:
    """The different values of a key, the first `length` characters of each."""
    return ", ".join(value[:length] for value in sorted({each.get(key, "?") for each in settings}))
