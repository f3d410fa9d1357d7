"""Convert the released code's checkpoints (PyTorch pickles) to this package's safetensors.

Accepted: a state dict of the released DRCNet, bare or under `params`, `params_ema` (BasicSR) or
`state_dict`, with or without `module.` prefixes. Width and depth are read from it; what it does not
hold (threshold, delta, the levels with the spatial filter) is the caller's to say.
"""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.networks.checkpoint import CheckpointInfo, save_checkpoint
from drcnet_cli.networks.drcnet.network import DRCNet, DRCNetConfig
from drcnet_cli.networks.pth import read_state_dict
from drcnet_cli.tasks import TASKS
from drcnet_cli.text import shorten

RELEASED_THRESHOLD = 0.8
RELEASED_DELTA = 1e-4
RELEASED_FILTER_LEVELS = (0, 4)  # first and last, as `hin_position_left` and `hin_position_right`

# In the order in which they are looked for: an averaged (EMA) model is the better one.
_CONTAINERS = ("params_ema", "params", "state_dict")

# Released names -> ours. Decoder and skip lists run deepest level first in both.
_RENAMES = (
    (r"^conv_0([12])\.", r"shallow\1."),
    (r"^down_path_([12])\.(\d+)\.downsample\.", r"encoder\1.downs.\2."),
    (r"^down_path_([12])\.(\d+)\.conv_1\.", r"encoder\1.blocks.\2.spatial."),
    (r"^down_path_([12])\.(\d+)\.conv_2\.", r"encoder\1.blocks.\2.energy."),
    (r"^down_path_([12])\.(\d+)\.norm\.sa\.conv1\.", r"encoder\1.blocks.\2.norm.map.response."),
    (r"^down_path_([12])\.(\d+)\.norm\.sa\.(gamma|beta)_conv\.",
     r"encoder\1.blocks.\2.norm.map.\3."),
    (r"^down_path_([12])\.(\d+)\.norm\.rn\.bn_norm\.", r"encoder\1.blocks.\2.norm.norm."),
    (r"^down_path_([12])\.(\d+)\.csff_enc\.", r"encoder\1.blocks.\2.fuse_encoder."),
    (r"^down_path_([12])\.(\d+)\.csff_dec\.", r"encoder\1.blocks.\2.fuse_decoder."),
    (r"^down_path_([12])\.(\d+)\.identity\.", r"encoder\1.blocks.\2.identity."),
    (r"^up_path_([12])\.(\d+)\.up\.", r"decoder\1.ups.\2."),
    (r"^up_path_([12])\.(\d+)\.conv_block\.identity\.", r"decoder\1.blocks.\2.identity."),
    (r"^up_path_([12])\.(\d+)\.conv_block\.conv_([12])\.", r"decoder\1.blocks.\2.conv\3."),
    (r"^skip_conv_([12])\.(\d+)\.", r"decoder\1.skips.\2."),
    (r"^sam12\.conv1\.", "sam.features."),
    (r"^sam12\.conv2\.", "sam.to_image."),
    (r"^sam12\.conv3\.", "sam.gate."),
    (r"^cat12\.", "merge."),
    (r"^last\.", "to_residual."),
)  # fmt: skip


def read_released(path: Path) -> dict[str, Tensor]:
    """Read the state dict of a released-format file, without running any code it may hold.

    Raises CheckpointFormatError for anything but a dictionary of tensors.
    """
    advice = "Give a checkpoint of the released DRCNet code: a .pth file with a state dict."
    tensors = read_state_dict(path, _CONTAINERS, advice)
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def sniff_size(released: Mapping[str, Tensor]) -> tuple[int, int]:
    """Give (width, depth) of a released state dict; raise CheckpointFormatError if it is none."""
    levels = {
        int(match[1]) for name in released if (match := re.match(r"down_path_1\.(\d{1,3})\.", name))
    }
    first = released.get("conv_01.weight")
    if first is None or first.ndim != 4 or not levels:
        raise CheckpointFormatError(
            "The state dict is not DRCNet's: `conv_01.weight` or `down_path_1` is missing.",
            "Only checkpoints of the released DRCNet code can be converted.",
        )
    return first.shape[0], max(levels) + 1


