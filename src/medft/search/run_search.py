"""A search from start to end: the parent run, the study, the trials, the summary in the terminal and in MLflow."""

import json
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from pathlib import Path
from typing import Any

from medft.comparison.labels import shorten_keys
from medft.console import say
from medft.jobs.executors import Executor, make_executor
from medft.jobs.plan import job_command
from medft.jobs.process import Outcome
from medft.jobs.run_sweep import lock_sweep, say_what_is_kept
from medft.jobs.scheduler import Scheduler, SweepProgress
from medft.report.plots import plot_trials
from medft.report.table import Table
from medft.runs.provenance import command_line
from medft.runs.state import EXIT_CODE, FAILED, FINISHED, KILLED, RunState
from medft.runs.status import record_lost
from medft.runs.store import ui_command
from medft.runs.sweeps import Sweep, open_sweep
from medft.search.config import format_value
from medft.search.plan import SearchPlan, format_overrides
from medft.search.study import COMPLETE, FAIL, PRUNED, RUNNING, TRIAL, SearchStudy, TrialJobs, label_trial, open_storage

_SHOWN = 10  # trials of the table
_STATES = {COMPLETE: "done", PRUNED: "pruned", FAIL: "FAILED", RUNNING: "interrupted"}
_CAUTION = (
    "The best of many trials looks better on the validation rows than it is. What it is worth the test rows say, once, "
    "when it is trained with this command."
)


def run_search(plan: SearchPlan, argv: Sequence[str]) -> int:
    """Run the trials that are left of a search; returns the exit code.

    It is 2 if a trial of this launch failed for wrong input, else 0 if one has completed, else 1.

    Raises:
        InputError: the storage cannot be opened, a trial's config is wrong, or the search runs in another process.
    """
    config = plan.config
    with lock_sweep(config, plan.identity, "search"):
        home = (Path(config.paths.root_dir) / "outputs" / "search").resolve()
        storage, executor = open_storage(plan.settings.storage, home), make_executor(config)
        sweep = open_sweep(config, plan.identity, home / f"{datetime.now():%Y-%m-%d-%H-%M-%S-%f}", "search")
        name = config.sweep.name or f"search {' x '.join(shorten_keys(list(plan.ranges)).values())}"
        sweep.begin(name, list(plan.ranges), command_line("medft search", argv))
        status, study, failed_before = KILLED, None, set[int]()
        try:
            study_name = f"medft-{plan.identity}-{sweep.run_id[:8]}"  # `sweep.fresh`: another parent, another study
            study = SearchStudy(storage, study_name, plan)
            failed_before = {trial.number for trial in study.list_trials(FAIL)}
            _run_trials(study, sweep, executor)
            status = FINISHED if study.list_trials(COMPLETE) else FAILED
        finally:
            code = _close(study, sweep, status, failed_before)
    return code


def _run_trials(study: SearchStudy, sweep: Sweep, executor: Executor) -> None:
    settings = study.plan.settings
    ended, interrupted = study.list_trials(COMPLETE, PRUNED, FAIL), study.list_trials(RUNNING)
    if ended or interrupted:
        say(f"goes on with this search: {len(ended)} trials have ended, {len(interrupted)} were interrupted")
    if left := len(interrupted) + study.count_missing():
        say_what_is_kept(study.plan.config)
    labels = [""] * (len(ended) + left)
    with SweepProgress(labels, executor.n_jobs, settings.metric, settings.direction) as progress:
        for trial in ended:
            if trial.state == COMPLETE:
                outcome = Outcome("known", 0.0, metrics={settings.metric: trial.value})
            else:
                outcome = Outcome("pruned" if trial.state == PRUNED else "failed", 0.0)
            progress.add_known(trial.number, label_trial(trial.number, trial.params), outcome)
        Scheduler(TrialJobs(study, sweep), executor, progress).run()


def _close(study: SearchStudy | None, sweep: Sweep, status: str, failed_before: Set[int]) -> int:
    """End the parent run and print the summary; returns the exit code.

    Args:
        failed_before: numbers of the trials that failed in earlier launches.
    """
    record_lost(sweep)
    if study is None:
        sweep.close(FAILED, "")
        return 1
    runs = {int(run.tags[TRIAL]): run for run in sweep.list_job_runs().values() if TRIAL in run.tags}
    sweep.run.set_tags(_make_best_tags(study, runs))
    sweep.run.log_figure(_plot_history(study), "optimization_history.png")
    sweep.close(status, _describe(study))
    _print_summary(study, runs, sweep)
    failed = {trial.number for trial in study.list_trials(FAIL)} - failed_before
    if any(runs[number].tags.get(EXIT_CODE) == "2" for number in failed & runs.keys()):
        return 2
    return 0 if study.list_trials(COMPLETE) else 1


