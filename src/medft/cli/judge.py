"""`medft judge run=<id>`: judge the answers of a finished run."""

import os
import tempfile
from pathlib import Path

from filelock import FileLock

from medft.console import say
from medft.errors import InputError, JudgeUnavailable
from medft.evaluation.judges.base import Judge
from medft.evaluation.judges.none import NoJudge
from medft.evaluation.judging.agreement import with_others
from medft.evaluation.judging.judge_run import judge_predictions
from medft.evaluation.predictions import Prediction, read_jsonl
from medft.report.description import log_note
from medft.report.run_report import log_report
from medft.report.run_table import print_scores
from medft.runs.artifacts import IDENTITY, log_verdicts
from medft.runs.open import FinishedRun, open_run, split_arguments

_USAGE = "medft judge run=<id> [judge=ollama] [judge.model=llama3 ...]"


def judge(argv: list[str]) -> int:
    """Judge and log to the run; returns the exit code."""
    run_id, overrides, others = split_arguments(argv, _USAGE)
    if others:
        raise InputError(f"what is {others[0]!r}? usage: {_USAGE}")
    run = open_run(run_id, overrides)
    if isinstance(run.config.judge, NoJudge):
        raise InputError(f"the run has judge=none; name one: medft judge run={run_id} judge=ollama")
    ready = run.config.judge.prepare()
    if ready is None:
        raise JudgeUnavailable("nothing was judged")
    predictions = read_jsonl(run.artifact("predictions.jsonl"))
    _check_name(ready, run, predictions)
    scores = judge_predictions(ready, predictions, run.config.paths.cache)
    folder = run.config.paths.output
    if not os.access(folder, os.W_OK):  # the run was made elsewhere
        folder = Path(tempfile.mkdtemp(prefix="medft-judge-"))
    scores |= _log(ready, run, folder, predictions, scores)
    print_scores(ready.name, scores)
    say(f"read:          {folder / 'report.html'}")
    say(f"results:       {folder / 'predictions.jsonl'} (MLflow run {run_id})")
    return 0


def _log(
    judge: Judge, run: FinishedRun, folder: Path, predictions: list[Prediction], scores: dict[str, float]
) -> dict[str, float]:
    """Log the verdicts beside those of other judges, which may have come in meanwhile; returns the agreement."""
    locks = run.config.paths.cache / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"judge-{run.tracker.run_id}.lock"):
        newest = read_jsonl(run.artifact("predictions.jsonl"))
        for row, judged in zip(newest, predictions, strict=True):
            if judge.name in judged.judge:
                row.judge[judge.name] = judged.judge[judge.name]
        agreement = with_others(judge.name, newest)
        log_verdicts(run.tracker, folder, judge, newest, scores | agreement)
        log_report(run.tracker, folder, newest)
        log_note(run.tracker)
    return agreement


def _check_name(judge: Judge, run: FinishedRun, predictions: list[Prediction]) -> None:
    """One name, one judge: another model, prompt or option under it would overwrite the first one's scores."""
    verdicts = [verdict for row in predictions for verdict in row.judge.get(judge.name, {}).values()]
    tags = run.tags()
    same = tags.get(f"judge.{judge.name}.{IDENTITY}") == judge.identity()
    if same or all(verdict["score"] is None for verdict in verdicts):
        return
    was = ", ".join(tags.get(f"judge.{judge.name}.{key}", "?") for key in ("model", "prompt_version"))
    raise InputError(
        f"judge.name={judge.name}: the run already has scores of another judge of that name ({was}); "
        f"give this one its own, such as judge.name={judge.name}-2"
    )
