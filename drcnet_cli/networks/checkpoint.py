"""Checkpoints: one safetensors file holds the weights, the configuration and where they came from.

The safetensors metadata has one key, `drcnet`, with this JSON object:

    {"format": 1, "arch": "drcnet", "name": "drcnet-s-denoise", "task": "denoise",
     "config": {...DRCNetConfig...}, "training_patch": 64, "provenance": {...anything...}}

`arch` is a name of `NETWORKS`; without one it is DRCNet's. `prototypes` may follow, of a network
that tells what is wrong with a picture.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.networks import DEFAULT_NETWORK, NETWORKS, Architecture, NetworkConfig
from drcnet_cli.networks.damage import describe_damage
from drcnet_cli.networks.prototypes import Prototypes
from drcnet_cli.tasks import ANY_DAMAGE
from drcnet_cli.text import shorten

FORMAT = 1
METADATA_KEY = "drcnet"
_LONGEST_LINE = 200  # characters of a name
_DTYPES = {"F16", "BF16", "F32", "F64"}


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself.

    `training_patch`: side in pixels of the last patches it was trained on, which the default tile
    follows; None if unknown. `provenance`: source, data, steps, licence, scores: free-form JSON.
    `prototypes`: the kinds of damage in the latent space of the network's encoder.
    """

    config: NetworkConfig
    name: str = ""
    task: str | None = None
    training_patch: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    arch: str = DEFAULT_NETWORK
    prototypes: Prototypes | None = None

    def __post_init__(self) -> None:
        """Refuse, before it is written too, a training patch that no tile could follow."""
        patch = self.training_patch
        if patch is not None and (type(patch) is not int or not 8 <= patch <= 65536):
            raise CheckpointFormatError(
                f"The checkpoint's training_patch cannot be {shorten(patch)}."
            )

    @property
    def architecture(self) -> Architecture:
        """What this kind of network offers."""
        return NETWORKS[self.arch]

    def check_task(self, task: str | None) -> None:
        """Raise UsageError if this is made for another task than the one named."""
        if task is not None and self.task not in (None, task, ANY_DAMAGE):
            raise UsageError(
                f"{self.name or 'The checkpoint'} is made for {self.task}, not for {task}.",
                "Leave out either the task or the checkpoint.",
            )

    def to_json(self) -> str:
        """Return the metadata's JSON text."""
        values = {
            "format": FORMAT,
            "arch": self.arch,
            "name": self.name,
            "task": self.task,
            "config": self.config.to_dict(),
            "training_patch": self.training_patch,
            "provenance": dict(self.provenance),
        }
        if self.prototypes is not None:
            values["prototypes"] = self.prototypes.to_dict()
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "CheckpointInfo":
        """Read the metadata's JSON text; raise CheckpointFormatError if it is not ours."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:  # ValueError: numbers of 5000 digits too
            raise CheckpointFormatError("The checkpoint's description is not JSON.") from error
        if not isinstance(values, dict) or not isinstance(values.get("config"), dict):
            raise CheckpointFormatError("The checkpoint's description has no configuration.")
        arch = values.get("arch", DEFAULT_NETWORK)
        if values.get("format") != FORMAT or not isinstance(arch, str) or arch not in NETWORKS:
            raise CheckpointFormatError(
                f"The checkpoint has format {shorten(values.get('format'))}, architecture "
                f"{shorten(arch)}; this version reads format {FORMAT}, "
                f"{', '.join(NETWORKS)}.",
                "It may come from a newer version: pip install --upgrade drcnet",
            )
        provenance, task = values.get("provenance"), values.get("task")
        prototypes = values.get("prototypes")
        return cls(
            config=NETWORKS[arch].config_type.from_dict(values["config"]),
            name=_line(values.get("name")),
            task=_line(task) if isinstance(task, str) else None,
            training_patch=values.get("training_patch"),
            provenance=provenance if isinstance(provenance, dict) else {},
            arch=arch,
            prototypes=Prototypes.from_dict(prototypes) if isinstance(prototypes, dict) else None,
        )


def _line(value: object) -> str:
    """Return a text from a file as one short line: it is shown in terminals and reports."""
    text = value[:_LONGEST_LINE] if isinstance(value, str) else ""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def save_checkpoint(
    path: Path,
    state: Mapping[str, Tensor],
    info: CheckpointInfo,
    *,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write a checkpoint atomically, its values rounded to `dtype`.

    Raises CheckpointFormatError if a value is not finite in that type: such a file would only
    give black pictures later.
    """
    tensors = {name: value.detach().to("cpu", dtype).contiguous() for name, value in state.items()}
    _refuse_non_finite(tensors, path)
    with atomic_write(path) as temporary:
        dump_tensors(temporary, tensors, {METADATA_KEY: info.to_json()})


