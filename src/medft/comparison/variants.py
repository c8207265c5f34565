"""Variants: the settings that a comparison is about, on the questions that all runs were tested on.

Runs that differ in nothing but their seed are one variant.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from medft.comparison.labels import differing_keys, label_variants, select_settings
from medft.config.roles import SEEDS
from medft.errors import InputError
from medft.evaluation.predictions import Prediction, Side, collect_baseline
from medft.metrics.metric import AnswerScores
from medft.runs.record import RunRecord
from medft.runs.state import COMMIT, FINGERPRINT, POOL, WEIGHTS

BASELINE = "before fine-tuning"
_OVERLAPS = ("exact", "near", "questions", "answers", "near_answers")  # of `Shared`, each row in one of them

# id, instruction, input, expected answer, and the occurrence number, for repeated questions
_Key = tuple[str, str, str, str, int]


@dataclass(frozen=True)
class Variant:
    """One row of a comparison: a setting with its runs.

    Attributes:
        runs: of several seeds, the lowest first.
        values: settings that differ between variants, by dotted key.
        side: which measurements of the runs, `test` or `baseline`.
    """

    name: str
    runs: tuple[RunRecord, ...]
    values: Mapping[str, str]
    side: Side = "test"

    @property
    def is_leaking(self) -> bool:
        """Whether a run was trained on test questions."""
        return self.side == "test" and any(run.is_leaking for run in self.runs)

    @property
    def is_baseline(self) -> bool:
        """Whether this is the model before fine-tuning."""
        return self.side == "baseline"

    @property
    def overlap(self) -> int:
        """Test questions whose row, question or answer, or nearly that, a run has learned, as its audit has counted."""
        if self.side == "baseline" or self.is_leaking:
            return 0
        shared = [(run.audit or {}).get("shared", {}).get("train-test", {}) for run in self.runs]
        return max(sum(int(each.get(kind, 0)) for kind in _OVERLAPS) for each in shared)

    def scores(self, run: RunRecord) -> list[AnswerScores]:
        """The answers of one of its runs."""
        return [row.scores(self.side) for row in run.predictions]


def align_questions(runs: Sequence[RunRecord], shared_only: bool) -> tuple[list[RunRecord], str]:
    """The runs with the predictions on their shared questions only, all in one order; and a note on what was left out.

    A question is the same if its id, its text and its expected answer are.

    Raises:
        InputError: the runs were tested on different questions and `shared_only` does not ask for those in common, or
            none are in common.
    """
    keyed = [_key_questions(run.predictions) for run in runs]
    shared = [key for key in keyed[0] if all(key in rows for rows in keyed)]
    all_same = all(len(rows) == len(shared) for rows in keyed)
    counts = " or ".join(f"{size:,}" for size in sorted({len(rows) for rows in keyed}))
    if not shared:
        raise InputError(f"the runs share no test question ({counts} each): there is nothing to compare them on")
    if not all_same and not shared_only:
        raise InputError(
            f"the runs were tested on different questions: {len(shared):,} are shared, each run has {counts}; "
            "questions=shared compares on those"
        )
    note = "" if all_same else f"only the {len(shared):,} questions that all runs share are compared (of {counts} each)"
    aligned = [[rows[key] for key in shared] for rows in keyed]
    return [replace(run, predictions=rows) for run, rows in zip(runs, aligned, strict=True)], note


def _key_questions(rows: Sequence[Prediction]) -> dict[_Key, Prediction]:
    occurrences: Counter[tuple[str, str, str, str]] = Counter()
    keyed = {}
    for row in rows:
        question = (row.id, row.instruction, row.input, row.expected)
        keyed[(*question, occurrences[question])] = row
        occurrences[question] += 1
    return keyed


def make_variants(
    runs: Sequence[RunRecord], seeds_apart: bool = False, swept: Sequence[str] = ()
) -> tuple[list[Variant], list[str]]:
    """Group runs to variants, in the order of their first runs, named by what a sweep varied, in its order; and notes
    on runs that were left out.
    """
    groups: dict[object, tuple[dict[str, str], list[RunRecord]]] = {}
    for run in runs:
        data = run.tags.get(FINGERPRINT, "?")
        own = select_settings(run.params, data if seeds_apart else run.tags.get(POOL, data))
        for tag in (WEIGHTS, COMMIT):  # others in the same place are another model
            if tag in run.tags:
                own[tag] = run.tags[tag][:12]
        for seed in () if seeds_apart else SEEDS:
            own.pop(seed, None)
        groups.setdefault(len(groups) if seeds_apart else frozenset(own.items()), (own, []))[1].append(run)
    settings = [own for own, _ in groups.values()]
    keys, notes, variants = differing_keys(settings), [], []
    for label, (own, members) in zip(label_variants(settings, swept), groups.values(), strict=True):
        kept, repeated = _select_newest(members)
        notes += repeated
        variants.append(Variant(label or kept[0].name, tuple(kept), {key: own.get(key, "-") for key in keys}))
    counts = Counter([BASELINE, *(each.name for each in variants)])
    return [
        replace(each, name=f"{each.name} ({each.runs[0].run_id[:8]})") if counts[each.name] > 1 else each
        for each in variants
    ], notes


def find_variant(variants: Sequence[Variant], wanted: str) -> Variant:
    """A variant by its name, in any order of its parts; by some of them; or by a run's id.

    Raises:
        InputError: there is none, or there are several.
    """
    if not wanted:
        return variants[0]
    exact = [each for each in variants if each.name == wanted]
    parts = _split_name(wanted)
    same = [each for each in variants if _split_name(each.name) == parts]
    some = [each for each in variants if parts <= _split_name(each.name)]
    by_run = [each for each in variants if any(run.run_id.startswith(wanted) for run in each.runs)]
    for matches in (exact, same, some, by_run):
        if len(matches) == 1:
            return matches[0]
    known = "; ".join(each.name for each in variants)
    several = "several variants are" if len(some) > 1 or len(by_run) > 1 else "no variant is"
    raise InputError(f"reference={wanted}: {several} called so; there are: {known}")


def _split_name(name: str) -> frozenset[str]:
    """Its parts, `key=value` each; numbers are equal however they are written."""
    parts = set()
    for part in name.lower().split(", "):
        key, equals, value = part.strip().partition("=")
        with suppress(ValueError):
            value = repr(float(value))
        parts.add(f"{key}{equals}{value}")
    return frozenset(parts)


def _select_newest(runs: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """The newest run of each seed, lowest seed first: a repeated run adds nothing about the spread over seeds."""
    newest = {run.seed: run for run in sorted(runs, key=lambda run: run.started)}
    kept = sorted(newest.values(), key=lambda run: (len(run.seed), run.seed))
    notes = [
        f"run {run.run_id} repeats run {newest[run.seed].run_id} with the same settings and the same seed: the newer "
        "one is compared (seeds=apart compares both)"
        for run in runs
        if run not in kept
    ]
    return kept, notes


def make_baseline_variant(variants: Sequence[Variant]) -> tuple[Variant | None, str]:
    """The model before fine-tuning as a variant, or None and why not: all variants must have begun with the same one.
    Seeds may begin differently.
    """
    first = {run.seed: run for run in variants[0].runs}
    for variant in variants:
        for run in variant.runs:
            if collect_baseline(run.predictions) is None:
                return None, "not every run measured its model before fine-tuning: that is not shown"
            other = first.get(run.seed, variants[0].runs[0])
            if not _have_equal_baselines(run.predictions, other.predictions):
                return None, "the runs did not begin with the same model: before fine-tuning is not shown"
    return Variant(BASELINE, variants[0].runs, dict.fromkeys(variants[0].values, "-"), "baseline"), ""


def _have_equal_baselines(rows: Sequence[Prediction], others: Sequence[Prediction]) -> bool:
    """Whether two runs measured the same before fine-tuning, but for the last digits of another machine."""
    first, second = collect_baseline(rows) or [], collect_baseline(others) or []
    texts = all(a.answer == b.answer for a, b in zip(first, second, strict=True))
    return texts and np.allclose([a.nats for a in first], [b.nats for b in second], rtol=1e-3, equal_nan=True)
