"""The folder of an experiment: README.md (question, verdict, results, limits), results.csv, figure.png, .pdf and .svg.

The verdict is made from the statistics of the comparison.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from medft.comparison.compare import Comparison
from medft.comparison.labels import as_param
from medft.comparison.significance import Result, explain_too_few_groups
from medft.comparison.variants import Variant
from medft.console import format_roughly
from medft.metrics.statistics import Estimate
from medft.report.compare_page import COMPARED_INTERVALS, describe_family, describe_questions, make_glance_table
from medft.report.csv_files import extend_results_csv
from medft.report.plots import WIDE, describe_intervals, plot_over_setting, plot_variants, save_figure
from medft.report.table import (
    COST_LABELS,
    capitalize,
    format_cost,
    format_count,
    format_estimate,
    format_number,
    format_p,
    format_signed,
    to_bullets,
)
from medft.runs.state import DEVICE, FINGERPRINT, GIT_COMMIT
from medft.runs.sweeps import SweepRecord

Scored = list[tuple[Variant, Result]]


def write_folder(
    sweep: SweepRecord, comparison: Comparison, left_out: Mapping[str, str], folder: Path, command: str
) -> None:
    """Write the files; results.csv keeps what it has of other runs, README.md says why runs are `left_out`.

    Args:
        command: that renews the folder.

    Raises:
        InputError: a file of that name is there and is not an experiment's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    other_lines = extend_results_csv(comparison, sweep.settings, folder / "results.csv")
    figure = plot_over_setting(comparison, [as_param(key) for key in sweep.settings])
    figure = figure or plot_variants(comparison, comparison.primary, WIDE[0])
    save_figure(figure, folder / "figure")
    (folder / "README.md").write_text(
        render_readme(sweep, comparison, left_out, other_lines, command), encoding="utf-8"
    )


