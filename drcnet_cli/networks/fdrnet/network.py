"""FDR-Net: disentangled features for hybrid-distorted images (Li et al., ECCV 2020).

Phases of two branches. The lower one takes the distortions apart, each into channels of its own, by
convolutions and divisive normalisation (FDM), processes the channels and puts them together by the
inverse (FAM). The upper one carries past what that loses. There is no public code: what the paper
leaves open is ours, and said to be so.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.networks.fdrnet.config import FDRNetConfig
from drcnet_cli.networks.layers import conv3x3, pad_to_multiple

REDUCTION, SLOPE = 8, 0.1  # of channel attention: ours
LEAST_OFFSET = 1e-2  # of the normalisation, so that no channel is amplified more than tenfold: ours


class DivisiveNorm(nn.Module):
    """Gain-control-based normalisation of channels (eq. 4), and its inverse (eq. 7).

    Weights are the squares of what is learned, w_ji >= 0, and offsets squares above `LEAST_OFFSET`,
    as in the normalisation of learned compression (Balle et al. 2016). They begin at about 0.1
    for a channel itself, 0.001 for others, and 1. Squares, sums and roots are float32's.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight_root = nn.Parameter(torch.full((channels, channels), 1e-3**0.5))
        self.offset_root = nn.Parameter(torch.full((channels,), (1 - LEAST_OFFSET) ** 0.5))
        with torch.no_grad():
            self.weight_root.fill_diagonal_(0.1**0.5)

    def root(self, x: Tensor) -> Tensor:
        """Return sqrt(sum_j w_ji x_j^2 + b_i) of N x C x H x W: the same shape, float32."""
        # Out of autocast, which would do the sum in half precision.
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight_root.float().square()[..., None, None]
            offset = self.offset_root.float().square() + LEAST_OFFSET
            return F.conv2d(x.float().square(), weight, offset).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        """Divide each channel by its root (eq. 4): N x C x H x W to the same."""
        return (x.float() / self.root(x)).to(x.dtype)

    def inverse(self, x: Tensor, rounds: int = 1) -> Tensor:
        """Multiply each channel by its root: N x C x H x W to the same.

        One round is eq. 7, which has the root of the normalised features in it and not that of the
        features before. It is the first step of s = x * root(s) from s = x, and more `rounds` come
        as near as wanted to what `forward` made x of.
        """
        result = x.float()
        for _ in range(rounds):
            result = x.float() * self.root(result)
        return result.to(x.dtype)


class FDLayer(nn.Module):
    """Feature disentanglement: a 3x3 convolution and divisive normalisation (eq. 3 and 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels)
        self.norm = DivisiveNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Turn N x C x H x W into the same shape."""
        return self.norm(self.conv(x))


class FALayer(nn.Module):
    """Feature aggregation: an FD layer backwards, its inverse and then a convolution (eq. 7).

    Has its own weights, and the order is ours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = DivisiveNorm(channels)
        self.conv = conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Turn N x C x H x W into the same shape."""
        return self.conv(self.norm.inverse(x))


class ChannelAttention(nn.Module):
    """Weigh channels by their means over the picture, through two 1x1 convolutions and a sigmoid.

    Those of RCAN (Zhang et al. 2018), which the paper's name for it points to, but for the slope of
    the activation between: of so few units all may fall silent, and would stay so.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(4, channels // REDUCTION)
        self.squeeze = nn.Conv2d(channels, inner, 1)
        self.expand = nn.Conv2d(inner, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn N x C x H x W into the same shape."""
        mean = x.float().mean((2, 3), keepdim=True).to(x.dtype)
        return x * torch.sigmoid(self.expand(F.leaky_relu(self.squeeze(mean), SLOPE)))


class ResBlock(nn.Module):
    """Two 3x3 convolutions beside what comes in, with channel attention after them or without."""

    def __init__(self, channels: int, *, attention: bool = False) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.conv2 = conv3x3(channels, channels)
        self.attention = ChannelAttention(channels) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Turn N x C x H x W into the same shape."""
        return x + self.attention(self.conv2(F.relu(self.conv1(x))))


class Process(nn.Module):
    """Process disentangled features and choose among them by attention (PM and CA, eq. 6).

    Residual blocks with channel attention and a closing convolution, beside what comes in: ours.
    """

    def __init__(self, config: FDRNetConfig) -> None:
        super().__init__()
        channels = config.channels
        self.blocks = nn.Sequential(
            *(ResBlock(channels, attention=True) for _ in range(config.process_blocks))
        )
        self.conv = conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Turn N x C x H x W into the same shape."""
        return x + self.conv(self.blocks(x))


