"""`medft compare RUN RUN...`: finished runs side by side, on the questions they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medft.console import say
from medft.errors import InputError

if TYPE_CHECKING:  # help should come at once
    from medft.comparison.compare import Options

_USAGE = """\
medft compare RUN RUN ... [KEY=VALUE ...]       runs by id, or by the first 6 or more characters of one
medft compare parent=ID [KEY=VALUE ...]         all runs of a sweep
medft compare filter="params.`model.name` = 'gpt2'" [KEY=VALUE ...]   what an MLflow filter finds

  to=FOLDER              where compare.html and compare.csv go (default: outputs/compare/<date>/<time>)
  reference=NAME         entry, or run, that the others are compared with (default: the sweep's, or the first)
  questions=shared       compare runs of different test questions on those they share
  seeds=apart            do not average runs that differ in nothing but their seed
  metric=bits_per_byte   the primary one: ranking, Pareto front, figures, range over seeds
  metrics=A,B            compare only these; the fewer, the less the correction of p-values takes away
  judge=NAME             compare only this judge's scores (default: all judges')
  baseline=false         do not show the model before fine-tuning
  answers=6              questions shown with everybody's answers
  tracking.uri=... paths.root_dir=...   where the runs are tracked, as for medft train"""

_OWN = (
    "to",
    "parent",
    "filter",
    "reference",
    "questions",
    "seeds",
    "metric",
    "metrics",
    "judge",
    "baseline",
    "answers",
)
_CHOICES = {"questions": ("same", "shared"), "seeds": ("together", "apart"), "baseline": ("true", "false")}


@dataclass(frozen=True)
class Arguments:
    """A command line: run ids, the command's own KEY=VALUE, and what says where runs are tracked."""

    ids: list[str]
    own: dict[str, str]
    places: list[str]


def compare(argv: list[str]) -> int:
    """Print the comparison, write compare.csv and compare.html; returns the exit code."""
    if {"--help", "-h"} & set(argv) or argv == ["help"]:
        print(_USAGE)
        return 0
    given = read_arguments(argv, _OWN, "compare")
    _check(given)

    from medft.comparison.compare import compare as compare_runs
    from medft.report.compare_page import write_page
    from medft.report.compare_tables import print_comparison
    from medft.report.csv_files import write_compare_csv
    from medft.runs.load import RunQuery, load_runs
    from medft.runs.query import Store

    own, store = given.own, Store(given.places)
    asked = RunQuery(given.ids, own.get("parent", ""), own.get("filter", ""))
    options = _options(own, store.one(asked.parent) if asked.parent else None)
    runs, _ = load_runs(store, asked)
    found = compare_runs(runs, options)
    folder = _folder(own.get("to", ""), store.config.paths.root_dir)
    folder.mkdir(parents=True, exist_ok=True)
    print_comparison(found)
    write_compare_csv(found, folder / "compare.csv")
    write_page(found, folder / "compare.html")
    say(f"read:          {folder / 'compare.html'}")
    say(f"results:       {folder}")
    return 0


def _options(own: Mapping[str, str], parent: Any | None) -> "Options":
    """What was asked for; where that is left open, what a sweep says of itself."""
    from medft.comparison.compare import Options
    from medft.metrics.registry import PRIMARY
    from medft.runs.sweep_record import is_sweep, read_sweep

    sweep = read_sweep(parent) if parent and is_sweep(parent) else None
    metrics = [name for name in own.get("metrics", "").split(",") if name]
    default = metrics[0] if metrics else sweep.primary if sweep else PRIMARY
    return Options(
        reference=own.get("reference") or (sweep.reference if sweep else ""),
        shared_only=own.get("questions") == "shared",
        seeds_apart=own.get("seeds") == "apart",
        judge=own.get("judge", ""),
        metric=own.get("metric") or default,
        metrics=metrics,
        with_baseline=own.get("baseline", "true") == "true",
        answers=int(own.get("answers", "6")),
        swept=sweep.settings if sweep else (),
    )


def read_arguments(argv: Sequence[str], own: Sequence[str], command: str) -> Arguments:
    """Sort a command line out.

    Raises:
        InputError: it has a KEY=VALUE that is none of `own` and says no place.
    """
    found = Arguments([], {}, [])
    for each in argv:
        key, is_pair, value = each.partition("=")
        if not is_pair:
            found.ids.append(each)
        elif key in own:
            found.own[key] = value
        elif key == "tracking.uri" or key.startswith("paths."):
            found.places.append(each)
        else:
            known = ", ".join([*own, "tracking.uri", "paths.*"])
            raise InputError(f"{key}: no such key; there are {known} (medft {command} --help)")
    return found


def _check(given: Arguments) -> None:
    ways = [bool(given.ids), *(bool(given.own.get(key)) for key in ("parent", "filter"))]
    if sum(ways) != 1:
        raise InputError("name runs by id, or by parent=<id>, or by filter=<MLflow filter>: medft compare --help")
    for key, choices in _CHOICES.items():
        if given.own.get(key, choices[0]) not in choices:
            raise InputError(f"{key}={given.own[key]}: must be {' or '.join(choices)}")
    if not given.own.get("answers", "6").isdecimal():
        raise InputError(f"answers={given.own['answers']}: must be a number from 0")


def _folder(to: str, root: str) -> Path:
    if to:
        return Path(to).expanduser()
    return Path(root) / "outputs" / "compare" / datetime.now().astimezone().strftime("%Y-%m-%d/%H-%M-%S")
