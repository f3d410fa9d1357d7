"""The checkpoint manifest: what `weights.json` says, typed and checked.

The sha256 that stands here decides whether a file is accepted, whoever serves it.
"""

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drcnet_cli.errors import UsageError, WeightsError
from drcnet_cli.tasks import TASKS
from drcnet_cli.weights.fields import Fields

SCHEMA_VERSION = 1

# A wheel carries the manifest inside the package; a source tree has it at its top level.
PACKAGED_MANIFEST = Path(__file__).parent / "weights.json"
SOURCE_MANIFEST = Path(__file__).parents[2] / "weights.json"

NAME_PATTERN = r"(?=.{1,100}$)[a-z0-9]+(-[a-z0-9]+)*"
# No separator and no leading dot: a manifest can never make us write outside our folders.
FILE_PATTERN = r"(?=.{1,120}$)[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors"
SHA256_PATTERN = r"[0-9a-f]{64}"
COMMIT_PATTERN = r"[0-9a-f]{40}"
LARGEST_FILE = 2**36  # bytes: a download stops at the stated size, so no size may be without end
LARGEST_PATCH = 65536  # pixels, as in a checkpoint's own description
REPO_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"


@dataclass(frozen=True)
class Score:
    """One measured figure; `input_value` is the same metric of the degraded input, if measured."""

    dataset: str
    metric: str
    value: float
    input_value: float | None
    command: str


@dataclass(frozen=True)
class HubSource:
    """Where a hub serves a file; in the manifest, `revision` is a commit and never a branch."""

    repo: str
    revision: str
    filename: str


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as the manifest describes it.

    `config` holds the fields of DRCNetConfig as JSON values; `training_patch` is in pixels and is
    the default tile; `default` marks the checkpoint that its task's name stands for; `bundled`
    ones lie inside the package.
    """

    name: str
    task: str
    config: dict[str, Any]
    file: str
    bytes: int
    sha256: str
    training_patch: int
    training_data: str
    training_recipe: str
    licence: str
    default: bool
    scores: tuple[Score, ...]
    bundled: bool
    hub: HubSource | None


@dataclass(frozen=True)
class Manifest:
    """All checkpoints that this version knows, in order, and the file that lists them."""

    path: Path
    checkpoints: tuple[Checkpoint, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Give the checkpoints' names."""
        return tuple(checkpoint.name for checkpoint in self.checkpoints)

    def by_name(self, name: str) -> Checkpoint:
        """Give the checkpoint called `name`; WeightsError listing the known names if none is."""
        for checkpoint in self.checkpoints:
            if checkpoint.name == name:
                return checkpoint
        close = difflib.get_close_matches(name, self.names, n=2)
        guess = f" Did you mean {' or '.join(close)}?" if close else ""
        raise WeightsError(
            f"There is no checkpoint named {name!r}.{guess}",
            f"Known checkpoints: {', '.join(self.names) or 'none'}. "
            "To use a file of your own: --weights FILE",
        )

    def default_for(self, task: str) -> Checkpoint:
        """Give the checkpoint that `task` stands for.

        Raises UsageError for an unknown task and WeightsError for one without a checkpoint.
        """
        if task not in TASKS:
            raise UsageError(f"There is no task {task!r}.", f"Known tasks: {', '.join(TASKS)}.")
        for checkpoint in self.checkpoints:
            if checkpoint.task == task and checkpoint.default:
                return checkpoint
        raise WeightsError(
            f"No checkpoint for {task} is bundled with this version yet.",
            f"Give one with --weights FILE, for example: drcnet restore --task {task} "
            "--weights FILE.safetensors in/ out/",
        )

    def by_sha256(self, sha256: str) -> Checkpoint | None:
        """Give the checkpoint whose file has this hash, or None."""
        return next((item for item in self.checkpoints if item.sha256 == sha256), None)


