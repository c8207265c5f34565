"""The audit of the data: tables in the terminal, audit.json and its picture."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from medft.console import print_table, say, warn
from medft.data.audit import Audit, SplitAudit
from medft.data.module import MedicalQA
from medft.data.samples import TruncationStats
from medft.errors import InputError
from medft.report.plots import plot_lengths

_LINES: list[tuple[str, Callable[[SplitAudit], str]]] = [
    ("rows", lambda part: f"{part.cuts.rows:,}"),
    ("groups", lambda part: f"{part.groups:,}"),
    ("documents", lambda part: f"{part.documents:,}"),
    ("max_length", lambda part: str(part.max_length)),
    ("samples", lambda part: f"{part.cuts.samples:,}"),
    ("tokens", lambda part: f"{part.cuts.tokens:,}"),
    ("padding", lambda part: f"{part.padding_share:.1%}"),
    ("answers truncated", lambda part: _format_share(part.cuts.answers_cut, part.cuts.rows)),
    ("answer tokens lost", lambda part: _format_share(part.cuts.answer_tokens_lost, part.cuts.answer_tokens)),
    ("rows without a supervised token", lambda part: f"{part.cuts.unsupervised:,}"),
    ("rows dropped as too long", lambda part: f"{part.cuts.dropped:,}"),
    ("exact duplicates within the split", lambda part: f"{part.exact_duplicates:,}"),
    ("near duplicates within the split", lambda part: f"{part.near_duplicates:,}"),
]


_SHARED = (
    ("exact", "exact duplicates"), ("near", "near duplicates"), ("questions", "questions alone"),
    ("answers", "answers alone"), ("near_answers", "near answers"), ("groups", "groups"), ("documents", "documents"),
)  # fmt: skip


def print_audit(audit: Audit) -> None:
    """Print the sizes of each split and what two of them have in common."""
    title = f"data audit (training: long_answers={audit.long_answers})"
    rows = [(name, *(line(part) for part in audit.parts.values())) for name, line in _LINES]
    print_table(title, ("", *audit.parts), rows)
    if audit.describe_leaks():
        shared = [(pair, *(f"{getattr(both, kind):,}" for kind, _ in _SHARED)) for pair, both in audit.shared.items()]
        print_table("on both sides", ("splits", *(title for _, title in _SHARED)), shared)
    else:
        say("no row, question, answer, group or document is on two sides of the split")
    if not audit.has_groups:
        say("no row says to which group it belongs: questions are kept apart by their text alone")
    if audit.near_sampled:
        say(f"near duplicates were sought among {audit.near_searched:,} rows (audit.max_rows): there may be more")
    if audit.deduplicated or audit.skipped:
        say(f"left out before: {audit.deduplicated:,} duplicates (dataset.dedup), {audit.skipped:,} bad rows")


def print_lengths(audit: Audit) -> None:
    """Print what `truncate` would cost the training rows at each length tried."""
    columns = ("max_length", "answers truncated", "answer tokens lost", "rows without a supervised token",
               "tokens an epoch")  # fmt: skip
    rows = [
        (str(length), _format_share(cuts.answers_cut, cuts.rows),
         _format_share(cuts.answer_tokens_lost, cuts.answer_tokens), f"{cuts.unsupervised:,}", f"{cuts.tokens:,}")
        for length, cuts in audit.lengths.items()
    ]  # fmt: skip
    print_table("training rows, cut at", columns, rows)


def write_audit(folder: Path, audit: Audit, data: MedicalQA, cuts: Mapping[int, TruncationStats]) -> list[Path]:
    """Write audit.json and audit.png, the histogram of lengths with a line for each of `cuts`; returns both."""
    files = [folder / "audit.json", folder / "audit.png"]
    folder.mkdir(parents=True, exist_ok=True)
    files[0].write_text(json.dumps(asdict(audit), indent=2, ensure_ascii=False), encoding="utf-8")
    lengths = {name: tokens.prompt_lengths + tokens.answer_lengths for name, tokens in data.tokens.items()}
    plot_lengths(lengths, cuts).savefig(files[1])
    return files


def warn_of_leaks(audit: Audit, on_leak: str, dedup: str) -> None:
    """One line for each two splits that share something, and what would take it away if it is not done: `dedup`.

    Raises:
        InputError: there are any and `dataset.on_leak` is `error`.
    """
    leaks = audit.describe_leaks()
    if leaks and on_leak == "error":
        raise InputError(
            "\n".join(f"dataset.on_leak=error: {leak}" for leak in leaks)
            + "\ntake rows away with dataset.dedup=near, group rows by document, or look with: medft data audit"
        )
    for leak in leaks:
        warn(leak if dedup == "near" else f"{leak} (dataset.dedup=near takes duplicates away)")


def _format_share(count: int, whole: int) -> str:
    return f"{count:,} ({count / max(1, whole):.1%})"
