"""Entries of a comparison: runs that differ in nothing but their seed are one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from medft.comparison.labels import SEED, completed, differing, names, settings
from medft.errors import InputError
from medft.runs.record import RunRecord

BEFORE = "before fine-tuning"


@dataclass(frozen=True)
class Variant:
    """What one line of a comparison is about.

    Attributes:
        runs: of several seeds, the lowest first.
        values: settings that differ between entries, by dotted key.
        side: which measurements of the runs, `test` or `baseline`.
    """

    name: str
    runs: tuple[RunRecord, ...]
    values: Mapping[str, str]
    side: str = "test"

    @property
    def is_leaking(self) -> bool:
        """Whether a run was trained on test questions."""
        return self.side == "test" and any(run.tags.get("leaking") == "true" for run in self.runs)

    @property
    def is_before(self) -> bool:
        """Whether this is the model before fine-tuning."""
        return self.side == "baseline"

    def answers(self) -> list[str]:
        """What the first run has generated for each question."""
        rows = self.runs[0].predictions
        return [(row.baseline_answer or "") if self.is_before else row.generated_answer for row in rows]


def make_variants(
    runs: Sequence[RunRecord], defaults: Mapping[str, str], seeds_apart: bool = False, swept: Sequence[str] = ()
) -> tuple[list[Variant], list[str]]:
    """Group runs to entries, in the order of their first runs; returns them and what is to be said of it.

    Args:
        defaults: of keys that runs of older versions did not know.
        swept: keys that a sweep varied, in its order.
    """
    known = completed([settings(run.params, run.tags.get("dataset.fingerprint", "?")) for run in runs], defaults)
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for place, own in enumerate(known):
        apart = {"": str(place)} if seeds_apart else {SEED: ""}
        groups.setdefault(tuple(sorted((own | apart).items())), []).append(place)
    firsts = [known[places[0]] for places in groups.values()]
    if not seeds_apart:
        firsts = [{key: value for key, value in each.items() if key != SEED} for each in firsts]
    keys, notes, entries = differing(firsts), [], []
    for name, own, places in zip(names(firsts, swept), firsts, groups.values(), strict=True):
        members, repeated = _one_of_each_seed([runs[place] for place in places])
        notes += repeated
        values = {key: own.get(key, "-") for key in keys}
        entries.append(Variant(name or members[0].name, tuple(members), values))
    return _unique(entries), notes


def find_variant(entries: Sequence[Variant], wanted: str) -> Variant:
    """An entry by its name, in any order of its parts; by some of them; or by a run's id.

    Raises:
        InputError: there is none, or there are several.
    """
    if not wanted:
        return entries[0]
    exact = [each for each in entries if each.name == wanted]
    parts = _parts(wanted)
    same = [each for each in entries if _parts(each.name) == parts]
    some = [each for each in entries if parts <= _parts(each.name)]
    runs = [each for each in entries if any(run.run_id.startswith(wanted) for run in each.runs) and not each.is_before]
    for found in (exact, same, some, runs):
        if len(found) == 1:
            return found[0]
    known = "; ".join(each.name for each in entries)
    several = "several entries are" if len(some) > 1 or len(runs) > 1 else "no entry is"
    raise InputError(f"reference={wanted}: {several} called so; there are: {known}")


def _parts(name: str) -> frozenset[str]:
    return frozenset(_part(part.strip().lower()) for part in name.split(", "))


def _part(text: str) -> str:
    """`key=value`; numbers are equal however they are written."""
    key, equals, value = text.partition("=")
    with suppress(ValueError):
        value = repr(float(value))
    return f"{key}{equals}{value}"


def _one_of_each_seed(runs: Sequence[RunRecord]) -> tuple[list[RunRecord], list[str]]:
    """The newest run of each seed, lowest seed first: to run the same again says nothing of the luck of the seed."""
    newest: dict[str, RunRecord] = {}
    for run in sorted(runs, key=lambda run: run.started):
        newest[run.params.get(SEED, "?")] = run
    kept = sorted(newest.values(), key=lambda run: (len(run.params.get(SEED, "?")), run.params.get(SEED, "?")))
    notes = [
        f"run {run.run_id} repeats run {newest[run.params.get(SEED, '?')].run_id} with the same settings and the same "
        "seed: the newer one is compared (seeds=apart compares both)"
        for run in runs
        if run not in kept
    ]
    return kept, notes


def _unique(entries: Sequence[Variant]) -> list[Variant]:
    counts = Counter(each.name for each in entries)
    return [
        replace(each, name=f"{each.name} ({each.runs[0].run_id[:8]})") if counts[each.name] > 1 else each
        for each in entries
    ]
