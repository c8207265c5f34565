"""A search from start to end: the parent run, the study, the trials, the summary."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from medft.comparison.labels import shorten_keys
from medft.console import say
from medft.jobs.executors import Executor, make_executor
from medft.jobs.process import Outcome
from medft.jobs.progress import SweepProgress
from medft.jobs.run_sweep import lock_sweep
from medft.jobs.scheduler import Scheduler
from medft.runs.provenance import command_line
from medft.runs.status import record_lost
from medft.runs.sweeps import Sweep, open_sweep
from medft.search.plan import SearchPlan
from medft.search.study import COMPLETE, FAIL, PRUNED, RUNNING, SearchStudy, open_storage
from medft.search.summary import describe_search, make_best_tags, plot_history, print_search
from medft.search.trials import TRIAL, TrialSource, label_trial


def run_search(plan: SearchPlan, argv: Sequence[str]) -> int:
    """Run the trials that are left of a search; returns the exit code.

    It is 2 if a trial failed for wrong input, else 0 if one has completed, else 1.

    Raises:
        InputError: the storage cannot be opened, a trial's config is wrong, or the search runs in another process.
    """
    config = plan.config
    with lock_sweep(config, plan.identity, "search"):
        home = (Path(config.paths.root_dir) / "outputs" / "search").resolve()
        storage = open_storage(plan.settings.storage, home)
        executor = make_executor(config)
        sweep = open_sweep(config, plan.identity, home / f"{datetime.now():%Y-%m-%d-%H-%M-%S-%f}", "search")
        shown = [each for each in argv if not each.startswith("search.storage=")]  # it may hold a password
        name = config.sweep.name or f"search {' x '.join(shorten_keys(list(plan.ranges)).values())}"
        sweep.describe(name, list(plan.ranges), command_line("medft search", shown))
        status, study = "KILLED", None
        try:
            study_name = f"medft-{plan.identity}-{sweep.run_id[:8]}"  # `sweep.fresh`: another parent, another study
            study = SearchStudy(storage, study_name, plan.settings, plan.ranges, plan.resource)
            _run_trials(plan, study, sweep, executor)
            status = "FINISHED" if study.list_trials(COMPLETE) else "FAILED"
        finally:
            code = _close(plan, study, sweep, status)
    return code


def _run_trials(plan: SearchPlan, study: SearchStudy, sweep: Sweep, executor: Executor) -> None:
    settings = plan.settings
    ended, interrupted = study.list_trials(COMPLETE, PRUNED, FAIL), study.list_trials(RUNNING)
    if ended or interrupted:
        say(f"goes on with this search: {len(ended)} trials have ended, {len(interrupted)} were interrupted")
    labels = [""] * (len(ended) + len(interrupted) + study.count_missing())
    with SweepProgress(labels, executor.n_jobs, settings.metric, settings.direction) as progress:
        for trial in ended:
            if trial.state == COMPLETE:
                outcome = Outcome("known", 0.0, metrics={settings.metric: trial.value})
            else:
                outcome = Outcome("pruned" if trial.state == PRUNED else "failed", 0.0)
            progress.add_known(trial.number, label_trial(trial.number, trial.params), outcome)
        Scheduler(TrialSource(plan, study, sweep), executor, progress).run()


def _close(plan: SearchPlan, study: SearchStudy | None, sweep: Sweep, status: str) -> int:
    """End the parent run and print the summary; returns the exit code."""
    record_lost(sweep)
    if study is None:
        sweep.close("FAILED", "")
        return 1
    runs = {int(run.tags[TRIAL]): run for run in sweep.list_job_runs().values() if TRIAL in run.tags}
    sweep.set_tags(make_best_tags(plan, study, runs))
    sweep.log_figure(plot_history(plan, study), "optimization_history.png")
    sweep.close(status, describe_search(plan, study))
    print_search(plan, study, runs, sweep)
    if any(runs[each.number].tags.get("exit_code") == "2" for each in study.list_trials(FAIL) if each.number in runs):
        return 2
    return 0 if study.list_trials(COMPLETE) else 1
