"""From a run's folder to MLflow: what the journal says is sent in its order, each thing once, whenever MLflow is there.

How far that has come stands in `delivered.json`. What was sent and could not be noted there is sent again: MLflow drops
a metric that it has with the same step and time, and all else replaces itself.
"""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from medft.config.schema import Config
from medft.console import note, warn
from medft.errors import DamagedFile, TrackerUnavailable
from medft.files import exclusive_lock, link_or_copy, read_json, write_json
from medft.runs.index import DELIVERED, RunIndex
from medft.runs.journal import Event
from medft.runs.local_run import LocalRun
from medft.runs.state import ID, PARENT, RUNNING
from medft.runs.store import connect, get_experiment_id, shown_uri
from medft.secrets import hide

MLFLOW_PARENT = "mlflow.parentRunId"
_AT_ONCE = {"metrics": 900, "params": 90, "tags": 90}  # MLflow takes 1000, 100 and 100 in one request
_REFUSALS = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds between deliveries, and at most after failures


def deliver(run: LocalRun, client: Any) -> int:
    """Send what MLflow has not of a run.

    Returns:
        The number of events that were sent.

    Raises:
        TrackerUnavailable: MLflow could not be had; what was sent before is noted.
    """
    with exclusive_lock(run.folder / "delivery.lock"):
        try:
            done = read_json(run.folder / DELIVERED)
        except FileNotFoundError:
            done = {"mlflow_run_id": None, "experiment_id": None, "end": 0}
        events = run.journal.read(done["end"])
        for group in _group(events):
            try:
                _send(run, client, group, done)
            except Exception as error:  # of any database driver or of HTTP
                if getattr(error, "error_code", None) not in _REFUSALS:
                    raise TrackerUnavailable(_describe(error)) from error
                warn(f"MLflow refuses {group[0].kind} of run {run.run_id}: {_describe(error)}")
            done["end"] = group[-1].end
            write_json(run.folder / DELIVERED, done)
        if run.state.status != RUNNING and not run.journal.read(done["end"]):
            run.index.mark_delivered(run.run_id)
    return len(events)


def deliver_more(run: LocalRun, config: Config, what: str) -> None:
    """Send what a finished run has got; where MLflow cannot be had, warn that `what` stays in the run's folder."""
    try:
        deliver(run, connect(config))
    except TrackerUnavailable as error:
        warn(f"{error}: {what} are in {run.folder}; MLflow gets them from the next run, or by: medft sync")


def find_mlflow_id(run: LocalRun, client: Any) -> str:
    """The id that MLflow has given a run, which is delivered so far if it is not there yet."""
    file = run.folder / DELIVERED
    if not file.exists() or read_json(file)["mlflow_run_id"] is None:
        deliver(run, client)
    return str(read_json(file)["mlflow_run_id"])


def deliver_pending(config: Config, client: Any, but: str = "") -> tuple[list[LocalRun], list[LocalRun]]:
    """Deliver what earlier runs on this store have left; a run of another store is left to that.

    Args:
        but: a run that is left out.

    Returns:
        Those that MLflow has whole now, and those of another store.
    """
    whole, elsewhere = [], []
    for entry in RunIndex(Path(config.paths.root_dir)).list_pending():
        if entry.run_id != but:
            try:
                run = LocalRun(Path(entry.folder))
                if run.card["tracking_uri"] != shown_uri(config):
                    elsewhere.append(run)
                elif deliver(run, client) and run.state.status != RUNNING:
                    whole.append(run)
            except (DamagedFile, FileNotFoundError, PermissionError) as error:  # the last: in a root that is shared
                warn(str(error))
    return whole, elsewhere


class Courier(threading.Thread):
    """Delivers a run while it runs, in the background: a tracker that is slow or gone does not hold up the training.

    What earlier runs on the same store have left is delivered at its start; by the parent of a sweep also at its end.
    """

    def __init__(self, run: LocalRun, config: Config) -> None:
        super().__init__(daemon=True, name="courier")
        self._run, self._config = run, config
        self._closing, self._whole, self._given_up = threading.Event(), threading.Event(), threading.Event()
        self._failure, self._last_success = "", time.monotonic()

    def run(self) -> None:
        """Deliver until the run has ended and MLflow has it whole, or nobody waits for that any more."""
        client, pause, left_over = None, _PAUSE, True
        while not self._given_up.is_set():
            ends = self._closing.is_set()  # looked at before: what is logged after this is delivered once more
            try:
                client = client or connect(self._config)
                deliver(self._run, client)
                if left_over or (ends and self._run.state.kind):
                    deliver_pending(self._config, client, self._run.run_id)
                    left_over = False
            except Exception as error:
                self._fail(error)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._recover()
                pause = _PAUSE
                if ends:
                    self._whole.set()
                    return
            self._closing.wait(pause) if not ends else self._given_up.wait(min(pause, 2.0))

    def close(self, patience: float, longest: float = math.inf) -> bool:
        """Wait until all is delivered; returns whether it is.

        Args:
            patience: seconds to wait for a tracker that fails. One that is only slow is waited for.
            longest: seconds to wait for any.
        """
        self._closing.set()
        told = time.monotonic()
        while not self._whole.wait(0.1):
            now = time.monotonic()
            if now - told > longest or (self._failure and now - max(self._last_success, told) > patience):
                self._given_up.set()  # in a notebook the process goes on; from here on it is for `medft sync`
                return False
        return True

    def _fail(self, error: Exception) -> None:
        first = not self._failure
        self._failure = _describe(error)
        if first:
            warn(f"MLflow cannot be had ({self._failure}): the run goes on; what MLflow misses is delivered later")

    def _recover(self) -> None:
        if self._failure:
            note("MLflow is back, and has what it missed")
        self._failure, self._last_success = "", time.monotonic()


