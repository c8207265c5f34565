"""Starting a run, ending it with the right status, and logging what is known before it trains."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from medft.config.roles import flatten
from medft.config.schema import Config
from medft.console import note, warn
from medft.data.splits import Splits
from medft.model.sources.resolve import digest_local, find_commit
from medft.runs.delivery import Courier
from medft.runs.local_run import LocalRun
from medft.runs.provenance import collect_code_tags, command_line, config_hash, make_identity_tags
from medft.runs.state import (
    COMMAND,
    COMMIT,
    DEVICE,
    ERROR,
    EXIT_CODE,
    FINGERPRINT,
    FINISHED,
    LEAKING,
    OUTPUT_DIR,
    POOL,
    PRECISION,
    RUNNING,
    WEIGHTS,
)
from medft.runs.status import RESERVE, close_lost, record_error
from medft.runs.store import check_reachable
from medft.runs.sweeps import make_job_tags
from medft.runs.system_metrics import system_metrics
from medft.training.checkpoints import has_checkpoint
from medft.training.precision import choose_precision

_RESERVED = 1 << 20  # bytes; MLflow's database is often on the same disk


@contextmanager
def record_run(config: Config, splits: Splits, device: str, interrupted: LocalRun | None = None) -> Iterator[LocalRun]:
    """A run that is RUNNING inside the context, and FINISHED, FAILED or KILLED after it.

    All is written into the run's folder; meanwhile it is delivered to MLflow, which may be away.

    Args:
        interrupted: the run to go on with; None = a new one.

    Raises:
        TrackerUnavailable: MLflow cannot be had, and `tracking.required` is set.
    """
    check_reachable(config)
    run = interrupted or _open(config, splits)
    if interrupted:
        run.set_status(RUNNING)
        run.remove_tags([ERROR, EXIT_CODE])  # why it had been interrupted
    close_lost(config, run)
    (run.folder / RESERVE).write_bytes(os.urandom(_RESERVED))
    courier = Courier(run, config)
    courier.start()
    try:
        _log_setup(run, config, splits, device)
        with system_metrics(run) if config.tracking.system_metrics else contextlib.nullcontext():
            yield run
    except BaseException as error:
        record_error(run, error)
        if config.job.parent is None and (isinstance(error, KeyboardInterrupt) or has_checkpoint(run.folder)):
            note(f"go on with it: the same command again, or: medft train resume={run.run_id}")
        courier.close(0, longest=10)  # who interrupts does not want to wait
        raise
    run.set_status(FINISHED)
    _end_delivery(courier, config, run)


def deliver_finished(config: Config, run: LocalRun) -> None:
    """Deliver what is left of a run that was killed when all but that was done."""
    courier = Courier(run, config)
    courier.start()
    _end_delivery(courier, config, run)


def _end_delivery(courier: Courier, config: Config, run: LocalRun) -> None:
    if not courier.close(config.tracking.patience):
        warn("MLflow has not all of this run yet, its folder has: the next run delivers it, or: medft sync")
    (run.folder / RESERVE).unlink(missing_ok=True)  # while it is there, the run has not been seen to its end


def _open(config: Config, splits: Splits) -> LocalRun:
    size = config.dataset.size or "all"
    name = f"{config.model.name}-{config.dataset.name}-n{size}-len{config.dataset.max_length}"
    identity = {**make_identity_tags(config.resolved), FINGERPRINT: splits.fingerprint}
    identity |= {POOL: splits.pool, WEIGHTS: digest_local(config.model), COMMIT: find_commit(config.model)}
    identity = {key: value for key, value in identity.items() if value}
    return LocalRun.create(
        config,
        config.paths.output,
        config.logged["tracking"]["run_name"] or config.job.label or name,
        {**make_job_tags(config), **identity},
        {
            "config_hash": config_hash(config.resolved),
            "dataset_fingerprint": splits.fingerprint,
            PRECISION: choose_precision(config.trainer),
        },
    )


def _log_setup(run: LocalRun, config: Config, splits: Splits, device: str) -> None:
    """Log what is known before training: config, tags, data. What an interrupted run has logged of it stays."""
    tags = {
        DEVICE: device,
        PRECISION: choose_precision(config.trainer),
        LEAKING: str(splits.leaking).lower(),
        OUTPUT_DIR: str(run.folder),
        COMMAND: config.job.command or command_line("medft train", sys.argv[1:]),
    }
    own = {key: str(value) for key, value in config.logged["tracking"]["tags"].items()}
    run.set_tags({**collect_code_tags(), **tags, **own})
    settings = {key: value for key, value in config.logged.items() if key not in ("sweep", "launcher")}
    params = {**dict(flatten(settings)), "dataset.size_used": splits.size_used}
    # paths.output_dir is a tag; as a parameter it would differ in every comparison of runs
    run.log_params({key: str(value) for key, value in params.items() if key != "paths.output_dir"})
    source = str(config.logged["dataset"]["path"] or config.dataset.name)
    run.log_inputs(
        {
            part: {"name": f"{config.dataset.name}-{part}", "digest": rows.fingerprint[:36], "source": source}
            for part, rows in splits.parts().items()
        }
    )
    run.log_text("config.yaml", yaml.safe_dump(config.logged, sort_keys=False, allow_unicode=True))
    splits.write_ids(run.folder / "split.json")
    run.log_file(run.folder / "split.json")
    if file := splits.skipped.file:
        if file.parent != run.folder:  # of a run that goes on, in the folder it had
            file = Path(shutil.copy(file, run.folder))
        run.log_file(file)
