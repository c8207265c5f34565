"""`medft fetch`: download what a run needs, for machines that train without a network."""

from medft.cli.parser import Arguments
from medft.config.compose import compose_config
from medft.console import say


def fetch(arguments: Arguments) -> int:
    """Get the model and the data of a config into the cache; returns the exit code."""
    config = compose_config(arguments.overrides)

    from medft.data.rows import SKIPPED_ROWS, read_rows
    from medft.model.sources.resolve import resolve

    directory = resolve(config.model, config.paths.cache)
    rows, _ = read_rows(config.dataset, config.paths.cache, config.paths.output / SKIPPED_ROWS)
    say(f"model {config.model.name}: {directory or 'made from scratch, nothing to download'}")
    say(f"data {config.dataset.name}: {len(rows)} rows")
    return 0
