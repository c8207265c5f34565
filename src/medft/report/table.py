"""How results look, the same in the terminal, in pages, in Markdown: tables, and the numbers in their cells."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from medft import console
from medft.metrics.registry import BeforeAfter
from medft.metrics.statistics import Estimate

# the costs of a run: the title of a column, and the unit in a sentence
COST_LABELS: Mapping[str, tuple[str, str]] = {
    "train_tflop": ("train TFLOP", "TFLOP"),
    "train_seconds": ("train s", "s"),
    "train_tokens": ("train tokens", "tokens"),
    "tokens_per_second": ("tokens/s", "tokens/s"),
    "peak_memory": ("peak MiB", "MiB at most"),
}
_SMALL = 10  # of a cost
INTERVALS = (
    "[low, high]: 95% interval, a bootstrap-t over groups, since questions of one group are not independent "
    "(for a share Wilson's)."
)


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        meaning: what the figures are, in a sentence; may be empty.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    meaning: str = ""

    def print(self) -> None:
        """Print it in the terminal."""
        console.print_table(self.title, self.columns, self.rows)

    def to_markdown(self) -> str:
        """As Markdown, without its title."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(map(_escape, line))} |" for line in lines)


def to_bullets(lines: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {line}" for line in lines)


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def format_number(value: float, decimals: int | None = None) -> str:
    """Three decimals below 10, one above: what the intervals allow."""
    return f"{value:,.{_decimals(value) if decimals is None else decimals}f}"


def format_estimate(estimate: Estimate | None) -> str:
    """A value with its interval, such as `0.183 [0.170, 0.197]`; a dash where there is none."""
    if estimate is None:
        return "-"
    value, low, high = estimate.value, estimate.low, estimate.high
    if low is None or high is None:
        return format_number(value)
    decimals = _decimals(max(abs(value), abs(low), abs(high)))
    return f"{format_number(value, decimals)} [{format_number(low, decimals)}, {format_number(high, decimals)}]"


def format_signed(difference: Estimate | None) -> str:
    """A difference with its sign."""
    sign = "+" if difference is not None and difference.value > 0 else ""
    return sign + format_estimate(difference)


def format_p(p: float | None) -> str:
    """A p-value; a dash where there is none."""
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def format_cost(costs: Mapping[str, float], name: str) -> str:
    """A cost without its unit; of a small one two digits."""
    if name not in costs:
        return "-"
    return f"{costs[name]:,.0f}" if costs[name] >= _SMALL or not costs[name] else f"{costs[name]:.2g}"


def format_count(number: int, one: str, several: str) -> str:
    """`1 variant`, `2 variants`."""
    return f"{number:,} {one if number == 1 else several}"


BEFORE_AFTER = ("metric", "before", "after", "difference", "p")


def format_before_after(result: BeforeAfter) -> tuple[str, str, str, str]:
    """A line of a run's results: before, after and difference with their intervals, and the p-value."""
    p = format_p(result.difference.p) if result.difference else ""
    return format_estimate(result.before), format_estimate(result.after), format_estimate(result.difference), p


def describe_reliability(reliable: bool | None) -> str:
    """What a judge's name is followed by; empty for a reliable one."""
    return {True: "", False: "UNRELIABLE", None: "of unknown worth"}[reliable]


def capitalize(words: str) -> str:
    """A note as a sentence."""
    return f"{words[0].upper()}{words[1:]}."


def keep_together(cell: str) -> str:
    """For pages: a value may be broken into two lines before its interval, not inside it, and a range not at all."""
    return cell.replace(", ", ",\u00a0").replace(" .. ", "\u00a0..\u00a0")


def _decimals(value: float) -> int:
    return 3 if abs(value) < 10 else 1
