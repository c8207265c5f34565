"""What a comparison comes to, in sentences that are computed from its statistics."""

import math

from medft.comparison.compare import Comparison
from medft.comparison.significance import LEVEL, Result, too_few_documents
from medft.comparison.variants import Variant
from medft.metrics.statistics import Estimate
from medft.report.format import corrected_p, estimate, signed
from medft.report.run_table import number


def verdict(found: Comparison) -> list[str]:
    """Sentences: what differs from the reference on the primary metric, by how much, what cannot be told apart, how far
    seeds lie apart, what says nothing.
    """
    rows = [(entry, result) for entry in found.trained if (result := found.result(found.primary, entry))]
    fair = [(entry, result) for entry, result in rows if not entry.is_leaking and entry is not found.reference]
    return [
        *_against_reference(found, fair),
        *_best(found, [(entry, result) for entry, result in rows if not entry.is_leaking]),
        *_front(found),
        *_seeds(found, rows),
        *_before(found),
        *_leaking(found, [(entry, result) for entry, result in rows if entry.is_leaking]),
    ]


def _against_reference(found: Comparison, fair: list[tuple[Variant, Result]]) -> list[str]:
    different = [(entry, result) for entry, result in fair if _is_different(result)]
    alike = [(entry, result) for entry, result in fair if result.p_holm is not None and not _is_different(result)]
    sentences = [_differs(found, entry, result) for entry, result in different]
    if alike:
        named = "; ".join(
            f"{entry.name} ({signed(result.difference)}, p {corrected_p(result)})" for entry, result in alike
        )
        what = f"Cannot be told apart from {found.reference.name}"
        if too_few_documents(found.results):
            what = (
                f"{found.documents} documents are too few to call any difference to {found.reference.name} a finding, "
                "however large"
            )
        sentences.append(f"{what}: {named}.")
    if found.reference.is_leaking:
        sentences.append(f"The reference {found.reference.name} was itself trained on test questions.")
    untested = [entry.name for entry, result in fair if result.p_holm is None]
    if untested:
        why = "the test questions are of one document" if found.documents < 2 else "a value is not a number"
        sentences.append(f"Not tested against {found.reference.name}, since {why}: {'; '.join(untested)}.")
    return sentences


def _is_different(result: Result) -> bool:
    return result.p_holm is not None and result.p_holm < LEVEL


def _differs(found: Comparison, entry: Variant, result: Result) -> str:
    difference = result.difference
    assert difference is not None
    is_better = (difference.value < 0) == found.lower_is_better
    word, direction = "better" if is_better else "worse", "lower" if difference.value < 0 else "higher"
    p = corrected_p(result)
    sentence = (
        f"{entry.name} is {word} than {found.reference.name}: {found.primary} is {direction} by "
        f"{estimate(_absolute(difference))} (p {p if p.startswith('<') else f'= {p}'} after Holm)."
    )
    spreads = [each for each in (result.spread, _spread_of(found, found.reference)) if each]
    if any(most - least > abs(difference.value) for least, most in spreads):
        sentence += " Seeds of one of the two lie further apart than that, so it may be luck of the seed."
    return sentence


def _absolute(difference: Estimate) -> Estimate:
    """The size of a difference; its interval turned with it."""
    if difference.value >= 0 or difference.low is None or difference.high is None:
        return Estimate(abs(difference.value), difference.low, difference.high)
    return Estimate(-difference.value, -difference.high, -difference.low)


def _spread_of(found: Comparison, entry: Variant) -> tuple[float, float] | None:
    result = found.result(found.primary, entry)
    return result.spread if result else None


def _best(found: Comparison, fair: list[tuple[Variant, Result]]) -> list[str]:
    sign = 1 if found.lower_is_better else -1
    known = [(entry, result) for entry, result in fair if math.isfinite(result.value.value)]
    if len(known) < 2:
        return []
    entry, result = min(known, key=lambda pair: sign * pair[1].value.value)
    word = "lowest" if found.lower_is_better else "highest"
    return [f"The {word} {found.primary} is that of {entry.name}: {estimate(result.value)}."]


def _front(found: Comparison) -> list[str]:
    if not found.front or len([entry for entry in found.trained if not entry.is_leaking]) < 2:
        return []
    rest = [entry.name for entry in found.trained if entry.name not in found.front and not entry.is_leaking]
    sentence = f"On the Pareto front of {found.primary} and training time: {'; '.join(found.front)}."
    return [sentence] if rest else [f"{sentence[:-1]} (all of them: what is better costs more)."]


def _seeds(found: Comparison, rows: list[tuple[Variant, Result]]) -> list[str]:
    widths = {entry.name: result.spread[1] - result.spread[0] for entry, result in rows if result.spread}
    single = [entry.name for entry, _ in rows if len(entry.runs) == 1]
    sentences = []
    if widths:
        widest = max(widths, key=widths.__getitem__)
        sentences.append(f"Seeds of one entry lie up to {number(widths[widest])} apart in {found.primary} ({widest}).")
    if single:
        of = "every entry" if not widths else "; ".join(single)
        sentences.append(f"One seed only of {of}: how much is luck of the seed is not known.")
    return sentences


def _before(found: Comparison) -> list[str]:
    before = next((entry for entry in found.entries if entry.is_before), None)
    result = found.result(found.primary, before) if before else None
    if result is None or result.difference is None:
        return []
    tested = f", p {corrected_p(result)}" if result.p_holm is not None else ""
    return [
        f"Before fine-tuning {found.primary} was {estimate(result.value)}; against {found.reference.name} that is "
        f"{signed(result.difference)}{tested}."
    ]


def _leaking(found: Comparison, rows: list[tuple[Variant, Result]]) -> list[str]:
    """How much better an entry looks that has seen the answers: a flattery, not a finding."""
    return [
        f"{entry.name} was trained on the test questions, which says nothing about new ones"
        + (f": {_flattery(found, result)}." if result.difference else ".")
        for entry, result in rows
    ]


def _flattery(found: Comparison, result: Result) -> str:
    difference = result.difference
    assert difference is not None
    looks = "better" if (difference.value < 0) == found.lower_is_better else "worse"
    tested = f", p {corrected_p(result)}" if result.p_holm is not None else ""
    by = f"{estimate(_absolute(difference))} in {found.primary}{tested}"
    return f"it looks {looks} than {found.reference.name} by {by}, and so much the leak may flatter"
