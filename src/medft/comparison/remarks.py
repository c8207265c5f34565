"""What a reader has to know of a comparison, in sentences: warnings before any figure, and notes on what it can say."""

from collections.abc import Iterator, Mapping, Sequence

from medft.comparison.labels import format_value
from medft.comparison.metrics import is_lower_better
from medft.comparison.significance import Result, compare_within, estimate_detectable
from medft.comparison.variants import Variant
from medft.config.roles import changes_measurement
from medft.runs.state import CODE, DEVICE, GIT_COMMIT


def list_warnings(variants: Sequence[Variant]) -> list[str]:
    """What a reader has to know before any figure."""
    runs = [run for variant in variants for run in variant.runs]
    warnings = []
    keys = sorted({key for run in runs for key in run.params if changes_measurement(key)})
    values = {key: sorted({format_value(run.params[key]) for run in runs if key in run.params}) for key in keys}
    different = [f"{key} ({', '.join(each)})" for key, each in values.items() if len(each) > 1]
    if different:
        warnings.append(
            f"the variants were not measured alike, so differences may come from that: {'; '.join(different)}"
        )
    leaking = [variant.name for variant in variants if variant.is_leaking]
    if leaking:
        warnings.append(f"trained on test questions, so these figures say nothing about new ones: {'; '.join(leaking)}")
    overlapping = [variant for variant in variants if variant.overlap]
    if overlapping:
        named = "; ".join(f"{variant.name} ({variant.overlap})" for variant in overlapping)
        kept = [run for variant in overlapping for run in variant.runs if run.params.get("dataset.dedup") != "near"]
        warnings.append(
            "trained on rows, questions or answers that are, or nearly are, those of some test questions: "
            f"{named}; what is better there may be remembered"
            f"{' (dataset.dedup=near takes duplicates away)' if kept else ''}"
        )
    devices = sorted({run.tags[DEVICE] for run in runs if DEVICE in run.tags})
    if len(devices) > 1:
        warnings.append(f"trained on different devices ({', '.join(devices)}): seconds and memory do not compare")
    if len({frozenset(run.seed for run in variant.runs) for variant in variants if not variant.is_baseline}) > 1:
        warnings.append(
            "variants have different seeds: a value is over all of its own, a difference over those that both have "
            "(with none in common over all)"
        )
    return warnings


def describe_versions(variants: Sequence[Variant]) -> str:
    """That runs were made by different code, which may have measured otherwise; empty where it was the same."""
    tags = [run.tags for variant in variants for run in variant.runs if CODE in run.tags]
    codes = {each[CODE] for each in tags}
    if len(codes) < 2:
        return ""
    commits = ", ".join(sorted({each.get(GIT_COMMIT, "?")[:10] for each in tags}))
    return f"the runs were made by {len(codes)} versions of medft's code (commits: {commits})"


def describe_power(results: Mapping[str, Result], family: int, metric: str) -> str:
    """What the seeds and the questions of a comparison could have shown."""
    found = estimate_detectable(results, family)
    if found is None:
        return ""
    kind, as_it_is, seeds, questions = found
    least, by_seeds, by_questions = (f"{each:.2g}" for each in (as_it_is, seeds, questions))
    if kind == "models":
        return (
            f"a difference of {least} in {metric} between these trained models would be found four times in five (80% "
            f"power), with twice the questions {by_questions}; with fewer than two seeds in common, nothing is said of "
            "settings"
        )
    return (
        f"a difference of {least} in {metric} between two settings would be found four times in five (80% power), with "
        f"twice the seeds {by_seeds}, with twice the questions {by_questions}"
    )


def describe_margin(
    variants: Sequence[Variant], reference: Variant, results: Mapping[str, Result], metric: str, margin: float
) -> Iterator[str]:
    """Which variants are as good as the reference within the margin that was asked about."""
    lower = is_lower_better(metric)
    asked = {each.name: results[each.name] for each in variants if each.name in results and each is not reference}
    said = {name: compare_within(result, margin, lower, len(asked)) for name, result in asked.items()}
    for answer, words in (
        ("as good", "as good as"),
        ("not worse", "not worse than"),
        ("", "not shown to be as good as"),
    ):
        for kind, of in (("settings", ""), ("models", "on these questions the trained models of ")):
            names = [name for name, found in said.items() if found == answer and asked[name].kind == kind]
            if names:
                within = f"within {margin:g} in {metric}"
                yield f"{of}{'; '.join(names)}: {words} {reference.name} {within} (two one-sided tests, Bonferroni)"