def dump_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write contiguous tensors as safetensors into `path`, not atomically; raises OSError.

    All of the file is in memory for the while: safetensors' own `save_file` raises SafetensorError
    where a disk is full, and leaves files of unknown names (`.tmpwq9eZT`) when it is killed.
    """
    path.write_bytes(save(dict(tensors), dict(metadata)))


def read_info(path: Path) -> CheckpointInfo:
    """Read a checkpoint's description only; raise CheckpointFormatError for any other file."""
    with _open(path) as file:
        return _info(file, path)


def match_tensors(path: Path, state: Mapping[str, Tensor]) -> CheckpointInfo | None:
    """Read a checkpoint's description if these are its tensors, in whatever number type.

    Raises CheckpointFormatError for any other file.
    """
    with _open(path) as file:
        if set(file.keys()) != set(state):
            return None
        for name, value in state.items():
            own = file.get_tensor(name)
            if own.shape != value.shape or not torch.equal(own.to(value.dtype), value.cpu()):
                return None
        return _info(file, path)


def load_checkpoint(path: Path) -> tuple[nn.Module, CheckpointInfo]:
    """Load a checkpoint as a float32 network on the CPU, in eval mode, with its description.

    Raises CheckpointFormatError for a file that is no such checkpoint, whose tensors are not those
    of its configuration, or whose values are not finite.
    """
    with _open(path) as file:
        info = _info(file, path)
        with torch.device("meta"):  # initialisation would cost more than loading
            model = info.architecture.build(info.config)
        expected = model.state_dict()
        _check_names(set(file.keys()), set(expected), path)
        state = {}
        for name, parameter in expected.items():
            # Shapes are compared before anything is read, so a lying header allocates nothing.
            entry = file.get_slice(name)
            shape, dtype = tuple(entry.get_shape()), entry.get_dtype()
            if shape != tuple(parameter.shape) or dtype not in _DTYPES:
                raise CheckpointFormatError(
                    f"{path}: tensor {name} is of type {dtype} and shape {shorten(shape)}, not of "
                    f"floating point and shape {tuple(parameter.shape)}."
                )
            state[name] = file.get_tensor(name).float()
    _refuse_non_finite(state, path)
    model.load_state_dict(state, assign=True)
    return model.eval(), info


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file that other code wrote.

    Raises CheckpointFormatError for a file that cannot be read or is a checkpoint of this package.
    """
    with _open(path) as file:
        if METADATA_KEY in (file.metadata() or {}):
            raise CheckpointFormatError(
                f"{path} is a checkpoint of this package already.", f"Use it: --weights {path}"
            )
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping


def _open(path: Path) -> safe_open:
    advice = (
        "Checkpoints are .safetensors files of this package; "
        "`drcnet convert IN.pth OUT.safetensors` makes one from the released code's."
    )
    if not path.is_file():
        raise CheckpointFormatError(f"There is no checkpoint file {path}.", advice)
    try:
        return safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        what = f"is not a safetensors file ({shorten(str(error))[1:-1]})."
        what, hint = describe_damage(path) or (what, advice)
        raise CheckpointFormatError(f"{path} {what}", hint) from error


def _info(file: safe_open, path: Path) -> CheckpointInfo:
    text = (file.metadata() or {}).get(METADATA_KEY)
    if text is None:
        raise CheckpointFormatError(
            f"{path} is a safetensors file, but not a checkpoint of this package.",
            "Its metadata has no `drcnet` entry; was it made by `drcnet train` or `convert`?",
        )
    try:
        return CheckpointInfo.from_json(text)
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{path}: {error.message}", error.hint) from error


def _check_names(found: set[str], expected: set[str], path: Path) -> None:
    for problem, names in (("lacks", expected - found), ("has an unknown", found - expected)):
        if names:
            raise CheckpointFormatError(
                f"{path} {problem} tensor: {shorten(min(names))} ({len(names)} such)."
            )


def _refuse_non_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise CheckpointFormatError(f"{path}: tensor {name} has values that are not finite.")
