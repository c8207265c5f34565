"""`medft runs` lists what there is; `medft runs clean` removes what nobody needs, after it has asked."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from medft.cli.parser import Arguments
from medft.config.compose import compose_config
from medft.console import format_roughly, format_size, print_table, say, warn
from medft.errors import InputError

if TYPE_CHECKING:
    from medft.runs.cleaning import Unneeded
    from medft.runs.listing import ListedRun

_WHY = 70  # characters
_GO_ON = 3  # interrupted runs whose command is shown


def list_runs(arguments: Arguments) -> int:
    """Print the newest runs; returns the exit code."""
    from medft.metrics.registry import PRIMARY
    from medft.runs.index import RunIndex
    from medft.runs.listing import RunList
    from medft.runs.store import medft_command, ui_command

    config, asked = compose_config(arguments.overrides), arguments.values
    only_bad, jobs = asked["--failed"], "bad" if asked["--failed"] else "all" if asked["--jobs"] else "none"
    index, listed = RunIndex(Path(config.paths.root_dir)), RunList(Path(config.paths.root_dir))
    runs = (run for run in listed if run.is_bad or not only_bad)
    shown = list(islice(runs, asked["limit"]))
    left = sum(1 for _ in runs) if only_bad else len(listed) - len(shown)
    short = index.shorten_ids()
    if shown:
        columns = ["id", "name", "state", "data", PRIMARY, "age", *(["why"] if only_bad else [])]
        rows = [row[: len(columns)] for run in shown for row in _make_rows(run, short, jobs)]
        print_table("", columns, rows, left=4)
    else:
        say(f"no {'failed ' if only_bad else ''}run in {config.paths.root_dir}")
    if left:
        say(f"{left} older ones are left out: limit={len(shown) + left} shows all")
    if lost := index.list_lost():
        say(f"{len(lost)} that cannot be shown: {lost[0]}{', ...' if lost[1:] else ''}")
    for run in [run for run in shown if run.can_go_on][:_GO_ON]:
        say(f"go on:         {medft_command(config, 'train', f'resume={short[run.run_id]}')}   # {run.name}")
    say(f"compare runs:  {ui_command(config)}")
    return 0


def _make_rows(run: "ListedRun", short: Mapping[str, str], jobs: str, indent: str = "") -> Iterator[Sequence[str]]:
    """A run's line, and under it those of its jobs: `all`, `none`, or the `bad` ones."""
    from medft.runs.state import DIVERGED, FINISHED

    name = f"{indent}{run.name}"
    if run.kind:
        finished = sum(job.status in (FINISHED, DIVERGED) for job in run.jobs)
        name += f" ({run.kind}, {finished} of {len(run.jobs)} jobs finished)"
    score = "" if run.score is None else f"{run.score:.3f}"
    why = " ".join(run.why.split())
    why = why if len(why) <= _WHY else f"{why[: _WHY - 1]}…"
    age = format_roughly(time.time() - run.started)
    yield short.get(run.run_id, run.run_id), name, run.status.lower(), run.data, score, age, why
    for job in run.jobs:
        if jobs == "all" or (jobs == "bad" and job.is_bad):
            yield from _make_rows(job, short, jobs, f"{indent}- ")


def clean_runs(arguments: Arguments) -> int:
    """Show what nobody needs, ask, and remove it; returns the exit code.

    Raises:
        InputError: there is nobody to ask, and not `--yes`; nothing was removed.
    """
    from medft.files import exclusive_lock
    from medft.runs.cleaning import DOWNLOADS, FAILED_RUNS, find_unneeded

    config, asked = compose_config(arguments.overrides), arguments.values
    with exclusive_lock(config.paths.lock("clean"), "medft runs clean is running already, in another process"):
        flags = {FAILED_RUNS: "--failed", DOWNLOADS: "--downloads"}
        found = find_unneeded(config)
        going = [each for each in found if asked.get(flags.get(each.kind, ""), True)]
        if going:
            print_table("", ("what", "count", "size"), [*_sum_up(going), *_sum_up(going, "in all")])
        for kind, count, size in _sum_up([each for each in found if each not in going]):
            say(f"stays without {flags[kind]}: {kind} ({count}, {size})")
        if not going:
            say(f"nothing to remove in {config.paths.root_dir} and {config.paths.cache_dir}")
            return 0
        if not asked["--yes"] and not _is_agreed():
            say("nothing was removed")
            return 0
        return _remove(going, Path(config.paths.root_dir))


def _sum_up(found: Sequence["Unneeded"], name: str = "") -> list[tuple[str, str, str]]:
    """Count and size of each kind, or of all under one name."""
    kinds: dict[str, list[int]] = {}
    for each in found:
        kinds.setdefault(name or each.kind, []).append(each.size)
    return [(kind, f"{len(sizes):,}", format_size(sum(sizes))) for kind, sizes in sorted(kinds.items())]


def _is_agreed() -> bool:
    if not sys.stdin.isatty():
        raise InputError("nothing was removed: there is no terminal to ask at; medft runs clean --yes does not ask")
    try:
        return input("remove? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _remove(going: Sequence["Unneeded"], root: Path) -> int:
    from medft.runs.cleaning import remove

    freed = count = failed = 0
    for each in going:
        try:
            if remove(each, root):
                freed, count = freed + each.size, count + 1
            else:
                say(f"left alone, it is needed again: {each.path}")
        except OSError as error:
            failed += 1
            warn(f"{each.path}: cannot be removed ({error.strerror or error})")
    say(f"removed:       {count} of {len(going)}, {format_size(freed)} are free again")
    return 1 if failed else 0
