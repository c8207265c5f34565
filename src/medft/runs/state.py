"""What the events of a run come to: its status, its numbers, its settings."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

from medft.runs.journal import Event

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
DIVERGED = "DIVERGED"  # how a run is shown that has finished with results that are no numbers
UNFINISHED = (RUNNING, "SCHEDULED", KILLED)  # a later start goes on with these

# tags
ID = "medft.id"
KIND = "medft.kind"  # of a parent: sweep or search
PARENT = "medft.parent"
IDENTITY = "sweep.identity"  # of a sweep: the same command finds it again
WEIGHTS = "model.weights"  # digest of the weights that were fine-tuned, where they lie on this machine
COMMIT = "model.commit"  # the same of a model of the hub: its commit, where it is known
FINGERPRINT = "dataset.fingerprint"  # of the rows of its splits
POOL = "dataset.pool"  # with dataset.train_seed: fingerprint of what the training rows were drawn from
SUPERSEDED = "superseded_by"  # a later run of the same job replaces it
LABEL = "sweep.label"
CODE = "code"  # digest of medft's own source
GIT_COMMIT = "git.commit"  # of the checkout that it is from
PRECISION = "precision"  # what trainer.precision=auto has become
NOTE = "mlflow.note.content"
SWEEP_NAME = "sweep.name"
COMMAND, OUTPUT_DIR = "command", "output_dir"
DEVICE, LEAKING = "device", "leaking"
ERROR, EXIT_CODE = "error", "exit_code"

Curve = list[tuple[int, float]]  # (optimizer step, value)


@dataclass
class RunState:
    """A run as it stands.

    Attributes:
        run_id: medft's own.
        status: RUNNING, FINISHED, FAILED or KILLED.
        started, ended: seconds since 1970; it has not ended while it runs.
        metrics: the last value of each, under its MLflow name.
        curves: all values of each.
        inputs: the splits whose data it has logged.
        digests: of each file that it has logged, by its path in the folder: what it is, and what it was before.
        host: the machine that it runs on, or ran on last.
    """

    run_id: str
    name: str = ""
    status: str = RUNNING
    started: float = 0.0
    ended: float = math.inf
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    digests: dict[str, list[str]] = field(default_factory=dict)
    host: str = ""

    @property
    def kind(self) -> str | None:
        """`sweep` or `search` of a parent; None of a run that trains."""
        return self.tags.get(KIND)

    @property
    def outcome(self) -> str:
        """Its status, or DIVERGED."""
        from medft.metrics.registry import PRIMARY  # numpy comes with it, which composing a config does without

        is_number = math.isfinite(self.metrics.get(f"test/{PRIMARY}", 0.0))
        return self.status if is_number or self.status != FINISHED else DIVERGED

    @property
    def label(self) -> str:
        """Its name in its sweep."""
        return self.tags.get(LABEL, self.name)

    @property
    def error(self) -> str:
        """Why it did not finish, in a line."""
        return " ".join(self.tags.get(ERROR, "").split())

    @property
    def started_at(self) -> datetime:
        """When it was started first."""
        return datetime.fromtimestamp(self.started, tz=UTC)

    def curve(self, metric: str) -> Curve:
        """(step, value) of a metric, by step."""
        return sorted(self.curves.get(metric, {}).items())

    def apply(self, event: Event) -> None:
        """Take in one more event."""
        data = event.data
        if event.kind == "opened":
            self.name, self.started, self.host = data["name"], event.time / 1000, data.get("host", "")
        elif event.kind == "metrics":
            self.metrics |= data
            for name, value in data.items():
                self.curves.setdefault(name, {})[event.step] = value
        elif event.kind == "params":
            self.params |= data
        elif event.kind == "tags":
            self.tags |= data
        elif event.kind == "untag":
            for key in data:
                self.tags.pop(key, None)
        elif event.kind == "digests":
            for path, digest in data.items():
                self.digests[path] = [*self.digests.get(path, []), digest][-2:]
        elif event.kind == "inputs":
            self.inputs |= data.keys()
        elif event.kind == "status":
            self.status, self.host = data["status"], data.get("host", self.host)
            self.ended = math.inf if self.status == RUNNING else event.time / 1000
