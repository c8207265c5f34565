"""The errors that users see: one line each, and what the process then exits with."""

OUTPUT_CLOSED = 141  # the exit code that shells give a program whose output nobody reads any more


class MedftError(Exception):
    """A run failed for a reason we can name. The process exits with 1."""

    exit_code = 1


class InputError(MedftError):
    """What the user gave is wrong (a key, a file, a combination). The process exits with 2."""

    exit_code = 2


class DataError(InputError):
    """A file of data cannot be used; the message names the file and, where there is one, the line."""


class ModelError(InputError):
    """A model cannot be had or does not fit its settings."""


class JudgeUnavailable(MedftError):
    """The judge cannot be reached or has not the model; nothing was judged."""


class DamagedFile(MedftError):
    """A file of medft's own is not what was written."""


NOT_AS_WRITTEN = "is not what was written (the disk, or an editor)"  # said of such a file


class TrackerUnavailable(MedftError):
    """MLflow cannot be had, or does not take what is sent; nothing is lost."""