class Disentangled(nn.Module):
    """The lower branch: FDM, processing, FAM (figures 3 to 5)."""

    def __init__(self, config: FDRNetConfig) -> None:
        super().__init__()
        channels = config.channels
        self.disentangle = nn.ModuleList(FDLayer(channels) for _ in range(config.layers))
        self.process = Process(config)
        self.aggregate = nn.ModuleList(FALayer(channels) for _ in range(config.layers))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the aggregated and the disentangled features, both as N x C x H x W as x."""
        outputs = []
        for layer in self.disentangle:
            x = layer(x)
            outputs.append(x)
        disentangled = x
        x = self.process(x)
        # The last FD layer is undone first.
        for layer, output in zip(self.aggregate, reversed(outputs), strict=True):
            x = layer(x + output)
        return x, disentangled


class Entangled(nn.Module):
    """What stands in for the lower branch without FDM: as many convolutions in residual blocks."""

    def __init__(self, config: FDRNetConfig) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResBlock(config.channels) for _ in range(config.layers)))
        self.process = Process(config)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return features, and those before they are processed, both N x C x H x W as x."""
        features = self.blocks(x)
        return self.process(features), features


class Phase(nn.Module):
    """One phase (figure 5): two branches, fused, with two residuals from the phase before.

    One residual joins the lower branches, the other the fused features, as the pairs of dual
    residual networks do (Liu et al. 2019): which two the paper means is a reading of ours.
    """

    def __init__(self, config: FDRNetConfig) -> None:
        super().__init__()
        channels = config.channels
        self.lower = (Disentangled if config.disentangle else Entangled)(config)
        self.upper = None
        if config.auxiliary:
            self.upper = nn.Sequential(
                *(ResBlock(channels) for _ in range(config.auxiliary_blocks))
            )
        both = channels * (1 + config.auxiliary)
        self.attention = ChannelAttention(both)
        self.fuse = nn.Conv2d(both, channels, 1)

    def forward(self, x: Tensor, residual: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next phase's x and residual, and this one's disentangled features.

        All are N x C x H x W.
        """
        lower, disentangled = self.lower(x)
        lower = lower + residual
        both = lower if self.upper is None else torch.cat([lower, self.upper(x)], dim=1)
        return self.fuse(self.attention(both)) + x, lower, disentangled


class FDRNet(nn.Module):
    """The network; see `FDRNetConfig` for its sizes."""

    def __init__(self, config: FDRNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FDRNetConfig()
        pixel = 3 * config.shrink**2
        self.shallow = conv3x3(pixel, config.channels)
        self.phases = nn.ModuleList(Phase(config) for _ in range(config.phases))
        self.to_image = conv3x3(config.channels, pixel)

    def begin_at_input(self) -> None:
        """With `input_skip`, let the network begin by changing nothing; without, there's no such.

        Fresh weights would add noise to a picture that needs little.
        """
        if self.config.input_skip:
            nn.init.zeros_(self.to_image.weight)
            nn.init.zeros_(self.to_image.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, *, return_features: bool = False) -> Any:  # noqa: ANN401
        """Restore N x 3 x H x W in [0, 1], any H and W >= 1; the result is not clipped.

        `return_features` returns (image, what each phase's FDM makes: N x C x H' x W' each, H' and
        W' smaller by `shrink`), for the loss and for looking at them.
        """
        height, width = x.shape[2:]
        x = pad_to_multiple(x, self.config.multiple)
        # The layout that the convolutions of a CPU are fastest in.
        x = x.contiguous(memory_format=torch.channels_last)
        features = self.shallow(F.pixel_unshuffle(x, self.config.shrink))
        residual, found = features, []
        for phase in self.phases:
            features, residual, disentangled = phase(features, residual)
            found.append(disentangled)
        image = F.pixel_shuffle(self.to_image(features), self.config.shrink)
        image = (image + x if self.config.input_skip else image)[..., :height, :width]
        return (image, found) if return_features else image
