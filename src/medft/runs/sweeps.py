"""Sweeps: a run of their own, a run for each job in a folder under it, and what earlier launches have left."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlencode

from medft.config.defaults import AUTO
from medft.config.schema import Config
from medft.console import warn
from medft.errors import InputError
from medft.files import read_json
from medft.metrics.registry import METRICS, PRIMARY
from medft.runs.delivery import Courier
from medft.runs.index import DELIVERED, RunIndex
from medft.runs.local_run import EARLIER, RUN_JSON, LocalRun, hold_folder, read_local_run
from medft.runs.provenance import collect_code_tags
from medft.runs.state import (
    COMMAND,
    DEVICE,
    ERROR,
    EXIT_CODE,
    IDENTITY,
    KILLED,
    KIND,
    LABEL,
    LEAKING,
    OUTPUT_DIR,
    PARENT,
    PRECISION,
    RUNNING,
    SUPERSEDED,
    SWEEP_NAME,
    RunState,
)
from medft.training.precision import settle_precision

SWEEP = "sweep"
_RESERVED = {
    LEAKING, DEVICE, COMMAND, OUTPUT_DIR, "config_hash", "judge_hash", "parameters", ERROR, EXIT_CODE, PRECISION
}  # fmt: skip
_A_MOMENT = 3.0  # seconds
_NOTE_LIMIT = 8000  # characters of a tag that MLflow keeps


class Sweep:
    """A sweep or a search: its parent run, and the runs of its jobs in folders under its own.

    Args:
        config: of any job; says where runs are kept.
        run: the parent.
    """

    def __init__(self, config: Config, run: LocalRun) -> None:
        self.config, self.run = config, run
        self._courier, self._held = Courier(run, config), ExitStack()

    @property
    def run_id(self) -> str:
        """Of the parent."""
        return self.run.run_id

    @property
    def folder(self) -> Path:
        """The folder of its jobs."""
        return self.run.folder

    def begin(self, name: str, keys: Sequence[str], command: str) -> None:
        """Log the question of a sweep, the keys it varies and the command that started it."""
        self._held.enter_context(hold_folder(self.folder))
        sweep = self.config.sweep
        texts = {"question": sweep.question, "reference": sweep.reference, "limits": sweep.limits}
        tags = {
            "mlflow.runName": name,
            SWEEP_NAME: name,
            "sweep.keys": json.dumps(list(keys)),
            "sweep.metric": sweep.metric,
            "sweep.direction": sweep.direction,
            **{f"sweep.{key}": text or "" for key, text in texts.items()},
            COMMAND: command,
        }
        self.run.set_tags({**tags, **collect_code_tags()})
        self.run.index.add(self.run.make_entry())  # it may have another name than in an earlier launch
        self._courier.start()

    def settle(self, config: Config) -> Config:
        """The config of a job in the precision that all jobs on such a device have: the first launch chooses it, unless
        they run on machines that it does not know.
        """
        if config.trainer.precision != AUTO:
            return config
        tag = f"{PRECISION}.{config.trainer.accelerator}"
        if tag not in self.run.state.tags:
            if config.launcher.is_elsewhere:
                return config
            self.run.set_tags({tag: settle_precision(config).trainer.precision})
        return config.with_precision(self.run.state.tags[tag])

    def close(self, status: str, description: str) -> None:
        """End the parent run, with a description in Markdown, and have MLflow get what it misses."""
        self.run.set_description(description[:_NOTE_LIMIT])
        self.run.set_status(status)
        self._held.close()
        if not self._courier.close(self.config.tracking.patience):
            warn("MLflow has not all of these runs yet: the next run delivers them, or: medft sync")

    def format_link(self) -> str:
        """The address of a table of the jobs, the best first, within MLflow's pages; empty while MLflow has none."""
        until = time.monotonic() + min(_A_MOMENT, self.config.tracking.patience)  # of a sweep that was soon over
        while not (self.folder / DELIVERED).exists() and time.monotonic() < until:
            time.sleep(0.05)
        try:
            experiment = read_json(self.folder / DELIVERED)["experiment_id"]
        except FileNotFoundError:
            return ""
        query = {
            "searchFilter": f"tags.`{PARENT}` = '{self.run_id}'",
            "orderByKey": f"metrics.`{self.config.sweep.metric}`",
            "orderByAsc": str(self.config.sweep.direction == "minimize").lower(),
            "workflowType": "machine_learning",
        }
        return f"#/experiments/{experiment}/runs?{urlencode(query, quote_via=quote)}"

    def list_runs(self) -> list[LocalRun]:
        """All runs of the jobs, earlier attempts too."""
        cards = [*self.folder.glob(f"*/{EARLIER}/*/{RUN_JSON}"), *self.folder.glob(f"*/{RUN_JSON}")]
        runs = (read_local_run(card.parent) for card in sorted(cards))
        return [run for run in runs if run and run.state.tags.get(PARENT) == self.run_id]

    def list_job_runs(self) -> dict[str, RunState]:
        """The newest run of each job, by label."""
        states = [run.state for run in self.list_runs()]
        return {state.label: state for state in states if SUPERSEDED not in state.tags}


