"""Several p-values at once."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction (1979): with p-values below 0.05 called findings after it, the probability that any of them is
    false is at most 0.05, however many there are and however they depend on each other.

    Args:
        p_values: of one family.

    Returns:
        Corrected, in the same order: the k-th smallest of m times (m - k + 1), never below the one before, at most 1.
    """
    count = len(p_values)
    corrected, least = [0.0] * count, 0.0
    for rank, place in enumerate(sorted(range(count), key=p_values.__getitem__)):
        least = max(least, min(1.0, (count - rank) * p_values[place]))
        corrected[place] = least
    return corrected
