"""README.md of an experiment: what was asked, what came out, and what that allows to say."""

from collections.abc import Mapping, Sequence

from medft.comparison.compare import Comparison
from medft.comparison.costs import TRAIN_SECONDS
from medft.comparison.variants import Variant
from medft.report.format import (
    INTERVALS,
    corrected_p,
    cost,
    counted,
    estimate,
    family,
    metric_title,
    name_of,
    signed,
    spread,
    tested_on,
)
from medft.report.verdict import verdict
from medft.runs.sweep_record import Sweep

# beside the primary metric, with intervals, not tested
_OTHERS = ("bits_per_byte", "rougeL", "length_ratio", "limit_share")
_VERSIONS = "version."


def readme(sweep: Sweep, found: Comparison, left_out: Mapping[str, str], other_lines: int) -> str:
    """The text.

    Args:
        left_out: runs of the sweep that are not compared, and why.
        other_lines: lines of results.csv that are not of this sweep.
    """
    parts = [
        f"# {sweep.name}",
        sweep.question,
        f"![{found.primary} of each entry](figure.png)",
        _caption(found),
        "## Verdict",
        _bullets(verdict(found)),
        "## Results",
        f"On {tested_on(found)}; {_direction(found)}. Differences are to {found.reference.name}.",
        _bullets([f"**{_sentence(words)}**" for words in found.warnings]),
        _table(found),
        f"{INTERVALS} {family(found)}",
        _bullets([_sentence(note) for note in found.notes]),
        _bullets([f"Run {run_id} of the sweep is left out: {why}." for run_id, why in left_out.items()]),
        _lines(other_lines),
        "## What the sizes allow to say",
        _sizes(sweep, found),
        "## How",
        f"```\n{sweep.command or '?'}\n```",
        _bullets(_how(sweep, found)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def shown_metrics(found: Comparison) -> list[str]:
    """The metrics that the table shows beside the primary one."""
    wanted = dict.fromkeys((*_OTHERS, *found.worth))
    return [metric for metric in wanted if metric in found.results and metric != found.primary]


def _caption(found: Comparison) -> str:
    return f"*{found.primary} with 95% intervals over documents; small marks are single seeds.*"


def _direction(found: Comparison) -> str:
    return f"{'lower' if found.lower_is_better else 'higher'} {found.primary} is better"


def _table(found: Comparison) -> str:
    others = shown_metrics(found)
    columns = ["entry", metric_title(found, found.primary), "difference", "p (Holm)", "over seeds"]
    columns += [*(metric_title(found, metric) for metric in others), "train s"]
    rows = [_row(found, entry, others) for entry in found.entries]
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _row(found: Comparison, entry: Variant, others: Sequence[str]) -> list[str]:
    primary = found.result(found.primary, entry)
    cells = [name_of(found, entry), estimate(primary.value if primary else None)]
    cells += [signed(primary.difference if primary else None), corrected_p(primary), spread(primary)]
    cells += [estimate(result.value if result else None) for result in (found.result(m, entry) for m in others)]
    return [*cells, cost(found, entry, TRAIN_SECONDS)]


def _cell(text: str) -> str:
    """A cell's text as Markdown takes it."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _lines(others: int) -> str:
    further = (
        f" It has {counted(others, 'further line', 'further lines')} of other runs, which the table above is not of."
    )
    return f"[results.csv](results.csv) has a line for each run.{further if others else ''}"


def _sizes(sweep: Sweep, found: Comparison) -> str:
    rows = next(iter(found.results[found.primary].values()))
    runs = sum(len(entry.runs) for entry in found.trained)
    counts = (
        f"{counted(runs, 'run', 'runs')} of {counted(len(found.trained), 'entry', 'entries')}, tested on "
        f"{counted(rows.questions, 'question', 'questions')} of {counted(rows.documents, 'document', 'documents')}: "
        "intervals and p-values speak of further questions of such documents, not of other data, models or sizes."
    )
    return "\n\n".join(each for each in (sweep.limits, counts) if each)


def _how(sweep: Sweep, found: Comparison) -> list[str]:
    runs = [run for entry in found.trained for run in entry.runs]
    versions = {key.removeprefix(_VERSIONS): value for key, value in sorted(sweep.tags.items()) if _VERSIONS in key}
    versions = versions or {
        key.removeprefix(_VERSIONS): value for key, value in sorted(runs[0].tags.items()) if _VERSIONS in key
    }
    machine = [value for key, value in sorted(sweep.tags.items()) if key.startswith("machine")]
    commit, dirty = sweep.tags.get("git.commit", "?"), sweep.tags.get("git.dirty") == "true"
    about = [
        f"Date: {sweep.started:%Y-%m-%d}; MLflow run {sweep.run_id}",
        f"Machine: {', '.join([*machine, *_values(runs, 'device', tags=True)])}",
        f"Versions: {', '.join(f'{name} {value}' for name, value in versions.items())}; commit {commit}"
        f"{' with changes' if dirty else ''}",
        f"Model: {', '.join(_values(runs, 'model.name'))}; data: {', '.join(_values(runs, 'dataset.name'))}, "
        f"{', '.join(_values(runs, 'dataset.size_used'))} rows, fingerprint "
        f"{', '.join(value[:16] for value in _values(runs, 'dataset.fingerprint', tags=True))}",
        f"All metrics, and answers side by side: `medft compare parent={sweep.run_id}`",
        f"This folder is renewed by `medft report experiment={sweep.name}`",
    ]
    if sweep.primary != sweep.metric.removeprefix("test/").removesuffix("/score"):
        about.append(f"The sweep was about {sweep.metric}; what is compared by question is {found.primary}")
    return [f"{each}." for each in about]


def _values(runs: Sequence[object], key: str, tags: bool = False) -> list[str]:
    return sorted({str(getattr(run, "tags" if tags else "params").get(key, "?")) for run in runs})


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
