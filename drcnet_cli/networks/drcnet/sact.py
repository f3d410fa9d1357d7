"""SACT (Figurnov et al., CVPR 2017): residual units that each pixel goes through until it halts."""

import torch
from torch import Tensor, nn

from drcnet_cli.networks.drcnet.blocks import SLOPE, ResBlock
from drcnet_cli.networks.layers import conv3x3

# SACT's paper has 3 to 23 in a row; with 7 DRCNet comes nearest to the size of its table 4.
UNITS = 7
_ENOUGH = 1 - 0.01  # sum of halting scores at which a pixel halts
_FIRST_BIAS = -3.0  # scores begin low, so that all units learn


class SACT(nn.Module):
    """UNITS residual units, of whose results each pixel gets a mean of its own.

    N x channels_in x H x W -> N x channels_out x H x W. After each unit a pixel adds a halting
    score; where the sum reaches 0.99 it halts: later units leave its value as it is, and see it so
    beside pixels that go on. Its result is the mean of its values after each unit, weighted by the
    scores, the last by what is left to 1. All units are computed everywhere, as in its released
    code. The ponder cost is left out of the loss: tau is 0.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        first: list[nn.Module] = [ResBlock(channels_in, channels_out)]
        more = [_residual(channels_out) for _ in range(UNITS - 1)]
        self.units = nn.ModuleList(first + more)
        self.scores = nn.ModuleList(HaltingScore(channels_out) for _ in range(UNITS - 1))

    def forward(self, x: Tensor) -> Tensor:
        """Go through the units; weights are counted in float32."""
        x = self.units[0](x)
        left = x.new_ones(len(x), 1, *x.shape[2:], dtype=torch.float32)  # N x 1 x H x W
        goes_on = torch.ones_like(left, dtype=torch.bool)
        out = torch.zeros_like(x)
        for unit, score in zip(self.units[1:], self.scores, strict=True):
            scored = score(x).float()
            halts = goes_on & (1 - left + scored >= _ENOUGH)
            weight = torch.where(halts, left, scored) * goes_on
            out = out + weight.to(x.dtype) * x
            left = left - torch.where(halts, 0, weight)
            goes_on = goes_on & ~halts
            x = x + unit(x) * goes_on
        return out + (left * goes_on).to(x.dtype) * x


class HaltingScore(nn.Module):
    """How much nearer to its halt a unit brings each pixel: N x C x H x W -> N x 1 x H x W.

    A sigmoid of a 3x3 convolution plus a linear function of the channels' means.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.local = conv3x3(channels, 1)
        self.whole = nn.Linear(channels, 1, bias=False)
        if self.local.bias is not None:
            nn.init.constant_(self.local.bias, _FIRST_BIAS)

    def forward(self, x: Tensor) -> Tensor:
        """Score each pixel, 0..1."""
        return torch.sigmoid(self.local(x) + self.whole(x.mean((2, 3)))[..., None, None])


def _residual(channels: int) -> nn.Sequential:
    """Make what a unit adds: the two activated convolutions of `ResBlock`."""
    return nn.Sequential(
        conv3x3(channels, channels),
        nn.LeakyReLU(SLOPE),
        conv3x3(channels, channels),
        nn.LeakyReLU(SLOPE),
    )