def load_manifest(path: Path | None = None) -> Manifest:
    """Read and check the package's own manifest, or the one at `path`.

    Raises WeightsError naming the file and the field if it is missing or breaks a rule.
    """
    if path is None:
        path = PACKAGED_MANIFEST if PACKAGED_MANIFEST.is_file() else SOURCE_MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_key_twice)
    except FileNotFoundError as error:
        raise WeightsError(
            f"The checkpoint manifest {path} does not exist.",
            "The installation is incomplete: pip install --force-reinstall drcnet",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"The checkpoint manifest {path} cannot be read: {error}.") from error
    return parse_manifest(document, path)


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse objects in which the later of two values would win unseen."""
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("an object has the same key twice")
    return values


def parse_manifest(document: object, path: Path) -> Manifest:
    """Turn decoded JSON into a Manifest; `path` is named in the errors."""
    fields = Fields(document, path.name)
    if "$schema" in (document if isinstance(document, dict) else {}):
        fields.raw("$schema")
    if fields.integer("schema_version", 1) != SCHEMA_VERSION:
        raise fields.fail("schema_version", f"{SCHEMA_VERSION} for this version of drcnet")
    entries = fields.items("checkpoints")
    fields.end()
    checkpoints = tuple(
        _checkpoint(entry, f"{path.name}, checkpoint {index + 1}")
        for index, entry in enumerate(entries)
    )
    _check_together(checkpoints, path.name)
    return Manifest(path, checkpoints)


def _checkpoint(value: object, where: str) -> Checkpoint:
    fields = Fields(value, where)
    name = fields.text("name", NAME_PATTERN, "lower-case words joined by '-'")
    fields.where = f"{where} ({name})"
    checkpoint = Checkpoint(
        name=name,
        task=fields.one_of("task", tuple(TASKS)),
        config=_config(fields.raw("config"), f"{fields.where}, config"),
        file=fields.text("file", FILE_PATTERN, "a plain file name ending in .safetensors"),
        bytes=fields.integer("bytes", 1, LARGEST_FILE),
        sha256=fields.text("sha256", SHA256_PATTERN, "64 lower-case hex digits"),
        training_patch=fields.integer("training_patch", 8, LARGEST_PATCH),
        training_data=fields.text("training_data"),
        training_recipe=fields.text("training_recipe"),
        licence=fields.text("licence"),
        default=fields.flag("default"),
        scores=tuple(
            _score(item, f"{fields.where}, scores, item {index + 1}")
            for index, item in enumerate(fields.items("scores"))
        ),
        bundled=fields.flag("bundled"),
        hub=None if fields.is_null("hub") else _hub(fields.raw("hub"), f"{fields.where}, hub"),
    )
    fields.end()
    return checkpoint


def _config(value: object, where: str) -> dict[str, Any]:
    """Check the types only: which combinations make a network is the network's own knowledge."""
    fields = Fields(value, where)
    config = {
        "width": fields.integer("width", 2),
        "depth": fields.integer("depth", 1),
        "threshold": fields.number("threshold"),
        "delta": fields.number("delta"),
        "filter_levels": fields.integers("filter_levels"),
        "spatial_filter": fields.flag("spatial_filter"),
        "energy_attention": fields.flag("energy_attention"),
        "identity_branch": fields.flag("identity_branch"),
    }
    if isinstance(value, dict) and "feature_limit" in value:  # without it there is none
        config["feature_limit"] = fields.number("feature_limit")
    fields.end()
    return config


def _score(value: object, where: str) -> Score:
    fields = Fields(value, where)
    score = Score(
        dataset=fields.text("dataset"),
        metric=fields.text("metric"),
        value=fields.number("value"),
        input_value=None if fields.is_null("input_value") else fields.number("input_value"),
        command=fields.text("command"),
    )
    fields.end()
    return score


def _hub(value: object, where: str) -> HubSource:
    fields = Fields(value, where)
    hub = HubSource(
        repo=fields.text("repo", REPO_PATTERN, "owner/name"),
        revision=fields.text("revision", COMMIT_PATTERN, "a commit of 40 hex digits"),
        filename=fields.text("filename", FILE_PATTERN, "a plain file name ending in .safetensors"),
    )
    fields.end()
    return hub


def _check_together(checkpoints: tuple[Checkpoint, ...], where: str) -> None:
    """Check what no single entry shows: unique names, files and hashes, one default per task."""
    for kind in ("name", "file", "sha256"):
        values = [getattr(checkpoint, kind) for checkpoint in checkpoints]
        if twice := sorted({value for value in values if values.count(value) > 1}):
            raise WeightsError(f"{where}: two checkpoints have the same {kind} {twice[0]}.")
    for task in sorted({checkpoint.task for checkpoint in checkpoints}):
        defaults = [item.name for item in checkpoints if item.task == task and item.default]
        if len(defaults) != 1:
            raise WeightsError(
                f"{where}: {task} needs exactly one default checkpoint, but has "
                f"{', '.join(defaults) or 'none'}."
            )
