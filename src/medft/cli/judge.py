"""`medft judge run=<id>`: judge the answers of a finished run."""

import os
import tempfile
from pathlib import Path

from medft.console import say, table
from medft.errors import InputError, JudgeUnavailable
from medft.evaluation.judging import judge_predictions
from medft.evaluation.predictions import read_jsonl
from medft.tracking.finished import open_run, split_arguments
from medft.tracking.results import log_verdicts

_USAGE = "medft judge run=<id> [judge=ollama] [judge.model=llama3 ...]"


def judge(argv: list[str]) -> int:
    """Judge and log to the run; returns the exit code."""
    run_id, overrides, others = split_arguments(argv, _USAGE)
    if others:
        raise InputError(f"what is {others[0]!r}? usage: {_USAGE}")
    run = open_run(run_id, overrides)
    if run.config.judge.name == "none":
        raise InputError(f"the run has judge=none; name one: medft judge run={run_id} judge=ollama")
    ready = run.config.judge.prepare()
    if ready is None:
        raise JudgeUnavailable("nothing was judged")
    predictions = read_jsonl(run.artifact("predictions.jsonl"))
    scores = judge_predictions(ready, predictions)
    folder = run.config.paths.output
    if not os.access(folder, os.W_OK):  # the run was made elsewhere
        folder = Path(tempfile.mkdtemp(prefix="medft-judge-"))
    log_verdicts(run.tracker, folder, ready.name, predictions, scores, ready.describe())
    table(f"run {run_id}", ("metric", "value"), [(key, f"{value:.2f}") for key, value in scores.items()])
    say(f"results:       {folder / 'predictions.jsonl'} (MLflow run {run_id})")
    return 0