def open_sweep(config: Config, identity: str, folder: Path, kind: str = SWEEP) -> Sweep:
    """Open the parent run of a sweep: that of an earlier launch, or a new one with `sweep.fresh`.

    Args:
        config: of any job.
        folder: for its jobs, unless an earlier launch has one.
        kind: `sweep` or `search`.
    """
    entries = RunIndex(Path(config.paths.root_dir)).list_entries()
    earlier = [entry for entry in entries if entry.identity == identity]
    if earlier and not config.sweep.fresh:
        run = LocalRun(Path(earlier[-1].folder))
        run.set_status(RUNNING)
        return Sweep(config, run)
    for entry in earlier:  # a launch that was killed could not end its runs
        old = Sweep(config, LocalRun(Path(entry.folder)))
        for run in (*old.list_runs(), old.run):
            if run.state.status == RUNNING:
                run.set_status(KILLED)
    tags = {KIND: kind, IDENTITY: identity, OUTPUT_DIR: str(folder)}
    return Sweep(config, LocalRun.create(config, folder, config.sweep.name or kind, tags))


def find_job_run(config: Config) -> LocalRun | None:
    """The newest run of a job, if it has one."""
    run = read_local_run(config.paths.output)
    return run if run and run.state.tags.get(PARENT) == config.job.parent else None


def make_job_tags(config: Config) -> dict[str, str]:
    """The tags that make a run the child of its sweep; none for a run of its own.

    A swept value whose name means something else among a run's tags gets a prefix.
    """
    if config.job.parent is None:
        return {}
    values = {f"swept.{name}" if name in _RESERVED else name: value for name, value in config.job.values.items()}
    return {PARENT: config.job.parent, LABEL: config.job.label, **values}


@dataclass(frozen=True)
class SweepRecord:
    """A sweep as its parent run describes it: what was asked, and how.

    Attributes:
        keys: that were varied, in order, with `seed` if that was.
        reference: the variant to compare with; empty = the first.
        limits: what the sizes allow to conclude, in words.
        metric: what it was about, as the runs log it, such as `test/bits_per_byte`.
        seconds: from its start to its end, with what was between where it was resumed; None while it runs.
    """

    run_id: str
    name: str
    keys: list[str]
    question: str
    reference: str
    limits: str
    metric: str
    command: str
    started: datetime
    tags: Mapping[str, str]
    seconds: float | None = None

    @property
    def settings(self) -> list[str]:
        """The keys that were varied, but the seed."""
        return [key for key in self.keys if key != "seed"]

    @property
    def primary(self) -> str:
        """The metric of the comparison; one that is not of test questions cannot be compared by question."""
        name = self.metric.removeprefix("test/").removesuffix("/score")
        can_rank = name.startswith("judge/") or (name in METRICS and METRICS[name].can_rank)
        return name if can_rank else PRIMARY


def read_sweep(state: RunState) -> SweepRecord:
    """Read the tags of a parent run.

    Raises:
        InputError: it is no sweep.
    """
    tags = state.tags
    if state.kind != SWEEP:
        raise InputError(f"parent={state.run_id}: this run is no sweep (medft compare takes any runs)")
    try:
        keys = [str(key) for key in json.loads(tags.get("sweep.keys", "[]"))]
    except (json.JSONDecodeError, TypeError):
        raise InputError(f"parent={state.run_id}: its tag sweep.keys is not a JSON list") from None
    return SweepRecord(
        run_id=state.run_id,
        name=tags.get(SWEEP_NAME) or state.name,
        keys=keys,
        question=tags.get("sweep.question", ""),
        reference=tags.get("sweep.reference", ""),
        limits=tags.get("sweep.limits", ""),
        metric=tags.get("sweep.metric", f"test/{PRIMARY}"),
        command=tags.get(COMMAND, ""),
        started=state.started_at,
        tags=tags,
        seconds=None if math.isinf(state.ended) else state.ended - state.started,
    )
