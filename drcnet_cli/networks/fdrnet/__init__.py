"""FDR-Net (ECCV 2020): several distortions at once, taken apart in the channels of its features."""

from typing import TYPE_CHECKING

from drcnet_cli.networks.architecture import Architecture
from drcnet_cli.networks.fdrnet.config import FDRNetConfig

if TYPE_CHECKING:
    from drcnet_cli.networks.fdrnet.network import FDRNet


def _load_type() -> "type[FDRNet]":
    from drcnet_cli.networks.fdrnet.network import FDRNet

    return FDRNet


FDRNET = Architecture(
    name="fdrnet",
    title="FDR-Net",
    config_type=FDRNetConfig,
    load_type=_load_type,
    begin_training=lambda network: network.begin_at_input(),
)
