"""DDF (Zhou, Jampani, Pi, Liu, Yang, CVPR 2021): a filter of a pixel's times one of a channel's."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQUEEZE = 0.2  # hidden units of the channel filters' branch, as a share of the channels
SIDE = 3
TAPS = SIDE * SIDE
_GAIN = math.sqrt(2) / SIDE  # so that filters of these deviations neither grow nor shrink features
_EPS = 1e-10


class DecoupledDynamicFilter(nn.Module):
    """Each value is filtered by the product of its pixel's and its channel's 3x3 filter.

    N x C x H x W -> the same shape. A 1x1 convolution makes the filter of each pixel; channel
    means, through a hidden layer, those of each channel. Both are normalised to mean 0 and a
    deviation: a constant for pixels, learned for each channel and tap, as in its released
    code, which has no means to add either.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, int(SQUEEZE * channels))
        self.spatial = nn.Conv2d(channels, TAPS, 1)
        self.squeeze = nn.Linear(channels, hidden)
        self.channel = nn.Linear(hidden, channels * TAPS)
        self.deviation = nn.Parameter(_GAIN * torch.randn(channels, TAPS))

    def forward(self, x: Tensor) -> Tensor:
        """Filter x, tap by tap; outside of the picture there are zeros."""
        spatial = _standardised(self.spatial(x), 1) * _GAIN  # N x 9 x H x W
        hidden = F.relu(self.squeeze(x.mean((2, 3))))
        channel = self.channel(hidden).unflatten(1, (-1, TAPS))  # N x C x 9
        channel = _standardised(channel, 2) * self.deviation
        height, width = x.shape[2:]
        padded = F.pad(x.float(), (1, 1, 1, 1))
        out = torch.zeros_like(x, dtype=torch.float32)
        for tap in range(TAPS):
            top, left = divmod(tap, SIDE)
            moved = padded[:, :, top : top + height, left : left + width]
            out = out + moved * spatial[:, tap : tap + 1] * channel[:, :, tap, None, None]
        return out.to(x.dtype)


class DDF(nn.Sequential):
    """A 1x1 convolution that mixes channels, which the filter itself keeps apart, and the filter.

    N x channels_in x H x W -> N x channels_out x H x W.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 1), DecoupledDynamicFilter(channels_out)
        )


def _standardised(filters: Tensor, taps: int) -> Tensor:
    """Give filters mean 0 and deviation 1 along their dimension `taps`; in float32."""
    filters = filters.float()
    centred = filters - filters.mean(taps, keepdim=True)
    return centred / (centred.std(taps, keepdim=True) + _EPS)
