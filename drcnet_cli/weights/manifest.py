"""The checkpoint manifest: what `weights.json` says, typed and checked.

The sha256 that stands here decides whether a file is accepted, whoever serves it.
"""

import difflib
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NamedTuple, get_args, get_origin

from drcnet_cli.errors import UsageError, WeightsError
from drcnet_cli.networks import DEFAULT_NETWORK, NETWORKS
from drcnet_cli.tasks import TASKS
from drcnet_cli.text import is_control, shorten

SCHEMA_VERSION = 1
FAST, BEST = EFFORTS = ("fast", "best")

# A wheel carries the manifest inside the package; a source tree has it at its top level.
PACKAGED_MANIFEST = Path(__file__).parent / "weights.json"
SOURCE_MANIFEST = Path(__file__).parents[2] / "weights.json"

REPO_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*"


# What each field must be, in the order of the errors; schema.json says the same to editors.


class _Rule(NamedTuple):
    """What a field must be, in words and as a test of its JSON value."""

    expected: str
    accepts: Callable[[Any], bool]


def _text(pattern: str = r"(?s).*\S.*", expected: str = "text", longest: int = 10_000) -> _Rule:
    """Return the rule for a string that matches as a whole; by default any but a blank one.

    It has no control characters besides tabs and line ends.
    """
    return _Rule(
        expected,
        lambda value: (
            isinstance(value, str)
            and len(value) <= longest
            and re.fullmatch(pattern, value) is not None
            and not any(is_control(character) for character in value if character not in "\t\n")
        ),
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole(least: int, most: int = 2**53) -> _Rule:
    return _Rule(
        f"a whole number of at least {least} and at most {most}",
        lambda value: _is_whole(value) and least <= value <= most,
    )


def _wholes(least: int) -> _Rule:
    return _Rule(
        "a list of whole numbers",
        lambda value: (
            isinstance(value, list) and all(_is_whole(item) and item >= least for item in value)
        ),
    )


_ANYTHING = _Rule("present", lambda _: True)
_FLAG = _Rule("true or false", lambda value: isinstance(value, bool))
_LIST = _Rule("a list", lambda value: isinstance(value, list))
# The limit is float's own: a longer whole number cannot be made one. NaN is below nothing.
_NUMBER = _Rule(
    "a number",
    lambda value: (
        (_is_whole(value) or isinstance(value, float)) and abs(value) <= sys.float_info.max
    ),
)
_NUMBER_OR_NULL = _Rule("a number", lambda value: value is None or _NUMBER.accepts(value))
_NAME = _text(r"[a-z0-9]+(-[a-z0-9]+)*", "lower-case words joined by '-'", 100)
# No separator and no leading dot: a manifest can never make us write outside our folders.
_FILE = _text(
    r"[A-Za-z0-9_][A-Za-z0-9._-]*\.safetensors", "a plain file name ending in .safetensors", 120
)
_TASK = _Rule(f"one of {', '.join(TASKS)}", lambda value: isinstance(value, str) and value in TASKS)
_EFFORT = _Rule(
    "one of " + ", ".join(EFFORTS), lambda value: isinstance(value, str) and value in EFFORTS
)
_ARCH = _Rule(
    f"one of {', '.join(NETWORKS)}", lambda value: isinstance(value, str) and value in NETWORKS
)

_MANIFEST = {
    "schema_version": _Rule(
        f"{SCHEMA_VERSION} for this version of drcnet",
        lambda value: _is_whole(value) and value == SCHEMA_VERSION,
    ),
    "checkpoints": _LIST,
}


def _must_be(rule: _Rule, default: Any = MISSING) -> Any:  # noqa: ANN401 - of any type
    """Declare a field with its rule; one that has a default may be left out."""
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True)
class Score:
    """One measured figure; `input_value` is the same metric of the degraded input, if measured."""

    dataset: str = _must_be(_text())
    metric: str = _must_be(_text())
    value: float = _must_be(_NUMBER)
    input_value: float | None = _must_be(_NUMBER_OR_NULL)
    command: str = _must_be(_text())


