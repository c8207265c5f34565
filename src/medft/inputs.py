"""What a config names, looked for before torch is imported: data, weights, probes, a checkpoint. GPUs need torch.

What a network has of the data is then fetched, once for all jobs of a command.
"""

from collections.abc import Sequence

from medft.config.compose import CHOSEN
from medft.config.schema import Config
from medft.console import say
from medft.data.readers.base import check_source, reader_of
from medft.errors import DataError
from medft.evaluation.probes import load_probes
from medft.model.sources.resolve import find_local
from medft.training.checkpoints import require_checkpoint
from medft.training.precision import check_devices


def check_inputs(configs: Sequence[Config]) -> None:
    """Look for what runs will read, as far as it lies on this machine; what several of them read, once.

    Raises:
        InputError: the first thing that is missing or cannot be used.
    """
    seen: set[str] = set()
    for config in configs:
        data, probes, checkpoint = config.dataset, config.evaluation.probes, config.trainer.resume_from
        named = repr((data.reader, data.path, data.size, data.on_bad_row, config.model.source, probes, checkpoint))
        if named not in seen:
            seen.add(named)
            check_source(data)
            find_local(config.model)
            load_probes(probes)
            if checkpoint:
                require_checkpoint(checkpoint)


def check_machine(configs: Sequence[Config]) -> None:
    """Look for the GPUs that runs on this machine ask for.

    Raises:
        InputError: there are fewer.
    """
    on_gpus = [config for config in configs if config.trainer.accelerator in ("cuda", "mps")]
    asked = {(config.trainer.accelerator, config.trainer.devices): config for config in on_gpus}
    for config in asked.values():
        if config.launcher.name == "local":  # else the machine that has them is another
            check_devices(config.trainer)


def fetch_data(configs: Sequence[Config]) -> None:
    """Get the data of runs into the cache, and say where they are, and why it is these where nobody has chosen them.

    Raises:
        DataError: they cannot be had; nothing was begun.
    """
    readers = {repr(config.dataset.reader): config for config in configs}
    for config in readers.values():
        why = config.tracking.tags.get(CHOSEN)
        try:
            place = reader_of(config.dataset).fetch()
        except DataError as error:
            raise DataError(f"{why}, so {config.dataset.name} is needed: {error}" if why else error) from None
        if place:
            say(f"data: {config.dataset.name} from {place}{f', as {why}; dataset=NAME takes others' if why else ''}")
