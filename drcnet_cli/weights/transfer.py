"""One file over HTTP by the hub's client, with an end in bytes and time whatever the server does.

The client waits for each answer for some seconds, but a server that sends a byte now and then, or
never stops, could hold it, and fill the disk, for ever.
"""

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from huggingface_hub.file_download import http_get

from drcnet_cli.errors import DrcnetError, NetworkError
from drcnet_cli.text import shorten
from drcnet_cli.weights.hub_errors import HUB_ERRORS

PATIENCE = 120.0  # seconds for all that is not the content
SLOWEST = 16 * 1024  # bytes a second of the content

_Result = TypeVar("_Result")


class SlowError(NetworkError):
    """A transfer took longer than it may; what has come is worth going on from."""


def patience_for(size: int) -> float:
    """Give the seconds within which `size` bytes should have come."""
    return PATIENCE + size / SLOWEST


def check_address(asked: str, answered: str) -> None:
    """Raise NetworkError if a server sends us to a file, or from https to something unencrypted."""
    before, after = urlsplit(asked).scheme, urlsplit(answered).scheme
    if after not in {"https", before}:
        raise NetworkError(
            f"{asked} redirects to {shorten(answered, 200)}, which is not followed.",
            "Check HF_ENDPOINT and the proxy.",
        )


def transfer(url: str, headers: dict[str, Any], partial: Path, announced: int, most: int) -> None:
    """Bring `partial`, which may hold a beginning, to the end of what `url` serves.

    `announced` is the number of bytes that the server said, `most` the number after which nothing
    more is written. Raises NetworkError beyond that, and what the client raises.
    """
    if time.monotonic() > _deadline():
        raise TimeoutError("the time is over")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.touch()
    if partial.stat().st_size > most:
        partial.write_bytes(b"")
    # No compression: a small answer could become a large file, and its length would say nothing.
    plain = {**headers, "Accept-Encoding": "identity"}
    with _Limited(partial, most, url) as file:
        file.seek(0, io.SEEK_END)
        http_get(url, file, resume_size=file.tell(), headers=plain, expected_size=announced)


def within(seconds: float, task: Callable[[], _Result], what: str) -> _Result:
    """Give a task's result or raise its error; SlowError if it takes longer.

    The task runs in a thread, which is left to itself when the time is over: a blocked read cannot
    be ended from outside. `_Limited` keeps it from writing any more.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []
    deadline = time.monotonic() + seconds

    def run() -> None:
        _ends.deadline = deadline
        try:
            results.append(task())
        except (*HUB_ERRORS, DrcnetError) as error:  # raised again by the waiting thread
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive() and time.monotonic() < deadline:
        thread.join(0.1)  # in pieces: on Windows a long wait could not be interrupted
    if errors:
        raise errors[0]
    if thread.is_alive():
        raise SlowError(
            f"{what} was not there after {seconds:.0f} seconds: the connection is too slow.",
            "Try again later.",
        )
    return results[0]


# When the work of the thread at hand must have ended.
_ends = threading.local()


def _deadline() -> float:
    return getattr(_ends, "deadline", float("inf"))


class _Limited(io.FileIO):
    """A file that takes `most` bytes, and none after its thread's time is over."""

    def __init__(self, path: Path, most: int, url: str) -> None:
        super().__init__(path, "r+")
        self._most, self._url = most, url
        self._deadline = _deadline()

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        """Write all of `data` or nothing."""
        if time.monotonic() > self._deadline:
            raise TimeoutError("the time is over")
        if self.tell() + len(data) > self._most:
            raise NetworkError(
                f"{self._url} sends more than the {self._most} bytes that the manifest states.",
                "It is another file, or the server is at fault; nothing of it was kept.",
            )
        view = memoryview(data)
        while view:
            view = view[super().write(view) or 0 :]
        return len(data)
