"""What is said of a sweep when it ends, in the terminal and in MLflow."""

import math
from collections.abc import Mapping
from pathlib import Path

from medft.config.schema import Config
from medft.console import say
from medft.report.table import Table
from medft.runs.index import RunIndex
from medft.runs.state import DIVERGED, FINISHED, RUNNING, RunState
from medft.runs.store import medft_command, ui_command

Jobs = Mapping[str, RunState | None]
_NEVER = "NOT STARTED"


def print_summary(config: Config, parent: str, folder: Path, jobs: Jobs, commands: Mapping[str, str]) -> None:
    """Say how each job ended, how what failed is repeated, and where everything is; `jobs` has the newest run of each
    job, `commands` what runs the job alone, by label.
    """
    _table(f"{len(jobs)} jobs", jobs, config.sweep.metric).print()
    bad = {label: child for label, child in jobs.items() if child is None or child.status != FINISHED}
    for label, child in bad.items():
        say(f"{child.status if child else _NEVER}: {label}: {_why(child)}")
        if child:
            say(f"    its log:  {Path(child.tags.get('output_dir', '?')) / 'job.log'}")
        say(f"    alone:    {commands[label]}")
    for label in [label for label, child in jobs.items() if child and child.outcome == DIVERGED]:
        say(f"{DIVERGED}: {label}: its results are no numbers; a lower optimizer.lr may help")
    if bad:
        say(f"{len(bad)} of {len(jobs)} jobs did not finish; the same command again runs only these")
    if len(bad) < len(jobs):
        named = f"parent={RunIndex(Path(config.paths.root_dir)).shorten_id(parent)}"
        to = [] if config.sweep.name else [f"to={folder / 'report'}"]  # made of keys, it is no name for a folder
        say(f"compare:       {medft_command(config, 'compare', named)}")
        say(f"report:        {medft_command(config, 'report', named, *to)}")
    say(f"compare runs:  {ui_command(config)}")
    say(f"results:       {folder} (run {parent})")


def describe_sweep(config: Config, jobs: Jobs) -> str:
    """The description of the parent run, in Markdown: what was asked, and the jobs, the best first."""
    best_first = dict(sorted(jobs.items(), key=lambda job: _rank(job[1], config)))
    return f"{config.sweep.question or ''}\n\n{_table('', best_first, config.sweep.metric).to_markdown()}".strip()


def _table(title: str, jobs: Jobs, metric: str) -> Table:
    rows = [
        (label, child.outcome if child else _NEVER,
         f"{child.metrics[metric]:.4f}" if child and metric in child.metrics else "")
        for label, child in jobs.items()
    ]  # fmt: skip
    return Table(title, ("job", "state", metric), rows)


def _why(child: RunState | None) -> str:
    if child is None:
        return "had not begun when this command ended"
    return "runs on without this command" if child.status == RUNNING else child.error


def _rank(child: RunState | None, config: Config) -> float:
    value = child.metrics.get(config.sweep.metric) if child else None
    if value is None or not math.isfinite(value):
        return float("inf")
    return value if config.sweep.direction == "minimize" else -value
