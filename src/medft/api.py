"""What `import medft` offers: compose a config, run it, open a run, compare runs. Errors are those of the commands."""

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from medft.config.schema import Config
from medft.errors import InputError
from medft.loopback import bypass_proxies

if TYPE_CHECKING:  # each function imports what it needs: composing needs no torch
    from medft.comparison.compare import Comparison
    from medft.evaluation.predictions import Prediction
    from medft.runs.open import FinishedRun
    from medft.runs.trained_model import TrainedModel


class Run:
    """A run with its id and the config that it has logged; the rest is read when asked for."""

    def __init__(self, opened: "FinishedRun", places: Sequence[str]) -> None:
        self._opened = opened
        self._places = places  # overrides that say where runs are tracked
        self.id: str = opened.stored.run_id
        self.config: Config = opened.config

    def __repr__(self) -> str:
        return f"Run({self.id!r}, {self.name!r})"

    @property
    def name(self) -> str:
        """The name it has, in MLflow too."""
        return self._opened.stored.state.name

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric, such as `test/bits_per_byte`."""
        return dict(self._opened.stored.state.metrics)

    @cached_property
    def predictions(self) -> "list[Prediction]":
        """The test questions with expected, baseline and generated answers, measurements and verdicts."""
        from medft.runs.record import read_predictions

        return read_predictions(self._opened.stored)

    @cached_property
    def folder(self) -> Path | None:
        """The folder of its files, where it lies on this machine."""
        from medft.runs.state import OUTPUT_DIR

        folder = Path(self._opened.stored.state.tags.get(OUTPUT_DIR, ""))
        return folder if folder.is_absolute() and folder.is_dir() else None

    @property
    def model_uri(self) -> str:
        """What MLflow calls the trained model, where the run has saved one: `mlflow.pyfunc.load_model(run.model_uri)`.

        MLflow is told where the run is tracked, and gets what it has not of the run yet.

        Raises:
            TrackerUnavailable: it cannot be had.
        """
        from medft.runs.delivery import deliver, find_mlflow_id
        from medft.runs.local_run import LocalRun
        from medft.runs.store import connect

        stored, client = self._opened.stored, connect(self.config)
        if not isinstance(stored, LocalRun):
            return f"runs:/{stored.mlflow_id}/model"
        deliver(stored, client)
        return f"runs:/{find_mlflow_id(stored, client)}/model"

    def load_model(self) -> "TrainedModel":
        """Load the trained model: `run.load_model().answer("What is gout?")`.

        Raises:
            InputError: the run has saved none (tracking.save_model=none, as jobs of sweeps).
        """
        from medft.runs.trained_model import load_model

        return load_model(self._opened)


def compose(*overrides: str) -> Config:
    """A checked config: conf/train.yaml with overrides as on the command line, `compose("model=gpt2", "seed=1")`.

    Raises:
        InputError: an override that does not fit, a line each.
    """
    from medft.config.compose import compose_config
    from medft.config.launchers import JobInfo
    from medft.runs.provenance import command_line

    bypass_proxies()
    if any("dataset.split.from_run=" in override for override in overrides):
        from medft.runs.query import resolve_split_run

        overrides = tuple(resolve_split_run(overrides))
    # a run logs the command that repeats it
    return compose_config(overrides).as_job(JobInfo(command=command_line("medft train", overrides)))


def run(config: Config) -> Run:
    """Train, measure and track as `medft train` does; each call has a folder of its own.

    Args:
        config: of `compose`; with `paths.output_dir` the run goes to that folder.

    Raises:
        InputError: what was asked for cannot be done; nothing was logged.
        MedftError: the run failed.
    """
    from omegaconf import OmegaConf

    from medft.config.compose import check
    from medft.console import quieten, quieten_loggers
    from medft.inputs import check_inputs, fetch_data
    from medft.jobs.plan import choose_folder, format_override

    if check(OmegaConf.create(config.resolved)).model_dump() != config.model_dump():
        raise InputError("the config was changed after compose(); give the change to compose() as an override")
    check_inputs([config])
    fetch_data([config])
    new = Path(config.paths.root_dir).resolve() / "outputs" / f"{datetime.now():%Y-%m-%d/%H-%M-%S-%f}"
    config = config.as_job(config.job, choose_folder(config, new))
    if not config.trainer.resume_from:  # an interrupted run goes on in its own folder: that is for the command line
        config = config.model_copy(update={"resume": "never"})

    quieten()
    from medft.experiment import run as run_experiment
    from medft.runs.local_run import LocalRun

    quieten_loggers()
    run_experiment(config)
    places = {"paths.root_dir": config.paths.root_dir, "paths.cache_dir": config.paths.cache_dir}
    if config.tracking.uri:
        places["tracking.uri"] = config.tracking.uri
    return open_run(
        LocalRun(config.paths.output).run_id, *(format_override(key, value) for key, value in places.items())
    )


def open_run(name: str, *overrides: str) -> Run:
    """Open a run that was made earlier.

    Args:
        name: `last` (the newest finished one), an id or its first 6 or more characters, or the run's name.
        overrides: on top of its config, such as `generation.max_new_tokens=64`; `tracking.uri` and `paths.root_dir` say
            where runs are tracked.

    Raises:
        InputError: there is no such run, or there are several.
    """
    from medft.runs.open import open_run as open_tracked
    from medft.runs.query import PLACES

    bypass_proxies()
    return Run(open_tracked(name, overrides), [each for each in overrides if each.startswith(PLACES)])


def compare(
    runs: Sequence[Run | str], *, reference: str = "", metric: str = "", shared_only: bool = False
) -> "Comparison":
    """Compare finished runs as `medft compare` does, on the questions they share.

    Args:
        runs: opened runs, or what `open_run` takes.
        reference: label of the variant that the others are compared with; empty = the first.
        metric: the primary one; empty = bits_per_byte.
        shared_only: compare runs of different test questions on those they share.

    Raises:
        InputError: the runs cannot be compared as asked.
    """
    from medft.comparison.compare import Options
    from medft.comparison.compare import compare as compare_records
    from medft.metrics.registry import PRIMARY
    from medft.runs.query import RunStore
    from medft.runs.record import RunQuery, load_runs

    places = next((each._places for each in runs if isinstance(each, Run)), ())
    store = RunStore(compose(*places))
    records, _ = load_runs(store, RunQuery(ids=[each.id if isinstance(each, Run) else each for each in runs]))
    options = Options(reference=reference, metric=metric or PRIMARY, shared_only=shared_only)
    return compare_records(records, options)
