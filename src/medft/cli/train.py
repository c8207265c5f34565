"""`medft train`, the same as `python train.py`: Hydra composes, we check, `medft.experiment` runs."""

import logging
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path
from types import FrameType

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medft.cli.report import report
from medft.config.check import check
from medft.config.compose import check_jobs
from medft.config.locate import conf_dir, register_resolvers


def train(argv: list[str]) -> int:
    """Run one experiment, or with -m one for every combination; returns the exit code.

    A sweep goes on after a failed job, and its exit code is that of the first one that failed.
    """
    register_resolvers()
    asked = get_args_parser().parse_args(argv)
    shown = asked.help or asked.hydra_help or asked.info or asked.shell_completion
    elsewhere = asked.config_path or asked.config_name or asked.config_dir or asked.experimental_rerun
    if not (shown or elsewhere) and "LOCAL_RANK" not in os.environ:
        check_jobs(asked.overrides, asked.multirun or "hydra.mode=MULTIRUN" in asked.overrides)
    failures: list[Exception] = []
    # the program that Lightning starts for each further process of a distributed run
    sys.argv = [str(Path(__file__).with_name("process.py")), *argv]
    signal.signal(signal.SIGTERM, _interrupt)
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(lambda raw: _job(raw, failures))()
    codes = [report(error) for error in failures]
    return codes[0] if codes else 0


def _job(raw: DictConfig, failures: list[Exception]) -> None:
    """One job; what goes wrong is remembered, and its traceback kept in the job's folder."""
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        if raw.paths.output_dir is None:
            resumed = raw.trainer.resume_from  # such a run goes on in its own folder
            own = Path(resumed).resolve().parents[1] if resumed else folder
            OmegaConf.update(raw, "paths.output_dir", str(own))
        config = check(raw)
        _quieten()
        from medft.experiment import run

        _quieten_loggers()
        run(config)
    except Exception as error:
        failures.append(error)
        (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")


def _quieten() -> None:
    """Keep libraries' chatter out of the terminal."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", module=r"pytorch_lightning|lightning_fabric|torch\.jit")


def _quieten_loggers() -> None:
    """The same for loggers that libraries set to INFO while they are imported."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    for name in ("pytorch_lightning", "lightning_fabric", "alembic", "mlflow", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
