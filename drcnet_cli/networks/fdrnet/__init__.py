"""FDR-Net (ECCV 2020): several distortions at once, taken apart in the channels of its features."""

from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any

from drcnet_cli.networks.architecture import Architecture, count_parts
from drcnet_cli.networks.fdrnet.config import FDRNetConfig

if TYPE_CHECKING:
    from torch import Tensor

    from drcnet_cli.networks.fdrnet.network import FDRNet


def _load_type() -> "type[FDRNet]":
    from drcnet_cli.networks.fdrnet.network import FDRNet

    return FDRNet


def _read_sizes(state: "Mapping[str, Tensor]") -> dict[str, Any]:
    channels, pixel = state["shallow.weight"].shape[:2]
    lower, upper = "phases.0.lower.", "phases.0.upper."
    disentangle = lower + "disentangle.0.conv.weight" in state
    return {
        "channels": channels,
        "layers": count_parts(state, lower + ("disentangle." if disentangle else "blocks.")),
        "phases": count_parts(state, "phases."),
        "process_blocks": count_parts(state, lower + "process.blocks."),
        "auxiliary_blocks": count_parts(state, upper) or 1,
        "disentangle": disentangle,
        "auxiliary": count_parts(state, upper) > 0,
        "shrink": isqrt(pixel // 3),
    }


FDRNET = Architecture(
    name="fdrnet",
    title="FDR-Net",
    config_type=FDRNetConfig,
    load_type=_load_type,
    begin_training=lambda network: network.begin_at_input(),
    read_sizes=_read_sizes,
)
