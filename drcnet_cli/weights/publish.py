"""Uploads of the manifest's files and a model card to a hub repository, in one commit.

Importing this module imports huggingface_hub (slow).
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from drcnet_cli.errors import UsageError, WeightsError
from drcnet_cli.version import __version__
from drcnet_cli.weights.hub import Announce
from drcnet_cli.weights.hub_errors import HUB_ERRORS, explain, root_cause
from drcnet_cli.weights.manifest import (
    REPO_PATTERN,
    Checkpoint,
    HubSource,
    Manifest,
    load_manifest,
)
from drcnet_cli.weights.store import bundled_path, cached_path, is_intact

_CARD_HEAD = f"""---
license: other
library_name: drcnet
pipeline_tag: image-to-image
tags:
- image-restoration
- deraining
- denoising
- deblurring
---

# DRCNet checkpoints

Checkpoints of drcnet {__version__}, an implementation of DRCNet (Li, Shen, Mi, Li: Dynamic Image
Restoration Contrastive Network, ECCV 2022). `weights.json` lists them with their sha256, training,
licence and measured scores; each checkpoint has a licence of its own.
"""


@dataclass(frozen=True)
class Publication:
    """What was uploaded, or would be: `commit` is None after a dry run.

    `files` maps each name in the repository to its size in bytes.
    """

    repo: str
    commit: str | None
    files: dict[str, int]
    checkpoints: tuple[Checkpoint, ...]

    def hub_entries(self) -> dict[str, dict[str, str]]:
        """Return `hub` for weights.json by checkpoint name; empty after a dry run."""
        if self.commit is None:
            return {}
        return {
            checkpoint.name: asdict(HubSource(self.repo, self.commit, checkpoint.file))
            for checkpoint in self.checkpoints
        }


def publish(
    repo: str,
    *,
    private: bool = False,
    dry_run: bool = False,
    progress: Announce | None = None,
    manifest: Manifest | None = None,
) -> Publication:
    """Upload every checkpoint file, the manifest and a model card to `repo` (owner/name).

    Each file is verified first, and the repository is created if missing (`private` then counts).
    Everything goes up in one commit, whose hash makes the manifest's hub entries. Raises UsageError
    for a wrong repository name, WeightsError if a file is not here or damaged, NetworkError.
    """
    if not re.fullmatch(REPO_PATTERN, repo):
        raise UsageError(f"{repo!r} is not a repository name.", "Give it as OWNER/NAME.")
    manifest = manifest or load_manifest()
    contents: dict[str, Path | bytes] = {
        item.file: _verified(item) for item in manifest.checkpoints
    }
    contents["weights.json"] = manifest.path.read_bytes()
    contents["README.md"] = model_card(manifest).encode()
    if not dry_run and progress:
        progress(f"Uploading {len(contents)} files to {repo}")
    return Publication(
        repo=repo,
        commit=None if dry_run else _commit(repo, contents, private),
        files={
            name: len(content) if isinstance(content, bytes) else content.stat().st_size
            for name, content in contents.items()
        },
        checkpoints=manifest.checkpoints,
    )


def _verified(checkpoint: Checkpoint) -> Path:
    for path in (bundled_path(checkpoint), cached_path(checkpoint)):
        if is_intact(path, checkpoint):
            return path
    raise WeightsError(
        f"{checkpoint.file} ({checkpoint.name}) is not on this machine, or is damaged.",
        f"First put it in place: drcnet weights import {checkpoint.file}",
    )


def _commit(repo: str, contents: dict[str, Path | bytes], private: bool) -> str:
    """Create the repository if need be, upload, and return the commit's hash."""
    api = HfApi(library_name="drcnet", library_version=__version__)
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
        for name, content in contents.items()
    ]
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        message = f"Checkpoints of drcnet {__version__}"
        return api.create_commit(repo, operations, commit_message=message).oid
    except HUB_ERRORS as error:
        hint = f"With HF_TOKEN set to a token that may write: drcnet weights publish {repo}"
        source = HubSource(repo, "main", "the files")
        raise explain(root_cause(error), source, hint) from error


def model_card(manifest: Manifest) -> str:
    """Return the README.md that a hub shows for the checkpoints: Markdown with a YAML header."""
    return "\n".join([_CARD_HEAD, *(_section(checkpoint) for checkpoint in manifest.checkpoints)])


def _section(checkpoint: Checkpoint) -> str:
    lines = [
        f"## {checkpoint.name}",
        "",
        f"* Task: {checkpoint.task}",
        f"* File: `{checkpoint.file}`, {checkpoint.bytes} bytes, sha256 `{checkpoint.sha256}`",
        f"* Licence: {checkpoint.licence}",
        f"* Training data: {checkpoint.training_data}",
        f"* Training: {checkpoint.training_recipe}",
        "",
    ]
    if checkpoint.scores:
        lines += ["| dataset | metric | input | restored | command |", "|---|---|---|---|---|"]
        for score in checkpoint.scores:
            before = "" if score.input_value is None else f"{score.input_value:g}"
            lines.append(
                f"| {score.dataset} | {score.metric} | {before} | {score.value:g} "
                f"| `{score.command}` |"
            )
        lines.append("")
    return "\n".join(lines)