def _print_summary(study: SearchStudy, runs: Mapping[int, RunState], sweep: Sweep) -> None:
    """Print the best trials, the importance of each key, and the command that trains with the best settings."""
    ranked = _rank_trials(study)
    title = f"{min(_SHOWN, len(ranked))} best of {len(ranked)} trials ({_count_states(study)})"
    _make_table(study, title, ranked[:_SHOWN]).print()
    for trial in study.list_trials(FAIL):
        run = runs.get(trial.number)
        say(f"FAILED: trial {trial.number}: {run.error if run else 'it was not begun'}")
        if run:
            say(f"    its log:     {Path(run.tags.get('output_dir', '?')) / 'job.log'}")
    if shares := study.compute_importances():
        names = shorten_keys(list(study.plan.ranges))
        say("what mattered: " + ", ".join(f"{names[key]} {share:.0%}" for key, share in shares.items()))
    if left := len(study.list_trials(RUNNING)) + study.count_missing():
        say(f"{left} of {study.plan.settings.trials} trials are left; the same command again goes on with them")
    if command := _format_best_command(study):
        say(f"train the best: {command}")
    say(f"compare runs:  {ui_command(study.plan.config)}")
    say(f"results:       {sweep.folder} (run {sweep.run_id})")


def _describe(study: SearchStudy) -> str:
    """The description of the parent run, in Markdown: all trials, the best first, and what to do with the best."""
    lines = [_count_states(study), "", _make_table(study, "", _rank_trials(study)).to_markdown()]
    if command := _format_best_command(study):
        lines += ["", "The best settings:", "", f"    {command}", "", _CAUTION]
    return "\n".join(lines)


def _make_best_tags(study: SearchStudy, runs: Mapping[int, RunState]) -> dict[str, str]:
    """The best trial as tags of the parent run; none where no trial has completed."""
    if (best := study.get_best_trial()) is None:
        return {}
    return {
        "search.best.trial": str(best.number),
        "search.best.value": repr(best.value),
        "search.best.params": json.dumps(best.params),
        "search.best.command": _format_best_command(study),
        "search.best.run_id": runs[best.number].run_id if best.number in runs else "",
    }


def _plot_history(study: SearchStudy) -> Any:
    settings = study.plan.settings
    completed, pruned = (
        [(each.number, each.value) for each in study.list_trials(state) if each.value is not None]
        for state in (COMPLETE, PRUNED)
    )
    return plot_trials(completed, pruned, settings.metric, settings.direction == "minimize")


def _format_best_command(study: SearchStudy) -> str:
    """The command that trains with the best settings and the usual evaluation; empty where no trial has completed."""
    if (best := study.get_best_trial()) is None:
        return ""
    return job_command([*study.plan.own, *format_overrides(best.params)], study.plan.in_experiment)


def _rank_trials(study: SearchStudy) -> list[Any]:
    """Completed trials, the best first, then the others by number."""
    is_high_good = study.plan.settings.direction == "maximize"
    completed = sorted(study.list_trials(COMPLETE), key=lambda trial: trial.value, reverse=is_high_good)
    return completed + study.list_trials(PRUNED, FAIL, RUNNING)


def _count_states(study: SearchStudy) -> str:
    counts = {words: len(study.list_trials(state)) for state, words in _STATES.items()}
    return ", ".join(f"{count} {words}" for words, count in counts.items() if count)


def _make_table(study: SearchStudy, title: str, trials: list[Any]) -> Table:
    plan, rows = study.plan, []
    for trial in trials:
        value = "" if trial.value is None else f"{trial.value:.4f}"
        values = [format_value(trial.params[key]) if key in trial.params else "" for key in plan.ranges]
        rows.append([str(trial.number), _STATES[trial.state], value, *values])
    return Table(title, ["trial", "state", plan.settings.metric, *shorten_keys(list(plan.ranges)).values()], rows)