def convert_state(
    released: Mapping[str, Tensor],
    *,
    threshold: float = RELEASED_THRESHOLD,
    delta: float = RELEASED_DELTA,
    filter_levels: tuple[int, int] = RELEASED_FILTER_LEVELS,
) -> tuple[DRCNetConfig, dict[str, Tensor]]:
    """Turn a released state dict into our configuration and state dict.

    `filter_levels` is (first, last), clipped to the levels there are. Normalisation weights that
    the released code keeps on levels without the filter are dropped. Raises CheckpointFormatError
    naming the first missing, unknown or misshapen tensor.
    """
    width, depth = sniff_size(released)
    first, last = filter_levels
    config = DRCNetConfig(
        width=width,
        depth=depth,
        threshold=threshold,
        delta=delta,
        filter_levels=tuple(level for level in range(depth) if first <= level <= last),
    )
    with torch.device("meta"):
        expected = {name: value.shape for name, value in DRCNet(config).state_dict().items()}
    state = {}
    for name, value in released.items():
        ours = _rename(name)
        if ours in expected:
            if value.shape != expected[ours] or not value.is_floating_point():
                raise CheckpointFormatError(
                    f"Tensor {name} is of {value.dtype} and shape {tuple(value.shape)}, not of "
                    f"floating point and shape {tuple(expected[ours])}."
                )
            state[ours] = value
        elif not _is_unused_norm(name, config):
            raise CheckpointFormatError(f"Tensor {shorten(name)} is not part of DRCNet.")
    missing = sorted(set(expected) - set(state))
    if missing:
        raise CheckpointFormatError(f"The state dict lacks {missing[0]} ({len(missing)} missing).")
    return config, state


def convert_file(
    source: Path,
    destination: Path,
    *,
    threshold: float = RELEASED_THRESHOLD,
    delta: float = RELEASED_DELTA,
    filter_levels: tuple[int, int] = RELEASED_FILTER_LEVELS,
    name: str = "",
    task: str | None = None,
    training_patch: int | None = None,
    provenance: Mapping[str, str] | None = None,
    half: bool = True,
    overwrite: bool = False,
) -> CheckpointInfo:
    """Convert a released-format file; the result records its source's name and sha256.

    `provenance` adds facts of the caller's (licence, training data). `half` stores
    float16. Raises CheckpointFormatError for a bad source, UsageError if the destination is there
    already and `overwrite` is not set, is not named .safetensors, or cannot be written.
    """
    if destination.suffix != ".safetensors":
        raise UsageError(
            f"The output {destination} is not named .safetensors.",
            f"Use {destination.with_suffix('.safetensors')}",
        )
    if destination.exists() and not overwrite:
        raise UsageError(f"{destination} exists already.", "Use --overwrite to replace it")
    if task is not None and task not in TASKS:
        raise UsageError(f"Unknown task {task!r}.", f"Use one of {', '.join(TASKS)}")
    released = read_released(source)
    try:
        config, state = convert_state(
            released, threshold=threshold, delta=delta, filter_levels=filter_levels
        )
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{source}: {error.message}", error.hint) from error
    facts = {
        **(provenance or {}),
        "converted_from": source.name,
        "source_sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    info = CheckpointInfo(
        config=config,
        name=name or destination.stem,
        task=task,
        training_patch=training_patch,
        provenance=facts,
    )
    try:
        save_checkpoint(destination, state, info, dtype=torch.float16 if half else torch.float32)
    except OSError as error:
        raise UsageError(
            f"{destination} cannot be written: {error.strerror}.", "Give another output"
        ) from error
    return info


def _rename(name: str) -> str:
    for pattern, replacement in _RENAMES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name


def _is_unused_norm(name: str, config: DRCNetConfig) -> bool:
    match = re.match(r"down_path_[12]\.(\d+)\.norm\.", name)
    return bool(match) and int(match[1]) not in (config.filter_levels or ())
