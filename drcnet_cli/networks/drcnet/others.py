"""What the paper's tables put in the place of its DFR module: `DRCNetConfig.block` names it.

`res` is table 5's base: the ResBlock that the decoders have. The others are table 4's dynamic
filters. CondConv and DDF take the place of that block's two convolutions, SACT goes on from it with
more units: where in the network they stood, the paper does not say.
"""

from collections.abc import Callable

from torch import Tensor, nn

from drcnet_cli.networks.drcnet import DFR, DRCNetConfig
from drcnet_cli.networks.drcnet.blocks import DFRBlock, EncoderBlock, ResBlock
from drcnet_cli.networks.drcnet.condconv import CondConv
from drcnet_cli.networks.drcnet.ddf import DDF
from drcnet_cli.networks.drcnet.sact import SACT

Maker = Callable[[int, int], nn.Module]  # of (channels_in, channels_out)


def _res_block_of(make: Maker) -> Maker:
    """Return what makes a ResBlock with something else for its two convolutions."""

    def build(channels_in: int, channels_out: int) -> nn.Module:
        block = ResBlock(channels_in, channels_out)
        block.add_module("conv1", make(channels_in, channels_out))
        block.add_module("conv2", make(channels_out, channels_out))
        return block

    return build


FILTERS: dict[str, Maker] = {
    "res": ResBlock,
    "sact": SACT,
    "condconv": _res_block_of(CondConv),
    "ddf": _res_block_of(DDF),
}


class OtherBlock(EncoderBlock):
    """A level of an encoder with one of FILTERS in it; arguments as `DFRBlock`'s."""

    def __init__(
        self, config: DRCNetConfig, level: int, channels_in: int, channels_out: int, fuses: bool
    ) -> None:
        super().__init__()
        self.filter = FILTERS[config.block](channels_in, channels_out)
        self._add_fusion(config, level, channels_out, fuses)

    def _filter(self, x: Tensor) -> Tensor:
        return self.filter(x)


def encoder_block(
    config: DRCNetConfig, level: int, channels_in: int, channels_out: int, fuses: bool
) -> EncoderBlock:
    """Make the block that a configuration names; `fuses`: it gets the first stage's features."""
    kind = DFRBlock if config.block == DFR else OtherBlock
    return kind(config, level, channels_in, channels_out, fuses)
