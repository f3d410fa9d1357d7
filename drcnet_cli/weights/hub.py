"""Downloads from a hub: into a staging folder, verified there, then moved to their place at once.

Importing this module imports huggingface_hub (slow), so it is imported where a download is due.
`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and the proxy variables act as its documentation says.
A transfer that breaks off is resumed with a Range request, within one call or in the next one.

The client waits for each answer for some seconds, but a server that sends a byte now and then, or
never stops, could hold it, and fill the disk, for ever. So nothing is written beyond the size that
the manifest states, and each attempt has an end in time.
"""

import io
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import FileMetadataError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import (
    WeakFileLock,
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
)

from drcnet_cli import settings
from drcnet_cli.errors import DrcnetError, HashMismatchError, NetworkError
from drcnet_cli.text import shorten
from drcnet_cli.version import __version__
from drcnet_cli.weights.hub_errors import (
    HUB_ERRORS,
    explain,
    is_connection_failure,
    is_local,
    is_transient,
    root_cause,
)
from drcnet_cli.weights.manifest import Checkpoint, HubSource
from drcnet_cli.weights.store import (
    cache_refused,
    cached_path,
    check_content,
    is_intact,
    manual_hint,
)

Announce = Callable[[str], None]

PATIENCE = 120.0  # seconds for all that is not the content
SLOWEST = 16 * 1024  # bytes a second of the content

_RETRY_WAITS = (0.5, 1.0)  # seconds before the second and third attempt

_Result = TypeVar("_Result")


class SlowError(NetworkError):
    """A transfer took longer than it may; what has come is worth going on from."""


def download(checkpoint: Checkpoint, source: HubSource, progress: Announce | None = None) -> Path:
    """Bring a checkpoint into the cache and return its place there.

    Processes that want the same file wait for the first one and then find it. `progress` gets a
    line of text; without it the client's own bar is silent too. Raises HashMismatchError for a
    wrong file, NetworkError when the hub does not deliver, WeightsError for an unusable cache.
    """
    target, hub_folder = cached_path(checkpoint), settings.cache_dir() / "hub"
    key = checkpoint.sha256[:16]
    staging = hub_folder / key
    try:
        hub_folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(hub_folder / f"{key}.lock"):
            if is_intact(target, checkpoint):
                return target
            if progress:
                size, place = checkpoint.bytes / 1e6, f"{source.repo}, {source.revision}"
                progress(f"Downloading {checkpoint.name} ({size:.1f} MB) from {place}")
            with _progress_bars(shown=progress is not None):
                url = _stage(checkpoint, source, staging / "download")
            try:
                check_content(staging / "download", checkpoint, url)
                (staging / "download").replace(target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise cache_refused(error) from error
    return target


def _stage(checkpoint: Checkpoint, source: HubSource, staged: Path) -> str:
    """Download to `staged`, trying again after passing failures; return the address.

    What has come stays there only if nothing but the connection was wrong: it is worth resuming.
    """
    for wait in (*_RETRY_WAITS, None):
        seconds = PATIENCE + checkpoint.bytes / SLOWEST
        ask = partial(_ask_hub, checkpoint, source, staged, time.monotonic() + seconds)
        try:
            return within(seconds, ask, source.filename)
        except DrcnetError as error:
            if not isinstance(error, SlowError):
                shutil.rmtree(staged.parent, ignore_errors=True)
            raise type(error)(error.message, f"{error.hint} {manual_hint(checkpoint)}") from error
        except HUB_ERRORS as error:
            cause = root_cause(error)
            if is_local(cause):
                raise
            if not is_connection_failure(cause):
                shutil.rmtree(staged.parent, ignore_errors=True)
            if wait is None or not is_transient(cause):
                raise explain(cause, source, manual_hint(checkpoint)) from error
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _ask_hub(checkpoint: Checkpoint, source: HubSource, staged: Path, deadline: float) -> str:
    """Ask what is there, then download it; return the address.

    Raises what huggingface_hub raises, NetworkError, and HashMismatchError for a file that is
    announced as larger than the checkpoint.
    """
    url = hf_hub_url(source.repo, source.filename, revision=source.revision)
    found = get_hf_file_metadata(url)
    check_address(url, found.location)
    if found.commit_hash is None or found.size is None:
        raise FileMetadataError(f"{url} was answered without a commit or a size.")
    if found.size > checkpoint.bytes:
        raise HashMismatchError(
            f"The file at {url} has {found.size} bytes, {checkpoint.name} has "
            f"{checkpoint.bytes}: it was not downloaded.",
            "It is another file.",
        )
    headers = build_hf_headers(library_name="drcnet", library_version=__version__)
    if urlsplit(url)[:2] != urlsplit(found.location)[:2]:
        headers.pop("authorization", None)
    transfer(found.location, headers, staged, found.size, checkpoint.bytes, deadline)
    return url


def check_address(asked: str, answered: str) -> None:
    """Raise NetworkError if a server sends us to a file, or from https to something unencrypted."""
    before, after = urlsplit(asked).scheme, urlsplit(answered).scheme
    if after not in {"https", before}:
        raise NetworkError(
            f"{asked} redirects to {shorten(answered, 200)}, which is not followed.",
            "Check HF_ENDPOINT and the proxy.",
        )


def transfer(
    url: str,
    headers: dict[str, Any],
    staged: Path,
    announced: int,
    most: int,
    deadline: float = float("inf"),
) -> None:
    """Bring `staged`, which may hold a beginning, to the end of what `url` serves.

    `announced` is the number of bytes that the server said, `most` the number after which nothing
    more is written, nor after `deadline` (of `time.monotonic`). Raises NetworkError and
    TimeoutError there, and what the client raises.
    """
    if time.monotonic() > deadline:
        raise TimeoutError("the time is over")
    staged.parent.mkdir(parents=True, exist_ok=True)
    staged.touch()
    if staged.stat().st_size > most:
        staged.write_bytes(b"")
    # No compression: a small answer could become a large file, and its length would say nothing.
    plain = {**headers, "Accept-Encoding": "identity"}
    with _Limited(staged, most, deadline, url) as file:
        file.seek(0, io.SEEK_END)
        http_get(url, file, resume_size=file.tell(), headers=plain, expected_size=announced)


class _Limited(io.FileIO):
    """A file that takes `most` bytes, and none after its time is over."""

    def __init__(self, path: Path, most: int, deadline: float, url: str) -> None:
        super().__init__(path, "r+")
        self._most, self._deadline, self._url = most, deadline, url

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


def within(seconds: float, task: Callable[[], _Result], what: str) -> _Result:
    """Return a task's result or raise its error; SlowError if it takes longer.

    The task runs in a thread, which is left to itself when the time is over: a blocked read cannot
    be ended from outside. It should write nothing from then on.
    """
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(task())
        except (*HUB_ERRORS, DrcnetError) as error:  # raised again by the waiting thread
            errors.append(error)

    deadline = time.monotonic() + seconds
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


@contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    """Keep the client's bars away for a while unless they are to be shown."""
    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
