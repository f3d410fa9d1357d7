"""Downloads from a hub: into a staging folder, verified there, then moved to their place at once.

Importing this module imports huggingface_hub (slow), so it is imported where a download is due.
`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and the proxy variables act as its documentation says.
A transfer that breaks off is resumed with a Range request, within one call or in the next one.
Nothing is written beyond the size that the manifest states, and nothing waits without end.
"""

import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import FileMetadataError
from huggingface_hub.utils import (
    WeakFileLock,
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
)

from drcnet_cli import settings
from drcnet_cli.errors import DrcnetError, HashMismatchError
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
from drcnet_cli.weights.transfer import (
    SlowError,
    check_address,
    patience_for,
    transfer,
    within,
)

Progress = Callable[[str], None]

_RETRY_WAITS = (0.5, 1.0)  # seconds before the second and third attempt
# How huggingface_hub from 2 on ends a partial file's name: a random one, which it never resumes.
_NEVER_RESUMED = re.compile(r"\.[0-9a-f]{8}\.incomplete$")


def download(checkpoint: Checkpoint, source: HubSource, progress: Progress | None = None) -> Path:
    """Bring a checkpoint into the cache and give its place there.

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
            if not is_intact(target, checkpoint):
                if progress:
                    progress(_announcement(checkpoint, source))
                _drop_leftovers(staging)
                with _progress_bars(shown=progress is not None):
                    staged = _stage(checkpoint, source, staging)
                _place(staged, target, checkpoint, source, staging)
    except OSError as error:
        raise cache_refused(error) from error
    return target


def _drop_leftovers(staging: Path) -> None:
    """Remove the partial files of killed processes that no later one could go on with."""
    for path in staging.rglob("*.incomplete"):
        if _NEVER_RESUMED.search(path.name):
            path.unlink()


def _stage(checkpoint: Checkpoint, source: HubSource, staging: Path) -> Path:
    """Download into `staging`, trying again after passing failures."""
    for wait in (*_RETRY_WAITS, None):
        try:
            ask = partial(_ask_hub, checkpoint, source, staging)
            return within(patience_for(checkpoint.bytes), ask, source.filename)
        except DrcnetError as error:
            if not isinstance(error, SlowError):
                shutil.rmtree(staging, ignore_errors=True)
            raise type(error)(error.message, f"{error.hint} {manual_hint(checkpoint)}") from error
        except HUB_ERRORS as error:
            cause = root_cause(error)
            if is_local(cause):
                raise
            # A partial file is worth resuming only if nothing but the connection was wrong.
            if not is_connection_failure(cause):
                shutil.rmtree(staging, ignore_errors=True)
            if wait is None or not is_transient(cause):
                raise explain(cause, source, manual_hint(checkpoint)) from error
            time.sleep(wait)
    raise AssertionError("the last attempt returns or raises")


def _ask_hub(checkpoint: Checkpoint, source: HubSource, staging: Path) -> Path:
    """Ask what is there, then download it; raises what huggingface_hub raises, and NetworkError.

    HashMismatchError for a file that is announced as larger than the checkpoint.
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
    staged = staging / "download"
    transfer(found.location, headers, staged, found.size, checkpoint.bytes)
    return staged


def _place(
    staged: Path, target: Path, checkpoint: Checkpoint, source: HubSource, staging: Path
) -> None:
    """Move a verified file to its place; a wrong one goes with everything staged beside it."""
    try:
        url = hf_hub_url(source.repo, source.filename, revision=source.revision)
        check_content(staged, checkpoint, url)
        staged.replace(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _announcement(checkpoint: Checkpoint, source: HubSource) -> str:
    size = checkpoint.bytes / 1e6
    return f"Downloading {checkpoint.name} ({size:.1f} MB) from {source.repo}, {source.revision}"


@contextmanager
def _progress_bars(shown: bool) -> Iterator[None]:
    """Silence the client's bars for a while unless they are to be shown."""
    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
