"""What MLflow's page of runs shows of a sweep: a view of its jobs and of what sets them apart, kept as a tag of the
experiment. MLflow's menu Views lists it, and a link opens it.
"""

import base64
import json
import time
import zlib
from collections.abc import Sequence
from typing import Any

from medft.config.schema import Config
from medft.runs.store import connect
from medft.runs.sweeps import PARENT, tag_name

_TAG = "mlflow.sharedViewState."  # and a key: as MLflow's own "Save as new view" writes it
_OURS = "medft-"
_METRICS = ("test/bits_per_byte", "difference/bits_per_byte", "test/rougeL")  # shown besides the sweep's own
_MOST = 20  # of the 40 views that MLflow allows an experiment: the others are people's own


def save_view(config: Config, parent: str, name: str, swept: Sequence[str]) -> None:
    """Save a view of a sweep's jobs: best first, with their swept values and how they did.

    Args:
        config: of any job of the sweep.
        parent: the sweep's run.
        name: for people.
        swept: the short names of the swept keys.
    """
    client = connect(config)
    experiment = client.get_experiment(client.get_run(parent).info.experiment_id)
    tag = f"{_TAG}{_OURS}{parent}"
    views = [key for key in experiment.tags if key.startswith(f"{_TAG}{_OURS}")]
    if tag in experiment.tags or len(views) < _MOST:
        metric, is_ascending = config.sweep.metric, config.sweep.direction == "minimize"
        state = _state(parent, swept, metric, is_ascending)
        client.set_experiment_tag(experiment.experiment_id, tag, _packed(name, state))


def view_link(config: Config, parent: str) -> str:
    """The address of the view, within MLflow's pages."""
    experiment = connect(config).get_run(parent).info.experiment_id
    return f"#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={_OURS}{parent}"


def _state(parent: str, swept: Sequence[str], metric: str, is_ascending: bool) -> dict[str, Any]:
    """The parts of MLflow's view state that are not its defaults."""
    columns = [f"metrics.`{name}`" for name in dict.fromkeys([metric, *_METRICS])]
    return {
        "searchFilter": f"tags.`{PARENT}` = '{parent}'",
        "orderByKey": columns[0],
        "orderByAsc": is_ascending,
        "selectedColumns": [*columns, *(f"tags.`{tag_name(name)}`" for name in swept)],
    }


def _packed(name: str, state: dict[str, Any]) -> str:
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    now = int(time.time() * 1000)
    return json.dumps({"name": name, "createdAt": now, "updatedAt": now, "state": f"deflate;{packed}"})
