"""What jobs under other launchers are told, and where their runs may not be kept."""

from collections.abc import Callable

import pytest

from medft.config.compose import compose_raw
from medft.config.schema import Config
from medft.errors import InputError
from medft.jobs.launchers import handed_over
from medft.jobs.plan import plan


def test_jobs_elsewhere_are_told_where_things_are(tiny: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OLLAMA_HOST", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, f"value of {name}")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    config = tiny("tracking.uri=http://host:5000", 'paths.root_dir="it\'s here"', "paths.cache_dir=/cache")
    composed = compose_raw(handed_over("ray", config), with_hydra=True)
    assert composed.paths.root_dir == "it's here"
    assert composed.paths.cache_dir == "/cache"
    assert composed.tracking.uri == "http://host:5000"
    assert composed.hydra.job.env_set == {"OLLAMA_HOST": "value of OLLAMA_HOST"}, "no secrets"
    assert handed_over("medft", config) == []


def test_a_local_database_is_not_for_several_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher is not installed")
    slurm = ["hydra/launcher=submitit_slurm", "seed=1,2"]
    with pytest.raises(InputError, match="hydra/launcher=submitit_slurm: jobs on other machines need a server"):
        plan(slurm, multirun=True)
    assert plan([*slurm, "tracking.uri=http://host:5000"], multirun=True).launcher == "submitit_slurm"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    assert len(plan(slurm, multirun=True).jobs) == 2


def test_ray_on_this_machine_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_ray_launcher", reason="hydra-ray-launcher is not installed")
    assert plan(["hydra/launcher=ray", "seed=1,2"], multirun=True).launcher == "ray"
    with pytest.raises(InputError, match="hydra/launcher=ray: jobs on other machines need a server"):
        plan(["hydra/launcher=ray", "hydra.launcher.ray.init.address=host:6379", "seed=1,2"], multirun=True)
    monkeypatch.setenv("RAY_ADDRESS", "host:6379")
    with pytest.raises(InputError, match="hydra/launcher=ray: jobs on other machines need a server"):
        plan(["hydra/launcher=ray", "seed=1,2"], multirun=True)


@pytest.mark.parametrize(
    ("launcher", "plugin", "install"),
    [
        ("ray", "hydra_ray_launcher", "pip install 'medft[ray]' && pip install --no-deps hydra-ray-launcher=="),
        ("submitit_slurm", "hydra_submitit_launcher", "pip install 'medft[slurm]'"),
    ],
)
def test_a_launcher_that_is_not_installed_says_how_to(launcher: str, plugin: str, install: str) -> None:
    found = True
    try:
        __import__(f"hydra_plugins.{plugin}")
    except ImportError:
        found = False
    if found:
        pytest.skip(f"{plugin} is installed")
    with pytest.raises(InputError) as caught:
        plan([f"hydra/launcher={launcher}", "seed=1,2"], multirun=True)
    assert str(caught.value).startswith(f"hydra/launcher={launcher}: is not installed; {install}")
