"""From a checkpoint's name, a task or a path to a verified file on this machine.

The order: an explicit file, the one bundled in the package, the cache, a hub. The sha256 in the
manifest is checked on every use (40 MB take some 30 ms); only an explicit file is taken as it is.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from drcnet_cli import settings
from drcnet_cli.errors import UsageError, WeightsError
from drcnet_cli.tasks import TASKS
from drcnet_cli.weights.manifest import (
    Checkpoint,
    HubSource,
    Manifest,
    load_manifest,
)
from drcnet_cli.weights.store import (
    bundled_path,
    cache_refused,
    cached_path,
    check_content,
    describe_file,
    is_intact,
    manual_hint,
    place_copy,
)

if TYPE_CHECKING:
    from drcnet_cli.weights.hub import Announce

_CHECKPOINT_SUFFIXES = {".safetensors", ".pth", ".pt", ".ckpt"}


@dataclass(frozen=True)
class ResolvedCheckpoint:
    """A file that may be loaded, and its manifest entry (None for an explicit file)."""

    path: Path
    checkpoint: Checkpoint | None


@dataclass(frozen=True)
class FileReport:
    """What `verify` found in one place; `sha256` is the file's own, None where there is no file."""

    name: str
    place: Literal["bundled", "cache"]
    path: Path
    state: Literal["ok", "missing", "damaged"]
    sha256: str | None

    @property
    def is_lost(self) -> bool:
        """Tell whether a file that the package should hold is not there."""
        return self.place == "bundled" and self.state == "missing"


def resolve(
    name_task_or_path: str | Path | None = None,
    *,
    task: str | None = None,
    hub_repo: str | None = None,
    offline: bool = False,
    progress: "Announce | None" = None,
    manifest: Manifest | None = None,
) -> ResolvedCheckpoint:
    """Return a verified file for a checkpoint's name, a task (its default) or a path.

    Without the first argument, `task` decides; with a name, `task` must be that checkpoint's. A
    text with a folder or a checkpoint's suffix is a path. `hub_repo` (owner/name) goes before
    DRCNET_HUB_REPO and the manifest's repository. `progress` gets a line before a download.

    Raises UsageError for contradicting arguments, WeightsError (HashMismatchError, NetworkError)
    when no verified file can be had.
    """
    if name_task_or_path is not None and _is_path(name_task_or_path):
        return ResolvedCheckpoint(_explicit_file(Path(name_task_or_path)), None)
    checkpoint = _choose(name_task_or_path, task, manifest or load_manifest())
    try:
        path = _local_file(checkpoint)
    except OSError as error:
        raise cache_refused(error) from error
    if path is None:
        path = _from_hub(checkpoint, hub_repo, offline, progress)
    return ResolvedCheckpoint(path, checkpoint)


def identify(name_task_or_path: str | Path, manifest: Manifest | None = None) -> str:
    """Return the sha256 of the checkpoint that `resolve` would find; nothing is fetched.

    Raises WeightsError for a file that is not there, UsageError for an unknown name.
    """
    if _is_path(name_task_or_path):
        return describe_file(_explicit_file(Path(name_task_or_path))).sha256
    return _choose(name_task_or_path, None, manifest or load_manifest()).sha256


def import_file(path: Path, manifest: Manifest | None = None) -> ResolvedCheckpoint:
    """Copy a file that the manifest knows by its sha256 into the cache.

    Raises WeightsError naming the file's hash and the known ones if it is none of them.
    """
    manifest = manifest or load_manifest()
    sha256 = describe_file(_explicit_file(path)).sha256
    checkpoint = manifest.by_sha256(sha256)
    if checkpoint is None:
        known = ", ".join(f"{item.name} {item.sha256}" for item in manifest.checkpoints)
        raise WeightsError(
            f"{path} is no checkpoint of the manifest: its sha256 is {sha256}; known are {known}.",
            f"To use a file of your own directly: --weights {path}",
        )
    try:
        return ResolvedCheckpoint(place_copy(path, checkpoint), checkpoint)
    except OSError as error:
        raise cache_refused(error) from error


def verify(manifest: Manifest | None = None) -> list[FileReport]:
    """Hash every bundled and cached file and compare it with the manifest."""
    reports = []
    for checkpoint in (manifest or load_manifest()).checkpoints:
        if checkpoint.bundled:
            reports.append(_report(checkpoint, "bundled", bundled_path(checkpoint)))
        if not checkpoint.bundled or cached_path(checkpoint).is_file():
            reports.append(_report(checkpoint, "cache", cached_path(checkpoint)))
    return reports


