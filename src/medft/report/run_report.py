"""The report stage: report.html of a run, made and logged."""

from collections.abc import Sequence
from pathlib import Path

from medft.evaluation.predictions import Prediction
from medft.report.run_page import render
from medft.runs.record import collect
from medft.runs.tracker import Tracker


def log_report(tracker: Tracker, output: Path, predictions: Sequence[Prediction]) -> None:
    """Write report.html of all that the run has logged so far, and log it."""
    file = output / "report.html"
    file.write_text(render(collect(tracker, predictions)), encoding="utf-8")
    tracker.log_file(file)