def render_readme(
    sweep: SweepRecord, comparison: Comparison, left_out: Mapping[str, str], other_lines: int, command: str
) -> str:
    """The text of README.md; `other_lines` of results.csv are not of this sweep, `command` renews the folder."""
    primary, direction = comparison.primary, "lower" if comparison.lower_is_better else "higher"
    runs = format_count(sum(len(variant.runs) for variant in comparison.trained), "run", "runs")
    variants = format_count(len(comparison.trained), "variant", "variants")
    result = next(iter(comparison.results[primary].values()))
    questions = format_count(result.questions, "question", "questions")
    groups = format_count(result.groups, "group", "groups")
    lines = format_count(other_lines, "further line", "further lines")
    further = f" It has {lines} of other runs, which the table above is not of." if other_lines else ""
    parts = [
        f"# {sweep.name}",
        sweep.question,
        f"![{primary} of each variant](figure.png)",
        f"*{describe_intervals(comparison, primary)}; small marks are single seeds.*",
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
        f"{runs} of {variants}, tested on {questions} of {groups}: intervals and p-values speak of further "
        "questions of such groups, not of other data, models or sizes.",
        "## How",
        f"```\n{sweep.command or '?'}\n```",
        to_bullets(_describe_provenance(sweep, comparison, command)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _describe_provenance(sweep: SweepRecord, comparison: Comparison, command: str) -> list[str]:
    runs = [run for variant in comparison.trained for run in variant.runs]
    run_tags, params = [run.tags for run in runs], [run.params for run in runs]
    tags = sorted(sweep.tags.items())
    versions = [f"{key.removeprefix('version.')} {value}" for key, value in tags if key.startswith("version.")]
    machine = [value for key, value in tags if key.startswith("machine")]
    dirty = " with changes" if sweep.tags.get("git.dirty") == "true" else ""
    took = "" if sweep.seconds is None else f", {format_roughly(sweep.seconds)} from start to end"
    lines = [
        f"Date: {sweep.started:%Y-%m-%d}{took}; MLflow run {sweep.run_id}",
        f"Machine: {', '.join([*machine, _join_values(run_tags, DEVICE)])}",
        f"Versions: {', '.join(versions)}; commit {_join_values(run_tags, GIT_COMMIT)}{dirty}",
        f"Model: {_join_values(params, 'model.name')}; data: {_join_values(params, 'dataset.name')}, "
        f"{_join_values(params, 'dataset.size_used')} rows, "
        f"fingerprint {_join_values(run_tags, FINGERPRINT, 16)}",
        f"All metrics, and answers side by side: `medft compare parent={sweep.run_id}`",
        f"This folder is renewed by `{command}`",
    ]
    if sweep.primary != sweep.metric.removeprefix("test/").removesuffix("/score"):
        lines.append(f"The sweep was about {sweep.metric}; what is compared by question is {comparison.primary}")
    return [f"{line}." for line in lines]


def _join_values(settings: Sequence[Mapping[str, str]], key: str, length: int | None = None) -> str:
    """The different values of a key, the first `length` characters of each."""
    return ", ".join(value[:length] for value in sorted({each.get(key, "?") for each in settings}))


def write_verdict(comparison: Comparison) -> list[str]:
    """Sentences: what differs from the reference on the primary metric and by how much, what does not, the spread over
    seeds, and which variants are leaking.
    """
    results = comparison.results[comparison.primary]
    scored = [(variant, results[variant.name]) for variant in comparison.trained if variant.name in results]
    fair = [pair for pair in scored if not pair[0].is_leaking]
    return [
        *_compare_with_reference(comparison, [pair for pair in fair if pair[0] is not comparison.reference]),
        *_name_best(comparison, fair),
        *_describe_seeds(comparison, scored),
        *_describe_baseline(comparison),
        *_describe_leaking(comparison, [pair for pair in scored if pair[0].is_leaking]),
        *_describe_overlaps(comparison),
    ]


def _compare_with_reference(comparison: Comparison, fair: Scored) -> list[str]:
    sentences = [_describe_finding(comparison, variant, result) for variant, result in fair if result.is_finding]
    reference = comparison.reference
    alike = [(variant, result) for variant, result in fair if result.p_holm is not None and not result.is_finding]
    if alike:
        what = f"Cannot be told apart from {reference.name}"
        if explain_too_few_groups(comparison.results):
            few = f"{comparison.groups} groups are too few"
            what = f"{few} to establish any difference from {reference.name}, however large"
        named = [
            f"{variant.name} ({format_signed(own.difference)}, p {format_p(own.p_holm)})" for variant, own in alike
        ]
        sentences.append(f"{what}: {'; '.join(named)}.")
    if reference.is_leaking:
        sentences.append(f"The reference {reference.name} was itself trained on test questions.")
    untested = [variant.name for variant, result in fair if result.p_holm is None]
    if untested:
        why = "a value is not a number"
        if comparison.groups < 2:
            why = "the test questions are of one group"
        elif reference.name not in comparison.results[comparison.primary]:
            why = f"that has no {comparison.primary}"
        sentences.append(f"Not tested against {reference.name}, since {why}: {'; '.join(untested)}.")
    return sentences


def _describe_finding(comparison: Comparison, variant: Variant, result: Result) -> str:
    difference, reference = result.difference, comparison.reference
    assert difference is not None
    word = comparison.describe_direction(result)
    direction = "lower" if difference.value < 0 else "higher"
    p = format_p(result.p_holm)
    by = (
        f"{comparison.primary} is {direction} by {format_estimate(_drop_sign(difference))} "
        f"(p {p if p.startswith('<') else f'= {p}'} after Holm"
    )
    if result.kind == "models":
        return (
            f"On these questions the trained model of {variant.name} answers {word} than that of {reference.name}: "
            f"{by}). Whether its setting is, other seeds would have to show."
        )
    seeds = len({run.seed for run in variant.runs} & {run.seed for run in reference.runs})
    return f"{variant.name} is {word} than {reference.name}: {by}, over {seeds} seeds and {result.groups} groups)."


def _drop_sign(difference: Estimate) -> Estimate:
    """The size of a difference; its interval turned with it."""
    if difference.value >= 0 or difference.low is None or difference.high is None:
        return Estimate(abs(difference.value), difference.low, difference.high)
    return Estimate(-difference.value, -difference.high, -difference.low)


def _name_best(comparison: Comparison, fair: Scored) -> list[str]:
    """The best value, and the variants that are worth their cost."""
    sign = 1 if comparison.lower_is_better else -1
    numbers = [(variant, result) for variant, result in fair if math.isfinite(result.value.value)]
    sentences = []
    if len(numbers) > 1:
        variant, result = min(numbers, key=lambda pair: sign * pair[1].value.value)
        word = "lowest" if comparison.lower_is_better else "highest"
        sentences.append(f"The {word} {comparison.primary} is that of {variant.name}: {format_estimate(result.value)}.")
    if comparison.front_kinds:  # there were two to compare
        sentences.append(_describe_front(comparison))
    return sentences


def _describe_front(comparison: Comparison) -> str:
    """What more of the cost has bought, as far as it is shown."""
    unit = COST_LABELS[comparison.front_cost][1]
    costs = {name: format_cost(comparison.costs[name], comparison.front_cost) for name in comparison.front}
    named = {name: f"{name} ({cost} {unit})" for name, cost in costs.items()}
    cheapest = "; ".join(named[name] for name in comparison.cheapest)
    bought = "; ".join(words for name, words in named.items() if name not in comparison.cheapest)
    of = "Of these trained models, on these questions: " if "models" in comparison.front_kinds else ""
    if not bought:
        return capitalize(f"{of}nothing is shown to be better than all that cost less; the cheapest: {cheapest}")
    return capitalize(f"{of}shown to be better than all that cost less: {bought}; the cheapest: {cheapest}")


def _describe_seeds(comparison: Comparison, scored: Scored) -> list[str]:
    widths = {variant.name: result.spread[1] - result.spread[0] for variant, result in scored if result.spread}
    single = [variant.name for variant, _ in scored if len(variant.runs) == 1]
    sentences = []
    if widths:
        widest = max(widths, key=widths.__getitem__)
        apart = f"{format_number(widths[widest])} apart in {comparison.primary} ({widest})"
        sentences.append(f"Seeds of one variant lie up to {apart}.")
    if single:
        of = "every variant" if not widths else "; ".join(single)
        sentences.append(f"One seed only of {of}: how much is luck of the seed is not known.")
    return sentences


def _describe_baseline(comparison: Comparison) -> list[str]:
    result = comparison.result(comparison.primary, comparison.baseline) if comparison.baseline else None
    if result is None or result.difference is None:
        return []
    tested = f", p {format_p(result.p_holm)}" if result.p_holm is not None else ""
    return [
        f"Before fine-tuning {comparison.primary} was {format_estimate(result.value)}; against "
        f"{comparison.reference.name} that is {format_signed(result.difference)}{tested}."
    ]


def _describe_overlaps(comparison: Comparison) -> list[str]:
    """Which variants have learned rows that some test questions nearly are: the better may remember the more."""
    named = [f"{variant.name} ({variant.overlap})" for variant in comparison.trained if variant.overlap]
    if not named:
        return []
    return [
        f"Of {comparison.test_rows} test questions, training has the row, the question or the answer, or nearly that, "
        f"of some: {'; '.join(named)}."
    ]


def _describe_leaking(comparison: Comparison, leaking: Scored) -> list[str]:
    """How much better a variant looks that has seen the answers; no sign that it is better."""
    sentences = []
    for variant, result in leaking:
        sentence = f"{variant.name} was trained on the test questions, which says nothing about new ones"
        if result.difference:
            tested = f", p {format_p(result.p_holm)}" if result.p_holm is not None else ""
            by = f"{format_estimate(_drop_sign(result.difference))} in {comparison.primary}{tested}"
            looks = comparison.describe_direction(result)
            sentence += (
                f": it looks {looks} than {comparison.reference.name} by {by}, and so much the leak may flatter"
                if looks
                else f": it looks like {comparison.reference.name} in {comparison.primary}"
            )
        sentences.append(f"{sentence}.")
    return sentences
