"""A sweep from start to end: the parent run, the jobs that are left, the summary."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from medft.comparison.labels import shorten_keys
from medft.config.schema import Config
from medft.console import say
from medft.files import exclusive_lock
from medft.jobs.executors import Executor, make_executor
from medft.jobs.plan import Job, Plan, freeze
from medft.jobs.process import Outcome
from medft.jobs.scheduler import JobSource, Scheduler, SweepProgress
from medft.report.sweep_summary import describe_sweep, print_summary
from medft.runs.provenance import command_line
from medft.runs.resume import find_finished_runs
from medft.runs.state import EXIT_CODE, FAILED, FINISHED, KILLED
from medft.runs.status import record_lost
from medft.runs.sweeps import Sweep, open_sweep


def run_sweep(plan: Plan, argv: Sequence[str]) -> int:
    """Run the jobs of a sweep that are left; returns the exit code: that of the first job that failed, or 0.

    Raises:
        InputError: the same sweep runs in another process.
    """
    config = plan.configs[0]
    with lock_sweep(config, plan.identity):
        folder = Path(config.paths.root_dir) / "outputs" / f"{datetime.now():%Y-%m-%d/%H-%M-%S-%f}-sweep"
        executor = make_executor(config)
        sweep = open_sweep(config, plan.identity, folder.resolve())
        name = config.sweep.name or " x ".join(shorten_keys(plan.keys).values()) or "sweep"
        jobs = plan.make_jobs(sweep.run_id, sweep.folder)
        sweep.begin(name, plan.keys, command_line("medft train", argv))
        status = KILLED
        try:
            _run_jobs(sweep, jobs, executor)
            status = FINISHED
        finally:
            code = _close(sweep, jobs, status)
    return code


def lock_sweep(config: Config, identity: str, what: str = "sweep") -> AbstractContextManager[None]:
    """Make sure that one process runs a sweep or search: two would run each job twice.

    Raises:
        InputError: there is another.
    """
    busy = f"this {what} is running already, in another process; wait for it, or stop it first"
    return exclusive_lock(config.paths.lock(f"{what}-{identity}"), busy)


def say_what_is_kept(config: Config) -> None:
    """Say so where jobs keep no model, unless that was asked for."""
    if config.tracking.save_model == "auto":
        say("the jobs keep no model that can be asked (tracking.save_model=best: all of them do)")


def _run_jobs(parent: Sweep, jobs: Sequence[Job], executor: Executor) -> None:
    """Run those jobs of a sweep that have not finished in an earlier launch; the others need no process."""
    finished = find_finished_runs([job.config for job in jobs])
    left = [replace(job, config=parent.settle(job.config)) for job in jobs if job.label not in finished]
    for job in left:
        freeze(job)
    if left:
        say_what_is_kept(jobs[0].config)
    sweep = jobs[0].config.sweep
    with SweepProgress([job.label for job in jobs], executor.n_jobs, sweep.metric, sweep.direction) as progress:
        for job in jobs:
            if run := finished.get(job.label):
                progress.show_end(job.number, Outcome("known", 0.0, metrics=run.metrics))
        Scheduler(JobSource(left), executor, progress).run()


def _close(sweep: Sweep, jobs: Sequence[Job], status: str) -> int:
    """End the parent run as its jobs have ended, and print the summary."""
    record_lost(sweep)
    known = sweep.list_job_runs()
    runs = {job.label: known.get(job.label) for job in jobs}
    bad = [run for run in runs.values() if run is None or run.status != FINISHED]
    if status == FINISHED and bad:
        status = FAILED
    link = sweep.format_link()
    table = f"[All jobs as a table, the best first]({link})\n\n" if link else ""
    sweep.close(status, f"{table}{describe_sweep(sweep.config, runs)}")
    commands = {job.label: job.config.job.command for job in jobs}
    print_summary(sweep.config, sweep.run_id, sweep.folder, runs, commands)
    return next((int(run.tags.get(EXIT_CODE, "1")) if run else 1 for run in bad), 0)
