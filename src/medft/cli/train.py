"""`medft train`, the same as `python train.py`: Hydra composes, we check, `medft.experiment` runs."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medft.cli.errors import report
from medft.cli.signals import interrupt_on_sigterm
from medft.config.check import check
from medft.config.paths import conf_dir, register_resolvers
from medft.console import quieten, quieten_loggers
from medft.jobs.plan import plan


def train(argv: list[str]) -> int:
    """Run one experiment, or with -m one for every combination; returns the exit code.

    A sweep goes on after a failed job, and its exit code is that of the first one that failed.
    """
    register_resolvers()
    asked = get_args_parser().parse_args(argv)
    shown = asked.help or asked.hydra_help or asked.info or asked.shell_completion
    elsewhere = asked.config_path or asked.config_name or asked.config_dir or asked.experimental_rerun
    interrupt_on_sigterm()
    unchecked = shown or elsewhere or "LOCAL_RANK" in os.environ
    planned = None if unchecked else plan(asked.overrides, asked.multirun)
    if planned and planned.is_sweep and not asked.cfg:
        from medft.jobs.run_sweep import run_sweep

        return run_sweep(planned, argv, lambda own: _hydra([*argv, *own], sweep_job))
    failures: list[Exception] = []
    _hydra(argv, lambda raw: _run(raw, failures))
    codes = [report(error) for error in failures]
    return codes[0] if codes else 0


def _hydra(argv: list[str], task: Callable[[DictConfig], Any]) -> None:
    # the program that Lightning starts for each further process of a distributed run
    sys.argv = [str(Path(__file__).with_name("ddp_worker.py")), *argv]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(task)()


def _run(raw: DictConfig, failures: list[Exception]) -> None:
    """A run of its own; what goes wrong is remembered, and its traceback kept in its folder."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        if raw.paths.output_dir is None:
            resumed = raw.trainer.resume_from  # such a run goes on in its own folder
            own = Path(resumed).resolve().parents[1] if resumed else folder
            OmegaConf.update(raw, "paths.output_dir", str(own))
        config = check(raw)
        quieten()
        from medft.experiment import run

        quieten_loggers()
        run(config)
    except Exception as error:
        failures.append(error)
        (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")


def sweep_job(raw: DictConfig) -> dict[str, float]:
    """A job of a sweep under another launcher than ours, which may run it on another machine."""
    from medft.jobs.remote import run_elsewhere

    register_resolvers()
    return run_elsewhere(raw)
