"""The released code's network, written plainly: what every speed ratio is measured against.

Each line of the paper is an operation here, in eager float32 and the contiguous layout: masks are
multiplied, both filled maps are built and normalised, branches are convolved and concatenated one
by one. It shares no code with `drcnet_cli.model`, so a faster package cannot move its own
yardstick; parameters have the package's names, so one state dict fits both.

N x 3 x H x W -> the same shape; H and W must be multiples of 2 ** (depth - 1). Region means are
per image (in the released code they are summed over the batch: equal for a batch of one).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.networks.drcnet import DRCNetConfig


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Build a 3x3 convolution that keeps height and width."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def simam(y: Tensor, delta: float) -> Tensor:
    """Weight by energy (paper eq. 8 and 9)."""
    squared = (y - y.mean((2, 3), keepdim=True)).pow(2)
    others = y.shape[2] * y.shape[3] - 1
    energy = squared / (4 * (squared.sum((2, 3), keepdim=True) / others + delta)) + 0.5
    return y * torch.sigmoid(energy)


class ResponseMap(nn.Module):
    """Channel mean and maximum -> response map, and its modulation."""

    def __init__(self) -> None:
        super().__init__()
        self.response = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.gamma = nn.Conv2d(1, 1, 7, padding=3)
        self.beta = nn.Conv2d(1, 1, 7, padding=3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give response, gamma, beta, each N x 1 x H x W."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], dim=1)
        response = torch.sigmoid(self.response(pooled))
        return response, self.gamma(response), self.beta(response)


class RegionNorm(nn.Module):
    """Fill each region with its mean, normalise the filled map, scale it, add the two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise N x C x H x W in both regions of the mask (N x 1 x H x W, 0 or 1)."""
        return self._region(x * mask, mask) + self._region(x * (1 - mask), 1 - mask)

    def _region(self, region: Tensor, mask: Tensor) -> Tensor:
        count = mask.sum((2, 3), keepdim=True)
        count = torch.where(count == 0, torch.ones_like(count), count)
        mean = region.sum((2, 3), keepdim=True) / count
        filled = region + (1 - mask) * mean
        pixels = mask.shape[2] * mask.shape[3]
        normalised = F.instance_norm(filled, weight=self.weight, bias=self.bias)
        return normalised * torch.sqrt(count / pixels)


class AdaptiveNorm(nn.Module):
    """Adaptive feature normalisation."""

    def __init__(self, channels: int, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.map = ResponseMap()
        self.norm = RegionNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by region, then modulate."""
        response, gamma, beta = self.map(x)
        mask = (response.detach() >= self.threshold).float()
        return self.norm(x, mask) * (1 + gamma) + beta


class DFRBlock(nn.Module):
    """Encoder block: spatial * energy + identity (+ cross-stage features)."""

    def __init__(
        self, config: DRCNetConfig, level: int, channels_in: int, channels: int, fuses: bool
    ) -> None:
        super().__init__()
        self.delta = config.delta
        self.spatial = conv3x3(channels_in, channels)
        filters = level in (config.filter_levels or ())
        self.norm = AdaptiveNorm(channels // 2, config.threshold) if filters else None
        self.energy = conv3x3(channels_in, channels)
        self.identity = nn.Conv2d(channels_in, channels, 1)
        if fuses:
            self.fuse_encoder = conv3x3(channels, channels)
            self.fuse_decoder = conv3x3(channels, channels)

    def forward(self, x: Tensor, fused: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """N x channels_in x H x W -> N x channels x H x W."""
        spatial = self.spatial(x)
        if self.norm is not None:
            first, second = torch.chunk(spatial, 2, dim=1)
            spatial = torch.cat([self.norm(first), second], dim=1)
        spatial = F.leaky_relu(spatial, 0.2)
        energy = F.leaky_relu(simam(self.energy(x), self.delta), 0.2)
        out = spatial * energy + self.identity(x)
        if fused is not None:
            out = out + self.fuse_encoder(fused[0]) + self.fuse_decoder(fused[1])
        return out


class ResBlock(nn.Module):
    """Two activated 3x3 convolutions beside a 1x1 convolution."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels_in, channels)
        self.conv2 = conv3x3(channels, channels)
        self.identity = nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x channels_in x H x W -> N x channels x H x W."""
        y = F.leaky_relu(self.conv1(x), 0.2)
        return F.leaky_relu(self.conv2(y), 0.2) + self.identity(x)


class Encoder(nn.Module):
    """DFR blocks with stride-2 convolutions between them."""

    def __init__(self, config: DRCNetConfig, fuses: bool) -> None:
        super().__init__()
        channels = [config.width * 2**level for level in range(config.depth)]
        last = config.depth - 1
        self.blocks = nn.ModuleList(
            DFRBlock(config, i, channels[max(i - 1, 0)], c, fuses and i < last)
            for i, c in enumerate(channels)
        )
        self.downs = nn.ModuleList(nn.Conv2d(c, c, 4, 2, 1, bias=False) for c in channels[:-1])

    def forward(
        self, x: Tensor, fused: list[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Give the deepest features, and those before each down-sampling."""
        skips = []
        for level, down in enumerate(self.downs):
            x = self.blocks[level](x, fused[level] if fused else None)
            skips.append(x)
            x = down(x)
        return self.blocks[-1](x), skips


class Decoder(nn.Module):
    """Transposed convolution, concatenation with the convolved skip, ResBlock."""

    def __init__(self, config: DRCNetConfig) -> None:
        super().__init__()
        channels = [config.width * 2**level for level in reversed(range(config.depth - 1))]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, 2) for c in channels)
        self.skips = nn.ModuleList(conv3x3(c, c) for c in channels)
        self.blocks = nn.ModuleList(ResBlock(2 * c, c) for c in channels)

    def forward(self, x: Tensor, skips: list[Tensor]) -> list[Tensor]:
        """Give each level's features, full resolution first."""
        features = []
        for level, up in enumerate(self.ups):
            skip = self.skips[level](skips[-1 - level])
            x = self.blocks[level](torch.cat([up(x), skip], dim=1))
            features.insert(0, x)
        return features


class SAM(nn.Module):
    """Supervised attention module."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_image = conv3x3(width, 3)
        self.features = conv3x3(width, width)
        self.gate = conv3x3(3, width)

    def forward(self, features: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the gated features and the image of stage 1."""
        image = self.to_image(features) + x
        return self.features(features) * torch.sigmoid(self.gate(image)) + features, image


class ReleasedNetwork(nn.Module):
    """Both stages, with every branch switched on."""

    def __init__(self, config: DRCNetConfig) -> None:
        super().__init__()
        width = config.width
        self.shallow1 = conv3x3(3, width)
        self.encoder1 = Encoder(config, fuses=False)
        self.decoder1 = Decoder(config)
        self.sam = SAM(width)
        self.shallow2 = conv3x3(3, width)
        self.merge = nn.Conv2d(2 * width, width, 1)
        self.encoder2 = Encoder(config, fuses=True)
        self.decoder2 = Decoder(config)
        self.to_residual = conv3x3(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Give stage 2's image."""
        deepest, encoded = self.encoder1(self.shallow1(x))
        decoded = self.decoder1(deepest, encoded)
        gated, _ = self.sam(decoded[0], x)
        merged = self.merge(torch.cat([self.shallow2(x), gated], dim=1))
        deepest, encoded2 = self.encoder2(merged, list(zip(encoded, decoded, strict=True)))
        return self.to_residual(self.decoder2(deepest, encoded2)[0]) + x
