"""The rows of a run, split by rule or as another run had them."""

from pathlib import Path

from medft.config.schema import Config
from medft.data.rows import SKIPPED_ROWS, read_rows
from medft.data.splits import Splits, split
from medft.runs.open import read_logged_split


def read_splits(config: Config, folder: Path | None = None) -> Splits:
    """Read and split the rows of a run.

    Args:
        folder: where rows that `dataset.on_bad_row=skip` leaves out are written; None = they are only counted.

    Raises:
        InputError: the data, or the run that `dataset.split.from_run` names, cannot be used.
    """
    origin = config.dataset.split.from_run
    frozen = read_logged_split(config, origin) if origin else None
    rows, skipped = read_rows(config.dataset, config.paths.cache, folder / SKIPPED_ROWS if folder else None)
    return split(rows, config.dataset, frozen, skipped)
