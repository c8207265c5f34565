"""Descriptions in Markdown."""

from medft.report.description import markdown_table, note

METRICS = {
    "baseline/bits_per_byte": 0.9, "test/bits_per_byte": 0.7, "difference/bits_per_byte": -0.2,
    "difference/bits_per_byte_ci_low": -0.3, "difference/bits_per_byte_ci_high": -0.1,
    "difference/bits_per_byte_p": 0.01, "judge/bad/score": 50.0, "judge/bad/reliable": 0.0,
}  # fmt: skip
PARAMS = {"model.name": "m", "dataset.name": "d", "dataset.size_used": "60", "dataset.max_length": "128", "seed": "1"}


def test_a_run_is_described_by_its_headline_table() -> None:
    text = note(METRICS, PARAMS, {"leaking": "false"})
    assert text.startswith("**m** on **d**, 60 rows, max_length 128, seed 1")
    assert "| bits_per_byte | 0.900 | 0.700 | -0.200 [-0.300, -0.100] | 0.010 |" in text
    assert "| judge/bad/score (UNRELIABLE) | - | 50.0 | - |  |" in text
    assert "trained on" not in text
    assert "**Test questions were trained on**" in note(METRICS, PARAMS, {"leaking": "true"})


def test_cells_cannot_break_the_table() -> None:
    assert markdown_table(["a", "b"], [["x|y", "1\n2"]]) == "| a | b |\n| --- | --- |\n| x\\|y | 1 2 |"
