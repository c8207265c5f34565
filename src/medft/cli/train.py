"""`medft train`, the same as `python train.py`, and `medft search`.

The command line is planned and checked, then runs here or as jobs.
"""

import importlib.util
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from textwrap import indent
from typing import Any

import hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from medft.config.compose import CHOSEN, choose_larger_data, compose_config, compose_raw, parse_overrides, validate
from medft.config.environment import list_addresses, reveal
from medft.config.launchers import JobInfo
from medft.config.options import BASE, list_options
from medft.config.paths import conf_dir, register_resolvers
from medft.config.schema import Config
from medft.console import note, quieten, quieten_loggers
from medft.errors import InputError
from medft.inputs import check_inputs, check_machine, fetch_data
from medft.jobs.plan import plan
from medft.secrets import fill_passwords, hide, hide_passwords, lacks_password

_SEARCH_HELP = """\
medft search [search=NAME-or-FILE] [KEY=VALUE ...]

Searches hyper-parameters with Optuna within the ranges of conf/search/NAME.yaml (default.yaml unless named; that file
explains each knob) or of a file of your own. search.KEY=VALUE sets a key of that file, every other KEY=VALUE one of the
trials' config. The same command again goes on where the search was stopped; sweep.fresh=true begins anew.

  medft search model=smollm2-135m dataset=medquad dataset.path=medquad.zip search.trials=50
  medft search search=lora model=smollm2-135m"""


def train(argv: list[str]) -> int:
    """Run one experiment, or with -m one for every combination; returns the exit code.

    A sweep goes on after a failed job, and its exit code is that of the first one that failed.
    """
    register_resolvers()
    asked, unknown = get_args_parser().parse_known_args(argv)
    if unknown_options := [each for each in unknown if each.startswith("-")]:
        key = unknown_options[0].lstrip("-")
        raise InputError(
            f"{unknown_options[0]}: no such option; settings are KEY=VALUE: {key if '=' in key else f'{key}=VALUE'}"
        )
    typed = [*asked.overrides, *unknown]  # argparse takes those on one side of the options only
    options = [each for each in argv if each not in typed]
    if asked.cfg and asked.multirun:
        raise InputError(f"--cfg {asked.cfg} prints the config of one run: leave out -m, and give each key one value")
    if asked.help:
        print(hide_passwords(_help(typed)))
        return 0
    if asked.hydra_help or asked.info or asked.shell_completion:
        _show([*typed, *options])
        return 0
    if asked.config_name or asked.config_path or asked.experimental_rerun:
        raise InputError("medft composes conf/train.yaml; a file of your own is an experiment: experiment=NAME")
    overrides = list(typed)
    if asked.config_dir:
        overrides.append(f"hydra.searchpath=['file://{Path(asked.config_dir).resolve()}']")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is told, and logs its end
    for each in overrides:
        if each.startswith("resume=") and not each.endswith(("=auto", "=never")):
            if asked.cfg:
                raise InputError(f"{each}: it goes on as it was; its folder has the config (config.yaml): medft runs")
            return _resume(each, [other for other in overrides if other != each])
    planned = plan(overrides, asked.multirun)
    if asked.cfg:
        is_larger = CHOSEN in planned.configs[0].tracking.tags
        _show([*(choose_larger_data(typed) if is_larger else typed), *options])
        return 0
    check_inputs(planned.configs)
    check_machine(planned.configs)
    fetch_data(planned.configs)
    if planned.is_sweep:
        from medft.jobs.run_sweep import run_sweep

        return run_sweep(planned, argv)
    return _run(planned.configs[0])