def locate(checkpoint: Checkpoint, hub_repo: str | None = None) -> str:
    """Say where a checkpoint would come from: bundled, cached, hub or not available.

    Looks whether files are there, not into them.
    """
    if checkpoint.bundled and bundled_path(checkpoint).is_file():
        return "bundled"
    if cached_path(checkpoint).is_file():
        return "cached"
    return "hub" if hub_source(checkpoint, hub_repo) else "not available"


def hub_source(checkpoint: Checkpoint, hub_repo: str | None = None) -> HubSource | None:
    """Return the hub place to ask: the named repository's main branch, else the manifest's entry.

    A branch may move; the manifest's sha256 decides whether what it serves is accepted.
    """
    named, listed = hub_repo or settings.hub_repo(), checkpoint.hub
    if named is None or (listed is not None and listed.repo == named):
        return listed
    return HubSource(named, "main", listed.filename if listed else checkpoint.file)


def _is_path(text: str | Path) -> bool:
    """Tell a path from a name: names have neither folders nor a checkpoint's suffix."""
    if isinstance(text, Path):
        return True
    has_folder = "/" in text or os.sep in text
    return has_folder or Path(text).suffix.lower() in _CHECKPOINT_SUFFIXES


def _explicit_file(path: Path) -> Path:
    path = path.expanduser()
    if path.is_dir():
        raise WeightsError(f"{path} is a folder, not a checkpoint.", "Give the file inside it.")
    if not path.is_file():
        raise WeightsError(
            f"The checkpoint file {path} does not exist.",
            "Known checkpoints need no file; to see them: drcnet weights list",
        )
    return path


def _choose(name: "str | Path | None", task: str | None, manifest: Manifest) -> Checkpoint:
    """Pick the manifest's entry for a name or a task."""
    if name is None:
        if task is None:
            raise UsageError("Neither a checkpoint nor a task was given.", "Add --task TASK.")
        return manifest.default_for(task)
    named_task = str(name) in TASKS and str(name) not in manifest.names
    checkpoint = manifest.default_for(str(name)) if named_task else manifest.by_name(str(name))
    if task is not None and checkpoint.task != task:
        raise UsageError(
            f"{checkpoint.name} is made for {checkpoint.task}, not for {task}.",
            f"Leave out --task, or choose a {task} checkpoint from: drcnet weights list",
        )
    return checkpoint


def _local_file(checkpoint: Checkpoint) -> Path | None:
    """Return the intact bundled or cached file, if any; HashMismatchError for a bad bundled one."""
    bundled = bundled_path(checkpoint)
    if checkpoint.bundled and bundled.is_file():
        # Not passed over in silence: the installation itself is damaged.
        check_content(bundled, checkpoint, f"the package ({bundled})")
        return bundled
    cached = cached_path(checkpoint)
    return cached if is_intact(cached, checkpoint) else None


def _from_hub(
    checkpoint: Checkpoint, hub_repo: str | None, offline: bool, progress: "Announce | None"
) -> Path:
    """Download, or say why that is impossible; a damaged cached file is replaced on success."""
    cached, source = cached_path(checkpoint), hub_source(checkpoint, hub_repo)
    offline = offline or settings.hub_offline()
    if (offline or source is None) and cached.is_file():
        check_content(cached, checkpoint, f"the cache ({cached})")
    if offline:
        raise WeightsError(
            f"{checkpoint.name} is not on this machine, and offline mode forbids downloading it.",
            f"With the network allowed: drcnet weights pull {checkpoint.name}. "
            + manual_hint(checkpoint),
        )
    if source is None:
        raise WeightsError(
            f"{checkpoint.name} is not on this machine, and no hub repository is known for it.",
            "Name one that serves it with --hub-repo OWNER/NAME or DRCNET_HUB_REPO. "
            + manual_hint(checkpoint),
        )
    # huggingface_hub takes a while to import; only a download needs it.
    from drcnet_cli.weights.hub import download

    return download(checkpoint, source, progress)


def _report(checkpoint: Checkpoint, place: Literal["bundled", "cache"], path: Path) -> FileReport:
    if not path.is_file():
        return FileReport(checkpoint.name, place, path, "missing", None)
    found = describe_file(path).sha256
    state = "ok" if found == checkpoint.sha256 else "damaged"
    return FileReport(checkpoint.name, place, path, state, found)
