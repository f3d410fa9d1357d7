"""The error tree: each error says what happened, to which file, and what to type next.

The library raises these; one handler in the command line prints them. `exit_code` is the code that
the process ends with when the error ends it (a failed file among many ends it with 1).
"""

from importlib import import_module
from types import ModuleType

EXIT_OK = 0
EXIT_SOME_FAILED = 1
EXIT_USAGE = 2
EXIT_WEIGHTS = 3
EXIT_INTERRUPTED = 130
EXIT_UNREAD = 141  # as of a process that SIGPIPE ended


class DrcnetError(Exception):
    """Base of every error that this package raises on purpose.

    `message` is one sentence naming what and which file; `hint`, if any, is what to type next.
    """

    exit_code = EXIT_SOME_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return message and hint as one text, as the command line prints them."""
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(DrcnetError):
    """The call cannot be carried out as it stands: a wrong option, clash or path."""

    exit_code = EXIT_USAGE


class DeviceError(UsageError):
    """The device or number type that was asked for is not to be had on this machine."""


class ImageError(DrcnetError):
    """One image cannot be read, restored or written; the others go on."""


class StorageError(ImageError):
    """The disk of an output is full or read-only: the files after it would fare no better."""


class RemoteError(ImageError):
    """What an address leads to cannot be listed, read or written; `is_missing`: nothing is there.

    One picture's ends no run; a folder's does, as a failure of the network.
    """

    exit_code = EXIT_WEIGHTS

    def __init__(self, message: str, hint: str = "", *, is_missing: bool = False) -> None:
        super().__init__(message, hint)
        self.is_missing = is_missing


class ReportError(DrcnetError):
    """A report cannot be written; what it reports of is done."""


class NonFiniteError(ImageError):
    """The network gave NaN or infinity for a tile, in float32 too."""


class MemoryExhaustedError(ImageError):
    """Even one smallest tile does not fit the device's memory."""


class WeightsError(DrcnetError):
    """A checkpoint is missing, damaged, unknown or not what the manifest promises."""

    exit_code = EXIT_WEIGHTS


class CheckpointFormatError(WeightsError):
    """A file is not a checkpoint that this package can load or convert."""


class HashMismatchError(WeightsError):
    """A file's sha256 is not the manifest's."""


class NetworkError(WeightsError):
    """A checkpoint could not be downloaded or uploaded."""


def import_extra(module: str, extra: str, problem: str) -> ModuleType:
    """Import what an extra of this package brings; raise UsageError (`problem`) where it lacks."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(problem, f"pip install 'drcnet[{extra}]'") from error
