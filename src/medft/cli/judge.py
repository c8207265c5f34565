"""Commands of a finished run: `medft judge run=<id>` judges its answers, `medft ask run=<id> "question"` its model."""

from medft.cli.parser import Arguments
from medft.config.roles import flatten
from medft.config.schema import Config
from medft.console import quieten, quieten_loggers, say
from medft.errors import InputError, JudgeUnavailable
from medft.evaluation.judges.base import Judge, judge_of
from medft.evaluation.judges.none import NoJudge
from medft.evaluation.judging.judge_run import judge_predictions
from medft.evaluation.judging.metrics import JudgeResults
from medft.evaluation.predictions import Prediction
from medft.files import exclusive_lock
from medft.report.run_page import print_judge, publish_report
from medft.runs.delivery import deliver_more
from medft.runs.local_run import LocalRun
from medft.runs.open import open_for_writing, open_run
from medft.runs.record import IDENTITY, log_verdicts, read_predictions


def judge(arguments: Arguments) -> int:
    """Judge and log to the run; returns the exit code."""
    run = open_run(arguments.values["run"], arguments.overrides)
    run_id = run.stored.run_id
    if isinstance(judge_of(run.config), NoJudge):
        raise InputError(f"the run has judge=none; name one: medft judge run={run_id} judge=ollama")
    for key, value in flatten({"judge": run.config.resolved["judge"]}):
        if "${oc.env:" in str(value):  # an address in a logged config could have it sent to anybody
            raise InputError(f"{key}: the run took it from the environment; say so again: '{key}={value}'")
    predictions = read_predictions(run.stored)
    if not any(row.test.is_written for row in predictions):
        raise InputError(f"run={run_id}: it has written no answers (generation.max_new_tokens=0)")
    ready = judge_of(run.config).prepare()
    if ready is None:
        raise JudgeUnavailable("nothing was judged")
    local = open_for_writing(run)  # before hours are spent on verdicts that could go nowhere
    predictions = read_predictions(local)
    _check_name(ready, local, predictions)
    results = judge_predictions(ready, predictions, run.config.paths.cache)
    print_judge(ready.name, _log(ready, local, run.config, predictions, results))
    say(f"read:          {local.folder / 'report.html'}")
    say(f"results:       {local.folder / 'predictions.jsonl'} (run {run_id})")
    return 0


def ask(arguments: Arguments) -> int:
    """Print what the model that a run has trained answers to a question; returns the exit code."""
    run = open_run(arguments.values["run"], arguments.overrides)
    quieten()
    from medft.runs.trained_model import load_model  # imports torch: not before the run is found

    quieten_loggers()
    say(load_model(run).answer(arguments.words[0]))
    return 0


def _log(
    judge: Judge, run: LocalRun, config: Config, predictions: list[Prediction], results: JudgeResults
) -> dict[str, float]:
    """Log the verdicts beside those of other judges, which may have come in meanwhile; returns the metrics."""
    with exclusive_lock(config.paths.lock(f"judge-{run.run_id}")):
        newest = read_predictions(run)
        for row, judged in zip(newest, predictions, strict=True):
            if judge.name in judged.verdicts:
                row.verdicts[judge.name] = judged.verdicts[judge.name]
        metrics = log_verdicts(run, judge, newest, results)
        publish_report(run, newest)
        deliver_more(run, config, "the verdicts")
    return metrics


def _check_name(judge: Judge, run: LocalRun, predictions: list[Prediction]) -> None:
    """One name, one judge: another model, prompt or option under it would overwrite the first one's scores."""
    verdicts = [verdict for row in predictions for verdict in row.verdicts.get(judge.name, {}).values()]
    tags = run.state.tags
    same = tags.get(f"judge.{judge.name}.{IDENTITY}") == judge.identity()
    if same or all(verdict.score is None for verdict in verdicts):
        return
    was = ", ".join(tags.get(f"judge.{judge.name}.{key}", "?") for key in ("model", "prompt_version"))
    raise InputError(
        f"judge.name={judge.name}: the run already has scores of another judge of that name ({was}); "
        f"give this one its own, such as judge.name={judge.name}-2"
    )
