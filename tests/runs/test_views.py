"""Saved views: a sweep has one, an experiment not so many that people could save none of their own."""

from collections.abc import Callable
from pathlib import Path

from medft.config.schema import Config
from medft.runs.store import connect
from medft.runs.sweeps import open_parent
from medft.runs.views import save_view, view_link


def test_each_sweep_has_a_view_until_there_are_twenty(tiny: Callable[..., Config], tmp_path: Path) -> None:
    config = tiny()
    parents = [open_parent(config, f"sweep-{number}", tmp_path)[0] for number in range(21)]
    for parent in [*parents, parents[0]]:
        save_view(config, parent, "a sweep", ["max_length"])
    client = connect(config)
    tags = client.get_experiment(client.get_run(parents[0]).info.experiment_id).tags
    assert {tag for tag in tags if "View" in tag} == {f"mlflow.sharedViewState.medft-{run}" for run in parents[:20]}
    assert view_link(config, parents[0]).endswith(f"viewStateShareKey=medft-{parents[0]}")
