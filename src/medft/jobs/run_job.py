"""A job as any launcher runs it."""

import time
import traceback

from medft.config.schema import Config
from medft.console import quieten, quieten_loggers, warn
from medft.runs.status import exception_facts, record_end


def run_job(config: Config) -> dict[str, float]:
    """Run one job of a sweep; returns its final metrics.

    Whatever ends it is in MLflow afterwards, what goes wrong before it has opened a run too.
    """
    began = time.time()
    try:
        quieten()
        from medft.experiment import run

        quieten_loggers()
        return run(config)
    except BaseException as error:
        try:
            record_end(config, began, *exception_facts(error))
        except Exception:  # the store itself may be what is broken
            warn(f"the end of this job could not be logged: {traceback.format_exc(limit=1)}")
        raise
