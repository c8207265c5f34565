"""How numbers and tables look."""

from medft.metrics.statistics import Difference, Estimate
from medft.report.table import Table, format_cost, format_estimate, format_number, format_p, format_signed


def test_an_interval_has_the_decimals_of_its_largest_number() -> None:
    assert format_estimate(Estimate(0.1834, 0.17, 0.2)) == "0.183 [0.170, 0.200]"
    assert format_estimate(Estimate(9.5, 4.0, 15.04)) == "9.5 [4.0, 15.0]"
    assert format_estimate(Estimate(1.0)) == "1.000"
    assert format_estimate(None) == "-"


def test_a_small_cost_is_not_none() -> None:
    costs = {"a": 0.034, "b": 1.24, "c": 1234.5, "d": 0.0}
    assert [format_cost(costs, name) for name in "abcde"] == ["0.034", "1.2", "1,234", "0", "-"]


def test_a_difference_has_a_sign_and_a_p_value_no_false_digits() -> None:
    assert format_signed(Difference(0.5, 0.25, 0.75)) == "+0.500 [0.250, 0.750]"
    assert format_signed(Estimate(-0.5)) == "-0.500"
    assert [format_p(0.0004), format_p(0.0123), format_p(None)] == ["<0.001", "0.012", "-"]
    assert format_number(1234.5) == "1,234.5"


def test_cells_cannot_break_a_markdown_table() -> None:
    table = Table("", ["a", "b"], [["x|y", "1\n<2"]])
    assert table.to_markdown() == "| a | b |\n| --- | --- |\n| x\\|y | 1 &lt;2 |"
