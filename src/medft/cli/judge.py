"""`medft judge run=<id>`: judge the answers of a finished run."""

import os
import tempfile
from pathlib import Path

from medft.console import say
from medft.errors import InputError, JudgeUnavailable
from medft.evaluation.judges.base import Judge
from medft.evaluation.judging.stage import judge_predictions
from medft.evaluation.predictions import read_jsonl
from medft.evaluation.summary import print_scores
from medft.tracking.finished import FinishedRun, open_run, split_arguments
from medft.tracking.results import IDENTITY, log_report, log_verdicts

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
    _check_name(ready, run)
    predictions = read_jsonl(run.artifact("predictions.jsonl"))
    scores = judge_predictions(ready, predictions, run.config.paths.cache)
    folder = run.config.paths.output
    if not os.access(folder, os.W_OK):  # the run was made elsewhere
        folder = Path(tempfile.mkdtemp(prefix="medft-judge-"))
    log_verdicts(run.tracker, folder, ready, predictions, scores)
    log_report(run.tracker, folder, predictions)
    print_scores(ready.name, scores)
    say(f"read:          {folder / 'report.html'}")
    say(f"results:       {folder / 'predictions.jsonl'} (MLflow run {run_id})")
    return 0


def _check_name(judge: Judge, run: FinishedRun) -> None:
    """One name, one judge: another model, prompt or option under it would overwrite the first one's scores."""
    tags = run.tags()
    known = tags.get(f"judge.{judge.name}.{IDENTITY}")
    # a run of an older version has no identity, but a model
    if known not in (None, judge.identity()) or (known is None and f"judge.{judge.name}.model" in tags):
        was = ", ".join(tags.get(f"judge.{judge.name}.{key}", "?") for key in ("model", "prompt_version"))
        raise InputError(
            f"judge.name={judge.name}: the run already has scores of another judge of that name ({was}); "
            f"give this one its own, such as judge.name={judge.name}-2"
        )
