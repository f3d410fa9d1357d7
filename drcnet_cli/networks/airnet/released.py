"""Turn state dicts of AirNet's released code into this package's names.

Training leaves three things in them that restoring has no use for, and they are dropped: the key
encoder, the queue of keys, and the counts of batches of the normalisations.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.airnet.network import AirNet
from drcnet_cli.text import shorten

_ENCODER = "E.E.encoder_q."
_FIRST = f"{_ENCODER}E_pre.backbone.0.weight"
_DROPPED = re.compile(r"^E\.E\.(encoder_k\.|queue(_ptr)?$)|\.num_batches_tracked$")
_BLOCK = r"^R\.body\.(\d+)\.body\.(\d+)"

# Released names -> ours. The group's and the body's last convolutions are known by their numbers.
_RENAMES = (
    (r"^E\.E\.encoder_q\.E_pre\.", r"encoder.first."),
    (r"^E\.E\.encoder_q\.E\.0\.", r"encoder.second."),
    (r"^E\.E\.encoder_q\.E\.1\.", r"encoder.third."),
    (r"^E\.E\.encoder_q\.mlp\.0\.", r"encoder.hidden."),
    (r"^E\.E\.encoder_q\.mlp\.2\.", r"encoder.project."),
    (r"^(encoder\.\w+)\.backbone\.0\.", r"\1.conv1."),
    (r"^(encoder\.\w+)\.backbone\.1\.", r"\1.norm1."),
    (r"^(encoder\.\w+)\.backbone\.3\.", r"\1.conv2."),
    (r"^(encoder\.\w+)\.backbone\.4\.", r"\1.norm2."),
    (r"^(encoder\.\w+)\.shortcut\.0\.", r"\1.shortcut."),
    (r"^(encoder\.\w+)\.shortcut\.1\.", r"\1.shortcut_norm."),
    (r"^R\.head\.0\.", r"restorer.shallow."),
    (r"^R\.tail\.0\.", r"restorer.to_image."),
    (rf"{_BLOCK}\.conv([12])\.", r"restorer.groups.\1.blocks.\2.conv\3."),
    (rf"{_BLOCK}\.dgm([12])\.dcn\.conv_offset_mask\.",
     r"restorer.groups.\1.blocks.\2.module\3.deform.places."),
    (rf"{_BLOCK}\.dgm([12])\.dcn\.", r"restorer.groups.\1.blocks.\2.module\3.deform."),
    (rf"{_BLOCK}\.dgm([12])\.sft\.conv_(gamma|beta)\.0\.",
     r"restorer.groups.\1.blocks.\2.module\3.modulate.\g<4>1."),
    (rf"{_BLOCK}\.dgm([12])\.sft\.conv_(gamma|beta)\.2\.",
     r"restorer.groups.\1.blocks.\2.module\3.modulate.\g<4>2."),
)  # fmt: skip


def is_released_airnet(released: Mapping[str, Tensor]) -> bool:
    """Tell whether a state dict (no `module.` prefixes) is of AirNet's released code."""
    return _FIRST in released and "R.head.0.weight" in released


def sniff_config(released: Mapping[str, Tensor]) -> AirNetConfig:
    """Return the sizes of a released state dict; raise CheckpointFormatError if it is none."""
    if not is_released_airnet(released):
        raise CheckpointFormatError(
            "The state dict is not AirNet's: `R.head.0.weight` or `E.E.encoder_q` is missing.",
            "Only checkpoints of the released code can be converted.",
        )
    places = [match for name in released if (match := re.match(_BLOCK + r"\.conv1\.", name))]
    widths = []
    for block in ("E_pre", "E.0", "E.1"):
        first = released.get(f"{_ENCODER}{block}.backbone.0.weight")
        widths.append(first.shape[0] if first is not None and first.ndim else 0)
    head = released["R.head.0.weight"]
    return AirNetConfig(
        features=head.shape[0] if head.ndim else 0,
        groups=max((int(match[1][:3]) for match in places), default=-1) + 1,
        blocks=max((int(match[2][:3]) for match in places), default=-1) + 1,
        encoder_widths=(widths[0], widths[1], widths[2]),
        deformable=any(".dcn." in name for name in released),
        modulation=any(".sft." in name for name in released),
    )


def convert_state(released: Mapping[str, Tensor]) -> tuple[AirNetConfig, dict[str, Tensor]]:
    """Turn a released state dict into our configuration and state dict.

    Raises CheckpointFormatError naming the first missing, unknown or misshapen tensor.
    """
    config = sniff_config(released)
    with torch.device("meta"):
        expected = {name: value.shape for name, value in AirNet(config).state_dict().items()}
    state = {}
    for name, value in released.items():
        if _DROPPED.search(name):
            continue
        ours = _rename(name, config)
        if ours not in expected:
            raise CheckpointFormatError(f"Tensor {shorten(name)} is not part of AirNet.")
        if value.shape != expected[ours] or not value.is_floating_point():
            raise CheckpointFormatError(
                f"Tensor {name} is of {value.dtype} and shape {tuple(value.shape)}, not of "
                f"floating point and shape {tuple(expected[ours])}."
            )
        state[ours] = value
    missing = sorted(set(expected) - set(state))
    if missing:
        raise CheckpointFormatError(f"The state dict lacks {missing[0]} ({len(missing)} missing).")
    return config, state


def _rename(name: str, config: AirNetConfig) -> str:
    name = re.sub(rf"^R\.body\.{config.groups}\.", "restorer.merge.", name)
    name = re.sub(rf"^R\.body\.(\d+)\.body\.{config.blocks}\.", r"restorer.groups.\1.conv.", name)
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