def _describe(error: Exception) -> str:
    """An error of MLflow in a line that may be shown."""
    return hide(" ".join(str(error).split("[SQL")[0].split()))[:300]


def _group(events: Sequence[Event]) -> Iterator[list[Event]]:
    """The events in order, those of one kind together as far as MLflow takes them at once."""
    for kind, same in groupby(events, key=lambda event: event.kind):
        group: list[Event] = []
        count = 0
        for event in same:
            if group and count + len(event.data) > _AT_ONCE.get(kind, 0):
                yield group
                group, count = [], 0
            group.append(event)
            count += len(event.data)
        yield group


def _send(run: LocalRun, client: Any, group: Sequence[Event], done: dict[str, Any]) -> None:
    """Send events of one kind."""
    from mlflow.entities import Metric, Param, RunTag

    kind, first, run_id = group[0].kind, group[0], done["mlflow_run_id"]
    pairs = [(event, key, value) for event in group for key, value in event.data.items()]
    if kind == "opened":
        done |= _find_or_create(run, client, first)
    elif kind == "metrics":
        client.log_batch(run_id, metrics=[Metric(key, value, event.time, event.step) for event, key, value in pairs])
    elif kind == "params":
        client.log_batch(run_id, params=[Param(key, value) for _, key, value in pairs])
    elif kind == "tags":
        tags = {key: value for _, key, value in pairs}
        if parent := run.index.get(tags.get(PARENT, "")):
            tags[MLFLOW_PARENT] = find_mlflow_id(LocalRun(Path(parent.folder)), client)
        client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    elif kind == "untag":
        known = client.get_run(run_id).data.tags
        for key in first.data.keys() & known.keys():
            client.delete_tag(run_id, key)
    elif kind == "inputs":
        client.log_inputs(run_id, [_make_input(split, **facts) for _, split, facts in pairs])
    elif kind == "digests":
        pass  # for this machine
    elif kind == "file":
        _send_file(run, client, run_id, **first.data)
    elif first.data["status"] == RUNNING:
        client.update_run(run_id, status=RUNNING)
    else:
        client.set_terminated(run_id, first.data["status"], end_time=first.time)


def _find_or_create(run: LocalRun, client: Any, opened: Event) -> dict[str, str]:
    """MLflow's ids of a run: one that was made before a kill could be noted is found by its tag."""
    experiment = get_experiment_id(client, run.card["experiment"], run.card["tracking_uri"], Path(run.card["root_dir"]))
    known = client.search_runs([experiment], f"tags.`{ID}` = '{run.run_id}'", max_results=1)
    if not known:
        source = {"mlflow.user": opened.data["user"], "mlflow.source.type": "LOCAL", "mlflow.source.name": "medft"}
        tags = {ID: run.run_id, **source}
        known = [client.create_run(experiment, start_time=opened.time, tags=tags, run_name=opened.data["name"])]
    return {"mlflow_run_id": str(known[0].info.run_id), "experiment_id": str(experiment)}


def _make_input(split: str, name: str, digest: str, source: str) -> Any:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    dataset = MetaDataset(CodeDatasetSource(tags={"path": source}), name=name, digest=digest)
    context = InputTag("mlflow.data.context", {"train": "training"}.get(split, split))
    return DatasetInput(dataset._to_mlflow_entity(), [context])


def _send_file(run: LocalRun, client: Any, run_id: str, path: str, folder: str | None) -> None:
    place = run.folder / path
    if not place.exists():
        warn(f"{place}: is gone, so MLflow does not get it")
    elif place.is_dir() and (address := urlsplit(client.get_run(run_id).info.artifact_uri)).scheme == "file":
        artifacts = Path(url2pathname(address.path)) / (folder or "")
        for file in (each for each in place.rglob("*") if each.is_file()):  # weights, too large to have twice
            link_or_copy(file, artifacts / file.relative_to(place))
    elif place.is_dir():
        client.log_artifacts(run_id, str(place), artifact_path=folder)
    else:
        client.log_artifact(run_id, str(place), artifact_path=folder)
