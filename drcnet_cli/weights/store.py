"""Checkpoint files on this machine: where they lie, and whether they are what they should be."""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from drcnet_cli import settings
from drcnet_cli.errors import HashMismatchError, WeightsError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.files.mistaken import is_markup
from drcnet_cli.weights.manifest import Checkpoint

BUNDLED_DIR = Path(__file__).parent / "bundled"

_CHUNK = 1 << 20


@dataclass(frozen=True)
class FileDigest:
    """What identifies a file's content: its size and the sha256 in lower-case hex."""

    bytes: int
    sha256: str


def describe_file(path: Path) -> FileDigest:
    """Read a file once for its size and sha256; WeightsError if it cannot be read."""
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    return FileDigest(size, digest.hexdigest())


def bundled_path(checkpoint: Checkpoint) -> Path:
    """Return the place inside the package where a bundled checkpoint lies."""
    return BUNDLED_DIR / checkpoint.file


def cached_path(checkpoint: Checkpoint) -> Path:
    """Return the place in the cache; versions with different content never share one."""
    file = Path(checkpoint.file)
    return settings.cache_dir() / f"{file.stem}-{checkpoint.sha256[:12]}{file.suffix}"


def is_intact(path: Path, checkpoint: Checkpoint) -> bool:
    """Tell whether `path` is a file with the checkpoint's size and sha256."""
    return (
        path.is_file()
        and path.stat().st_size == checkpoint.bytes
        and describe_file(path).sha256 == checkpoint.sha256
    )


def check_content(path: Path, checkpoint: Checkpoint, source: str) -> None:
    """Raise HashMismatchError, naming `source` and both hashes, unless `path` is intact."""
    found = describe_file(path)
    if found == FileDigest(checkpoint.bytes, checkpoint.sha256):
        return
    kind = " is a web page," if _looks_like_markup(path) else " is"
    raise HashMismatchError(
        f"The file from {source}{kind} not the checkpoint {checkpoint.name}: its sha256 is "
        f"{found.sha256} ({found.bytes} bytes), the manifest's is {checkpoint.sha256} "
        f"({checkpoint.bytes} bytes).",
        manual_hint(checkpoint),
    )


def manual_hint(checkpoint: Checkpoint) -> str:
    """Say how to put a checkpoint in place without a download."""
    return (
        f"To put it in place by hand, get {checkpoint.file} elsewhere and type: "
        f"drcnet weights import {checkpoint.file} (it is kept as {cached_path(checkpoint)})"
    )


def place_copy(source: Path, checkpoint: Checkpoint) -> Path:
    """Copy a file into the cache, whole and verified or not at all, and return its place there."""
    target = cached_path(checkpoint)
    if is_intact(target, checkpoint):
        return target
    if target.is_symlink():  # which a write would follow, to a file that is not ours
        target.unlink()
    if target.is_dir():
        raise WeightsError(f"{target} in the cache is a folder.", "Move it away.")
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)
        check_content(temporary, checkpoint, str(source))
    return target


def cache_refused(error: OSError) -> WeightsError:
    """Turn a refusal by the file system (read-only, full) into a sentence about the cache."""
    return WeightsError(
        f"The checkpoint cache {settings.cache_dir()} cannot be used: {error.strerror or error}.",
        "Set DRCNET_CACHE to a folder that you can write to.",
    )


def _looks_like_markup(path: Path) -> bool:
    with path.open("rb") as file:
        return is_markup(file.read(64))
