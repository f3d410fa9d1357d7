"""State dicts of the released DRCNet code, with our names.

Width and depth are read from them; what they do not hold (threshold, delta, the levels with the
spatial filter) is the caller's to say.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.text import shorten

RELEASED_THRESHOLD = 0.8
RELEASED_DELTA = 1e-4
RELEASED_FILTER_LEVELS = (0, 4)  # first and last, as `hin_position_left` and `hin_position_right`

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


def sniff_size(released: Mapping[str, Tensor]) -> tuple[int, int]:
    """Read (width, depth) of a released state dict; raise CheckpointFormatError if it is none."""
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


def _rename(name: str) -> str:
    for pattern, replacement in _RENAMES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return name


def _is_unused_norm(name: str, config: DRCNetConfig) -> bool:
    match = re.match(r"down_path_[12]\.(\d+)\.norm\.", name)
    return bool(match) and int(match[1]) not in (config.filter_levels or ())
