"""SIGTERM ends a command as Ctrl-C does: what runs is told, and logs its end."""

import signal


def interrupt_on_sigterm() -> None:
    """From now on SIGTERM raises KeyboardInterrupt."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
