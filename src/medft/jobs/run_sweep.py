"""A sweep from its first job to its last word: the parent run, the launcher's work, the summary."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from medft.config.schema import Config
from medft.errors import InputError
from medft.jobs.job import job_command, job_label, short_names, swept_values
from medft.jobs.launchers import OURS, handed_over, outlive_command, quoted
from medft.jobs.plan import Plan
from medft.jobs.process import is_running
from medft.jobs.remote_progress import watched
from medft.report.sweep_summary import note, print_summary
from medft.runs.provenance import command_line
from medft.runs.status import record_lost
from medft.runs.sweeps import children, close_parent, describe_parent, open_parent
from medft.runs.views import save_view, view_link


def run_sweep(plan: Plan, argv: Sequence[str], launch: Callable[[list[str]], None]) -> int:
    """Run all jobs of a sweep under any launcher; returns the exit code: that of the first job that failed, or 0.

    Args:
        argv: of the command, to be told.
        launch: hands the sweep's own overrides to Hydra, and returns when all jobs have ended.

    Raises:
        InputError: the same sweep runs in another process.
    """
    with alone(plan.config, plan.identity):
        folder = Path(plan.config.paths.root_dir) / "outputs" / f"{datetime.now():%Y-%m-%d/%H-%M-%S-%f}-sweep"
        parent, folder = open_parent(plan.config, plan.identity, folder.resolve())
        name = plan.config.sweep.name or " x ".join(short_names(plan.keys).values()) or "sweep"
        status = "KILLED"
        try:
            describe_parent(plan.config, parent, name, plan.keys, command_line("medft train", argv))
            save_view(plan.config, parent, name, list(short_names(plan.keys).values()))
            own = own_overrides(parent, plan.keys, folder)
            with nullcontext() if plan.launcher == OURS else watched(plan.config, parent, _labels(plan)):
                launch([*own, *handed_over(plan.launcher, plan.config)])
            status = "FINISHED"
        finally:
            code = _close(plan, parent, folder, status)
    return code


def own_overrides(parent: str, keys: Sequence[str], folder: Path) -> list[str]:
    """What tells a job which sweep it is of."""
    swept = ",".join(quoted(key) for key in keys)
    return [f"sweep.parent={parent}", f"sweep.swept=[{swept}]", f"hydra.sweep.dir={quoted(str(folder))}"]


def _labels(plan: Plan) -> list[str]:
    return [job_label(swept_values(job, plan.keys)) for job in plan.jobs]


def _close(plan: Plan, parent: str, folder: Path, status: str) -> int:
    """End the parent run as its jobs have ended, and say so."""
    outlive = outlive_command(plan.launcher)
    record_lost(plan.config, parent, lambda child: outlive and is_running(Path(child.tags.get("output_dir", ""))))
    commands = {label: job_command(job) for label, job in zip(_labels(plan), plan.jobs, strict=True)}
    found = children(plan.config, parent)
    jobs = {label: found.get(label) for label in commands}
    bad = [child for child in jobs.values() if child is None or child.status != "FINISHED"]
    if status == "FINISHED" and bad:
        status = "FAILED"
    link = f"[All jobs as a table, the best first]({view_link(plan.config, parent)})"
    close_parent(plan.config, parent, status, f"{link}\n\n{note(plan.config, jobs)}")
    print_summary(plan.config, parent, folder, jobs, commands)
    codes = [int(child.tags.get("exit_code", "1")) if child else 1 for child in bad]
    return codes[0] if codes else 0


@contextmanager
def alone(config: Config, identity: str, what: str = "sweep") -> Iterator[None]:
    """One process a sweep or search: two would run each job twice.

    Raises:
        InputError: there is another.
    """
    locks = config.paths.cache / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(locks / f"{what}-{identity}.lock", timeout=0):
            yield
    except Timeout:
        raise InputError(f"this {what} is running already, in another process; wait for it, or stop it first") from None
