"""What went wrong, in a line, and the exit code it stands for."""

import os
import sys

from medft.errors import MedftError


def report(error: Exception) -> int:
    """Print an error, a line for each thing that is wrong; returns the exit code."""
    if os.environ.get("HYDRA_FULL_ERROR") == "1":
        raise error
    if isinstance(error, MedftError):
        lines = str(error).splitlines()
    else:  # a bug or a broken environment
        lines = [f"{type(error).__name__}: {' '.join(str(error).split())} (HYDRA_FULL_ERROR=1 shows where)"]
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    return error.exit_code if isinstance(error, MedftError) else 1