@dataclass(frozen=True)
class HubSource:
    """Where a hub serves a file; in the manifest, `revision` is a commit and never a branch."""

    repo: str = _must_be(_text(REPO_PATTERN, "owner/name"))
    revision: str = _must_be(_text("[0-9a-f]{40}", "a commit of 40 hex digits"))
    filename: str = _must_be(_FILE)


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint as the manifest describes it.

    `config` holds the fields of the configuration of network `arch` as JSON values;
    `training_patch` is in pixels and is the default tile; `default` marks the checkpoint that its
    task's name stands for; `bundled` ones lie inside the package.
    `effort` is one of `EFFORTS`: what --effort asks for.
    """

    name: str = _must_be(_NAME)
    task: str = _must_be(_TASK)
    config: dict[str, Any] = _must_be(_ANYTHING)
    file: str = _must_be(_FILE)
    # A download stops at the stated size, so no size may be without end.
    bytes: int = _must_be(_whole(1, 2**36))
    sha256: str = _must_be(_text("[0-9a-f]{64}", "64 lower-case hex digits"))
    training_patch: int = _must_be(_whole(8, 65536))  # as in a checkpoint's own description
    training_data: str = _must_be(_text())
    training_recipe: str = _must_be(_text())
    licence: str = _must_be(_text())
    default: bool = _must_be(_FLAG)
    scores: tuple[Score, ...] = _must_be(_LIST)
    bundled: bool = _must_be(_FLAG)
    hub: HubSource | None = _must_be(_ANYTHING)
    arch: str = _must_be(_ARCH, DEFAULT_NETWORK)
    effort: str = _must_be(_EFFORT, FAST)


@dataclass(frozen=True)
class Manifest:
    """All checkpoints that this version knows, in order, and the file that lists them."""

    path: Path
    checkpoints: tuple[Checkpoint, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the checkpoints' names."""
        return tuple(checkpoint.name for checkpoint in self.checkpoints)

    def by_name(self, name: str) -> Checkpoint:
        """Return the checkpoint called `name`; WeightsError listing the known names if none is."""
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
        """Return the checkpoint that `task` stands for.

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

    def with_effort(self, task: str, effort: str) -> Checkpoint:
        """Return the checkpoint of a task that takes this effort, its default where that does.

        Raises UsageError for an unknown task or effort, WeightsError for a task without one.
        """
        if effort not in EFFORTS:
            raise UsageError(
                f"There is no effort {effort!r}.", f"Use --effort {' or '.join(EFFORTS)}"
            )
        default = self.default_for(task)
        for checkpoint in (default, *self.checkpoints):
            if checkpoint.task == task and checkpoint.effort == effort:
                return checkpoint
        raise WeightsError(
            f"There is no {effort} checkpoint for {task} besides {default.name}.",
            "Leave out --effort; --ensemble is better, too, and takes four times as long",
        )

    def by_sha256(self, sha256: str) -> Checkpoint | None:
        """Return the checkpoint whose file has this hash, or None."""
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
    found = _fields(document, _MANIFEST, path.name, optional="$schema")
    checkpoints = tuple(
        _checkpoint(entry, f"{path.name}, checkpoint {index + 1}")
        for index, entry in enumerate(found["checkpoints"])
    )
    _check_together(checkpoints, path.name)
    return Manifest(path, checkpoints)


def _checkpoint(value: object, where: str) -> Checkpoint:
    if isinstance(value, dict) and "name" in value and _NAME.accepts(value["name"]):
        where = f"{where} ({value['name']})"
    found = _fields(value, _rules(Checkpoint, value), where)
    arch = found.get("arch", DEFAULT_NETWORK)
    found["config"] = _config(arch, found["config"], f"{where}, config")
    found["scores"] = tuple(
        Score(**_fields(item, _rules(Score, item), f"{where}, scores, item {number}"))
        for number, item in enumerate(found["scores"], 1)
    )
    if (hub := found["hub"]) is not None:
        found["hub"] = HubSource(**_fields(hub, _rules(HubSource, hub), f"{where}, hub"))
    return Checkpoint(**found)


def _config(arch: str, value: object, where: str) -> dict[str, Any]:
    """Return a network's configuration: what its `to_dict` writes, and may write.

    Types only: which combinations make a network is the network's own knowledge.
    """
    kind = NETWORKS[arch].config_type
    written = kind().to_dict() | (value if isinstance(value, dict) else {})
    rules = {field.name: _rule_of(field) for field in fields(kind) if field.name in written}
    return _fields(value, rules, where)


def _rule_of(field: "Field[Any]") -> "_Rule":
    """Return what a field of a network's configuration must be."""
    kinds = get_args(field.type) if isinstance(field.type, UnionType) else (field.type,)
    rules = [_rule_for(kind, field.metadata.get("least")) for kind in kinds if kind is not NoneType]
    return _Rule(
        " or ".join(rule.expected for rule in rules),
        lambda value: any(rule.accepts(value) for rule in rules),
    )


def _rule_for(kind: Any, least: int | None) -> "_Rule":  # noqa: ANN401 - a type, or tuple[int, ...]
    """Return what a value of a type must be; whole numbers are at least `least` if told."""
    if get_origin(kind) is tuple:
        return _wholes(least or 0)
    if kind is int:
        return _whole(least or 1)
    if kind is str:
        return _text()
    return _FLAG if kind is bool else _NUMBER


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


def _rules(kind: type, value: object) -> dict[str, _Rule]:
    """Return the rules of a dataclass's fields that an object has, or must have."""
    given = value if isinstance(value, dict) else {}
    asked = (field for field in fields(kind) if field.default is MISSING or field.name in given)
    return {field.name: field.metadata["rule"] for field in asked}


def _fields(
    value: object, rules: Mapping[str, _Rule], where: str, optional: str = ""
) -> dict[str, Any]:
    """Return an object's fields, those of `rules` and no others; WeightsError says which is wrong.

    A field that nobody knows is most likely a typing slip; one called `optional` is passed over.
    """
    if not isinstance(value, dict):
        raise WeightsError(f"{where}: must be an object, not {shorten(value)}.")
    for key, rule in rules.items():
        if key not in value:
            raise WeightsError(f"{where}: {key} must be present, but is missing.")
        if not rule.accepts(value[key]):
            found = shorten(value[key])
            raise WeightsError(f"{where}: {key} must be {rule.expected}, but is {found}.")
    if unknown := sorted(set(value) - set(rules) - {optional}):
        names = ", ".join(map(shorten, unknown[:5]))
        raise WeightsError(f"{where}: unknown field {names}.")
    return {key: value[key] for key in rules}