def _resume(named: str, overrides: Sequence[str]) -> int:
    """Go on with a run or a sweep that was interrupted, without its command; returns the exit code.

    Raises:
        InputError: there is no such run, it has finished, or it is to have other settings.
    """
    from medft.runs.open import read_logged
    from medft.runs.query import PLACES, RunStore
    from medft.runs.state import COMMAND

    places = [each for each in overrides if each.startswith(PLACES)]
    if len(places) < len(overrides):
        raise InputError(f"{named} goes on with a run as it was; with other settings start a new one: {overrides[-1]}")
    key, _, name = named.partition("=")
    store = RunStore(compose_config(places))
    run = store.find_interrupted(name, key)
    command = run.state.tags.get(COMMAND, "")
    note(f"{key}={name}: {run.state.kind or 'run'} {run.run_id} ({run.state.name}): {command}")
    addresses = list_addresses(store.config.tracking.uri)
    if run.state.kind:  # its jobs follow from its command
        from medft.cli.main import main

        words = [fill_passwords(each, addresses) for each in shlex.split(command)[1:]]
        if unknown := next(filter(lacks_password, words), None):
            raise InputError(f"{unknown}: its password is not known here; repeat the command with it")
        return main([*words, *(each for each in places if each not in words)])
    logged = {**read_logged(run), "resume": run.run_id}
    config = validate(reveal(logged, addresses), logged)
    return _run(config.as_job(JobInfo(command=command), run.folder))


def search(argv: list[str]) -> int:
    """Run the trials that are left; returns the exit code."""
    if {"--help", "-h"} & set(argv):
        print(_SEARCH_HELP)
        return 0
    if importlib.util.find_spec("optuna") is None:
        raise InputError("medft search needs Optuna: pip install 'medft[search]'")
    for each in argv:
        if each.startswith("-") or "=" not in each.lstrip("~"):
            raise InputError(f"what is {each!r}? usage: medft search [search=NAME-or-FILE] [KEY=VALUE ...]")
    from medft.search.plan import plan_search

    planned = plan_search(argv)
    check_inputs([planned.config])
    check_machine([planned.config])
    fetch_data([planned.config])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is told, and logs its end
    from medft.search.run_search import run_search

    return run_search(planned, argv)


def _help(overrides: Sequence[str]) -> str:
    """What there is to choose, and the composed config. Hydra's own help lists the same, but takes seconds."""
    lines = [
        "usage: medft train [KEY=VALUE ...]",
        "       medft train -m KEY=A,B ...       one run for every combination",
        "       medft train resume=last|ID       go on with a run or a sweep that was interrupted",
        "       medft train --cfg job ...        print the composed config, run nothing",
        "       medft train --hydra-help         what else the command line takes",
        "",
        "groups, GROUP=NAME takes the file conf/GROUP/NAME.yaml:",
    ]
    for folder in sorted(path for path in conf_dir().rglob("*") if path.is_dir()):
        group = folder.relative_to(conf_dir()).as_posix()
        names = list_options(group)
        if names and group not in ("hydra", "search"):
            lines.append(f"  {group:<14} {', '.join(names)}")
    single = [each.input_line or "" for each in parse_overrides(overrides) if not each.is_sweep_override()]
    composed = compose_raw(single)
    with suppress(InputError):  # what it lacks is no reason to show nothing
        if CHOSEN in compose_config(single).tracking.tags:
            composed = compose_raw(choose_larger_data(single))
    config = OmegaConf.to_yaml(composed)
    return "\n".join([*lines, "", "config, each key explained in the files under conf/:", indent(config, "  ")])


def _show(argv: list[str]) -> None:
    """Have Hydra print what there is to choose, without the bases of groups, or the composed config."""
    listed = ConfigLoaderImpl.get_group_options

    def list_choices(*args: Any, **options: Any) -> list[str]:
        return [name for name in listed(*args, **options) if name != BASE]

    ConfigLoaderImpl.get_group_options = list_choices  # type: ignore[method-assign]
    sys.argv = ["medft train", *argv]
    with redirect_stdout(StringIO()) as shown:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(lambda config: None)()
    print(hide_passwords(shown.getvalue()), end="")


def _run(config: Config) -> int:
    """A run of its own, in this process; what goes wrong leaves its traceback in the run's folder."""
    folder = config.paths.output
    folder.mkdir(parents=True, exist_ok=True)
    try:
        quieten()
        from medft.experiment import run

        quieten_loggers()
        run(config)
    except Exception:
        with suppress(OSError):  # the disk may be what is full
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "error.txt").write_text(hide(traceback.format_exc()), encoding="utf-8")
        raise
    with suppress(OSError):  # empty where an earlier run went on, in its own folder
        folder.rmdir()
    return 0
