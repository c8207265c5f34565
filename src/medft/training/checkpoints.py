"""The checkpoints that a run goes on from: which there are, and which are what was written."""

from pathlib import Path

from medft.config.schema import Config
from medft.console import warn
from medft.errors import NOT_AS_WRITTEN, DamagedFile, InputError
from medft.files import is_as_written

FOLDER = "checkpoints"
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.safetensors"
_DAMAGED = "damaged.ckpt"


def find_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run that is as it was written; None where it has none.

    Raises:
        DamagedFile: none of those that it has is.
    """
    damaged: list[Path] = []
    for file in (folder / FOLDER / LAST, folder / FOLDER / PREVIOUS):
        if file.is_file():
            if is_as_written(file):
                for each in damaged:
                    # it would count as the good one while the next is written, for which the previous one goes
                    each.replace(each.with_name(_DAMAGED))
                    warn(f"{each}: {NOT_AS_WRITTEN}: {file.name} is taken, which is older")
                return file
            damaged.append(file)
    if damaged:
        raise DamagedFile(f"{damaged[0]}: {NOT_AS_WRITTEN}; resume=never starts anew")
    return None


def has_checkpoint(folder: Path) -> bool:
    """Whether a run has a checkpoint to go on from, whatever its content."""
    return (folder / FOLDER / LAST).exists() or (folder / FOLDER / PREVIOUS).exists()


def require_checkpoint(file: str) -> None:
    """Make sure that the file of `trainer.resume_from` is there.

    Raises:
        InputError: it is not.
    """
    if not Path(file).is_file():
        raise InputError(f"trainer.resume_from={file}: no such checkpoint (a finished run has none left)")


def get_checkpoint_folder(config: Config) -> Path:
    """Return where checkpoints are; a resumed run continues in the folder of the interrupted one."""
    resumed = config.trainer.resume_from
    return Path(resumed).parent if resumed else config.paths.output / FOLDER


def remove_checkpoints(config: Config) -> None:
    """Remove the checkpoints of a finished run, whose results are logged."""
    for name in (LAST, PREVIOUS, BEST, _DAMAGED):
        for suffix in ("", ".sha256"):
            (get_checkpoint_folder(config) / f"{name}{suffix}").unlink(missing_ok=True)
