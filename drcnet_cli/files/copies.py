"""Copies on this machine of the folders that addresses name, for work that reads files many times.

A copy lies in the cache folder and is brought up to date at each use: what changed (by size and
time) is fetched again, what is gone goes. It is all there, or the work does not begin.
"""

import hashlib
import os
import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from drcnet_cli import settings
from drcnet_cli.errors import UsageError
from drcnet_cli.files.addresses import Address, is_address
from drcnet_cli.files.atomic import atomic_write, refusal
from drcnet_cli.files.discover import IsImage, is_hidden
from drcnet_cli.files.remote import LARGEST, find_object, list_objects, read_object, safe_place
from drcnet_cli.progress import Progress, no_progress

_AT_ONCE = 8  # requests
_COPIES = "copies"
_COPY = re.compile(rf"\b{_COPIES}[/\\][0-9a-f]{{16}}([/\\].*)?$")


def copied_here(text: str, is_image: IsImage, progress: Progress = no_progress) -> Path:
    """Return the path that a text is; of an address, the copy of the pictures that lie there.

    Raises UsageError where there are none, RemoteError for one that cannot be read, and
    StorageError where there is no room.
    """
    if not is_address(text):
        return Path(text)
    address = Address(text)
    lone = find_object(address)
    listed = [(lone, lone.name)] if lone else list_objects(address)
    wanted: dict[Path, Address] = {}
    for found, name in listed:
        place = safe_place(name)
        if place and is_image(place) and not any(map(is_hidden, place.parts)):
            wanted[place] = found
    if not wanted:
        raise UsageError(f"There are no pictures in {address}.", "Name a folder of photographs.")
    folder = cached_folder(address, _COPIES, "pictures")
    _forget_others(folder, wanted)
    missing = [(folder / place, found) for place, found in wanted.items()]
    missing = [(path, found) for path, found in missing if not _is_copy(path, found)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # after the first failure nothing more is begun
        for done, _ in enumerate(pool.map(lambda pair: _copy(*pair), missing), 1):
            progress(done, len(missing))
    return folder / lone.name if lone else folder


def place_in_cache(path: str) -> str:
    """Return a path; of a copy only what is the same in every machine's cache folder."""
    found = _COPY.search(path)
    return found[0] if found else path


def cached_folder(address: Address, kind: str, name: str) -> Path:
    """Return what stands for an address here: it ends with the name that the user knows.

    `name`: of an address without one.
    """
    digest = hashlib.sha256(address.url.rstrip("/").encode()).hexdigest()[:16]
    return settings.cache_dir() / kind / digest / (safe_place(address.name) or name)


def _is_copy(path: Path, address: Address) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size == address.size and address.time in (None, status.st_mtime_ns)


def _copy(path: Path, address: Address) -> None:
    data = read_object(address, LARGEST)
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
            if address.time is not None:
                os.utime(temporary, ns=(address.time, address.time))
    except OSError as error:
        raise refusal(path, error) from error


def _forget_others(folder: Path, wanted: Collection[Path]) -> None:
    """Remove the files of a copy that are no longer where they came from."""
    for path in list(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder) not in wanted:
            path.unlink(missing_ok=True)
