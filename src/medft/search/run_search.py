"""A search from its first trial to its last word: the parent run, the study, the trials, the summary."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from medft.comparison.labels import shorten_keys
from medft.console import say
from medft.jobs.executors import Executor, make_executor
from medft.jobs.progress import SweepProgress
from medft.jobs.run_sweep import lock_sweep
from medft.jobs.scheduler import Scheduler
from medft.runs.provenance import command_line
from medft.runs.status import record_lost
from medft.runs.sweeps import JobRun, close_parent, describe_parent, list_children, open_parent
from medft.runs.trials import tag_parent
from medft.search.plan import SearchPlan
from medft.search.study import COMPLETE, FAIL, RUNNING, SearchStudy, open_storage
from medft.search.summary import describe_search, make_best_tags, plot_history, print_search
from medft.search.trials import TrialSource, count_missing, get_known_outcome, label_trial

_TRIAL = "search.trial"


def run_search(plan: SearchPlan, argv: Sequence[str]) -> int:
    """Run the trials that are left of a search; returns the exit code.

    It is 0 if a trial has completed and none failed for wrong input, 2 if one did, else 1.

    Raises:
        InputError: the storage cannot be opened, a trial's config is wrong, or the search runs in another process.
    """
    config = plan.config
    with lock_sweep(config, plan.identity, "search"):
        home = (Path(config.paths.root_dir) / "outputs" / "search").resolve()
        storage = open_storage(plan.settings.storage, home)
        folder = home / f"{datetime.now():%Y-%m-%d-%H-%M-%S-%f}"
        executor = make_executor(config)
        parent, folder = open_parent(config, plan.identity, folder, "search")
        shown = [each for each in argv if not each.startswith("search.storage=")]  # it may hold a password
        name = config.sweep.name or f"search {' x '.join(shorten_keys(list(plan.ranges)).values())}"
        describe_parent(config, parent, name, list(plan.ranges), command_line("medft search", shown))
        status, study = "KILLED", None
        try:
            study_name = f"medft-{plan.identity}-{parent[:8]}"  # `sweep.fresh` makes another parent, and another study
            study = SearchStudy(storage, study_name, plan.settings, plan.ranges, plan.resource)
            _launch(plan, study, parent, folder, executor)
            status = "FINISHED" if study.list_trials(COMPLETE) else "FAILED"
        finally:
            runs = _close(plan, study, parent, folder, status)
    return _exit_code(study, runs)


def _launch(plan: SearchPlan, study: SearchStudy, parent: str, folder: Path, executor: Executor) -> None:
    known, running = [each for each in study.list_trials() if each.state != RUNNING], study.list_trials(RUNNING)
    if known or running:
        say(f"goes on with this search: {len(known)} trials have ended, {len(running)} were interrupted")
    settings = plan.settings
    labels = [""] * (len(study.list_trials()) + count_missing(study))
    with SweepProgress(labels, executor.n_jobs, settings.metric, settings.direction) as progress:
        for trial in known:
            outcome = get_known_outcome(trial, settings.metric)
            progress.add_known(trial.number, label_trial(trial.number, trial.params), outcome)
        Scheduler(TrialSource(plan, study, parent, folder), executor, progress).run()


def _close(plan: SearchPlan, study: SearchStudy | None, parent: str, folder: Path, status: str) -> dict[int, JobRun]:
    """End the parent run, and say what was found."""
    config = plan.config
    record_lost(config, parent)
    if study is None:
        close_parent(config, parent, "FAILED", "")
        return {}
    runs = _by_number(list_children(config, parent).values())
    tag_parent(config, parent, make_best_tags(plan, study, runs), plot_history(plan, study))
    close_parent(config, parent, status, describe_search(plan, study))
    print_search(plan, study, runs, parent, folder)
    return runs


def _by_number(runs: Any) -> dict[int, JobRun]:
    return {int(child.tags[_TRIAL]): child for child in runs if _TRIAL in child.tags}


def _exit_code(study: SearchStudy, runs: dict[int, JobRun]) -> int:
    codes = [runs[each.number].tags.get("exit_code") for each in study.list_trials(FAIL) if each.number in runs]
    if "2" in codes:
        return 2
    return 0 if study.list_trials(COMPLETE) else 1
