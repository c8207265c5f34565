"""`medft sync`: MLflow gets what runs have logged while it could not be had."""

from pathlib import Path

from medft.cli.parser import Arguments
from medft.config.compose import compose_config
from medft.console import say


def sync(arguments: Arguments) -> int:
    """Deliver what is left on this store; returns the exit code.

    Raises:
        TrackerUnavailable: MLflow cannot be had now either.
    """
    from medft.runs.delivery import deliver_pending
    from medft.runs.index import RunIndex
    from medft.runs.store import connect, shown_uri, ui_command

    config = compose_config(arguments.overrides)
    if not RunIndex(Path(config.paths.root_dir)).list_pending():
        say(f"nothing to deliver: MLflow has all runs ({shown_uri(config)})")
        return 0
    delivered, elsewhere = deliver_pending(config, connect(config))
    for run in delivered:
        say(f"delivered:     {run.state.name} (run {run.run_id}, {run.state.status})")
    for run in elsewhere:
        say(f"not delivered: {run.state.name} (run {run.run_id}): medft sync tracking.uri={run.card['tracking_uri']}")
    say(f"compare runs:  {ui_command(config)}")
    return 0
