"""What is special about launchers other than ours: their jobs run elsewhere, with another environment."""

import os
import re

from omegaconf import DictConfig, OmegaConf

from medft.config.schema import Config
from medft.errors import InputError

# Ray reports usage to its makers unless told not to, as MLflow does (medft.runs.store).
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

OURS = "medft"
_SETTINGS = ("OLLAMA_HOST", "OPENAI_BASE_URL")  # read by conf/; not the secrets, as jobs write these down


def launcher_name(composed: DictConfig) -> str:
    """The choice of `hydra/launcher`, such as `submitit_slurm`."""
    return str(composed.hydra.runtime.choices["hydra/launcher"])


def outlive_command(launcher: str) -> bool:
    """Whether jobs go on when the command that started them ends."""
    return launcher.startswith("submitit")


def check_store(composed: DictConfig, config: Config) -> None:
    """A database file is for one machine: over a network disk, writers from several spoil it.

    Raises:
        InputError: jobs may run on other machines, and runs would be kept in such a file because nothing else was said.
    """
    launcher = launcher_name(composed)
    if config.tracking.uri is None and (launcher == "submitit_slurm" or _is_ray_cluster(composed)):
        raise InputError(
            f"hydra/launcher={launcher}: jobs on other machines need a server to log to, MLFLOW_TRACKING_URI=http://"
            "HOST:5000 (docs/cluster.md); if all of them run on this one, tracking.uri=sqlite:////DIRECTORY/mlflow.db"
        )


def handed_over(launcher: str, config: Config) -> list[str]:
    """Overrides that tell jobs elsewhere what they would take from this process's environment and directory.

    Args:
        launcher: its name.
        config: of any job.
    """
    if launcher == OURS:
        return []
    said = {"paths.root_dir": config.paths.root_dir, "paths.cache_dir": config.paths.cache_dir}
    if config.tracking.uri is not None:
        said["tracking.uri"] = config.tracking.uri
    names = [name for name in _SETTINGS if name in os.environ]
    # the job's folder has all that Hydra would write into folders of its own
    own = ["hydra.output_subdir=null", f"hydra.job.env_copy=[{','.join(names)}]"]
    return [*(f"{key}={quoted(value)}" for key, value in said.items()), *own]


def _is_ray_cluster(composed: DictConfig) -> bool:
    if launcher_name(composed) != "ray":
        return False
    address = OmegaConf.select(composed, "hydra.launcher.ray.init.address") or os.environ.get("RAY_ADDRESS")
    return address not in (None, "local")


def quoted(value: str) -> str:
    """A value as an override takes it, whatever signs are in it."""
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), value)
    return f"'{escaped}'"
