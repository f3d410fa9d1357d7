"""The blocks of DRCNet, under the paper's names.

Statistics are taken per image and in float32 whatever the type of the features: a 256x256 mask
count (65536) is already infinity in float16.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.layers import conv3x3

SLOPE = 0.2  # of every leaky ReLU, in the paper and in the released code
NORM_EPS = 1e-5  # torch's default for instance normalisation, which the released weights assume


class SimAM(nn.Module):
    """Energy-based attention without parameters (paper eq. 8 and 9).

    N x C x H x W -> the same shape. `delta` is the regulariser of the energy function. A map of a
    single pixel has no variance; its weight is sigmoid(0.5).
    """

    def __init__(self, delta: float) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, y: Tensor) -> Tensor:
        """Weight each value by how far it stands out from its channel."""
        pixels = y.shape[2] * y.shape[3]
        y32 = y.float()
        squared = (y32 - y32.mean((2, 3), keepdim=True)).square()
        variance = squared.sum((2, 3), keepdim=True) / max(pixels - 1, 1)
        energy = squared / (4 * (variance + self.delta)) + 0.5
        return (y32 * torch.sigmoid(energy)).to(y.dtype)


class ResponseMap(nn.Module):
    """Where the degradation is: one sigmoid map from channel mean and maximum (paper section 3.2).

    N x C x H x W -> response, gamma and beta, each N x 1 x H x W.
    """

    def __init__(self) -> None:
        super().__init__()
        self.response = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.gamma = nn.Conv2d(1, 1, 7, padding=3)
        self.beta = nn.Conv2d(1, 1, 7, padding=3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the response map and the modulation made from it."""
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        response = torch.sigmoid(self.response(pooled))
        return response, self.gamma(response), self.beta(response)


class RegionNorm(nn.Module):
    """Instance normalisation of two regions, with shared affine weights (paper eq. 4 to 6).

    The paper fills each region outside itself with its own channel mean, normalises that map,
    scales it by sqrt(region pixels / all pixels) and adds the two maps. A filled map has the
    region's mean and `share` times its variance, so the sum is one multiply-add per pixel with
    coefficients chosen by the pixel's region; no filled map is ever built.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise x (N x C x H x W) in the regions mask and not mask (N x 1 x H x W, bool)."""
        batch, channels, height, width = x.shape
        pixels = height * width
        with torch.autocast(x.device.type, enabled=False):
            # Channels last makes this a view, and each sum over a region a matrix product.
            rows = x.float().permute(0, 2, 3, 1).reshape(batch, pixels, channels)
            inside = mask.reshape(batch, pixels, 1)
            regions = torch.cat([inside, ~inside], dim=2).float().transpose(1, 2)  # N x 2 x HW
            # As in the released code, an empty region counts as one pixel: its share of the bias
            # is sqrt(1 / pixels), and no pixel takes its mean or scale.
            count = regions.sum(2, keepdim=True).clamp(min=1)
            share = (count / pixels).sqrt()
            mean = regions @ rows / count  # N x 2 x C
            centred = rows - torch.where(inside, mean[:, :1], mean[:, 1:])
            filled_variance = regions @ centred.square() / pixels
            scale = share * torch.rsqrt(filled_variance + NORM_EPS) * self.weight.float()
            shift = share.sum(1, keepdim=True) * self.bias.float()
            out = centred * torch.where(inside, scale[:, :1], scale[:, 1:]) + shift
        return out.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class AdaptiveNorm(nn.Module):
    """Adaptive feature normalisation: degraded and clean regions normalised apart (section 3.2).

    N x C x H x W -> the same shape. `threshold` splits the response map into the two regions; the
    split itself carries no gradient, the response map learns through gamma and beta.
    """

    def __init__(self, channels: int, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.map = ResponseMap()
        self.norm = RegionNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise by region, then modulate by the response map."""
        response, gamma, beta = self.map(x)
        mask = response.detach() >= self.threshold
        return (self.norm(x, mask) * (1 + gamma) + beta).to(x.dtype)


class EncoderBlock(nn.Module, ABC):
    """A level of an encoder: a filter, plus the first stage's features (CSFF), limited.

    N x channels_in x H x W -> N x channels_out x H x W. Of a subclass: `_filter`, and a call of
    `_add_fusion` once its own layers are made, as the order decides on the random weights.
    """

    def _add_fusion(self, config: DRCNetConfig, level: int, channels: int, fuses: bool) -> None:
        """Add what fuses the stages (`fuses`), and the level's limit on features."""
        self.fuse_encoder = conv3x3(channels, channels) if fuses else None
        self.fuse_decoder = conv3x3(channels, channels) if fuses else None
        self.limit = config.limit_at(level)

    @abstractmethod
    def _filter(self, x: Tensor) -> Tensor:
        """Turn N x channels_in x H x W into N x channels_out x H x W."""

    def forward(self, x: Tensor, fused: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Filter x; `fused` holds stage 1's encoder and decoder features of this level."""
        out = self._filter(x)
        if fused is not None and self.fuse_encoder is not None and self.fuse_decoder is not None:
            out = out + self.fuse_encoder(fused[0]) + self.fuse_decoder(fused[1])
        return out if self.limit is None else out.clamp(-self.limit, self.limit)


class DFRBlock(EncoderBlock):
    """Dynamic filter restoration block (section 3.2): spatial * energy + identity (+ CSFF).

    `fuses` adds the cross-stage feature fusion with the first stage's encoder and decoder features
    of the same level.
    """

    def __init__(
        self, config: DRCNetConfig, level: int, channels_in: int, channels_out: int, fuses: bool
    ) -> None:
        super().__init__()
        filters = level in (config.filter_levels or ())
        self.spatial = conv3x3(channels_in, channels_out) if config.spatial_filter else None
        self.norm = (
            AdaptiveNorm(channels_out // 2, config.threshold)
            if config.spatial_filter and filters
            else None
        )
        self.energy = conv3x3(channels_in, channels_out) if config.energy_attention else None
        self.simam = SimAM(config.delta)
        self.identity = nn.Conv2d(channels_in, channels_out, 1) if config.identity_branch else None
        self._add_fusion(config, level, channels_out, fuses)

    def _filter(self, x: Tensor) -> Tensor:
        filters = []
        if self.spatial is not None:
            filters.append(self._spatial_filter(self.spatial(x)))
        if self.energy is not None:
            filters.append(F.leaky_relu(self.simam(self.energy(x)), SLOPE))
        terms = [reduce(torch.mul, filters)] if filters else []
        if self.identity is not None:
            terms.append(self.identity(x))
        return reduce(torch.add, terms)

    def _spatial_filter(self, y: Tensor) -> Tensor:
        """Normalise the first half of the channels, keep the second (section 3.2)."""
        if self.norm is not None:
            filtered, kept = y.chunk(2, dim=1)
            y = torch.cat([self.norm(filtered), kept], dim=1)
        return F.leaky_relu(y, SLOPE)


class ResBlock(nn.Module):
    """Two activated 3x3 convolutions beside a 1x1 convolution of the input."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels_in, channels_out)
        self.conv2 = conv3x3(channels_out, channels_out)
        self.identity = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn N x channels_in x H x W into N x channels_out x H x W."""
        y = F.leaky_relu(self.conv1(x), SLOPE)
        return F.leaky_relu(self.conv2(y), SLOPE) + self.identity(x)


class SAM(nn.Module):
    """Supervised attention module: an image of stage 1, and features gated by that image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_image = conv3x3(width, 3)
        self.features = conv3x3(width, width)
        self.gate = conv3x3(3, width)

    def forward(self, features: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gated features (N x width x H x W) and the image (N x 3 x H x W)."""
        image = self.to_image(features) + x
        return self.features(features) * torch.sigmoid(self.gate(image)) + features, image


@contextmanager
def response_distances(network: nn.Module) -> Iterator[list[float]]:
    """Collect how near to its threshold each response map comes while the block runs."""
    distances: list[float] = []

    def observe(norm: AdaptiveNorm) -> RemovableHandle:
        def measure(_: nn.Module, __: object, maps: tuple[Tensor, Tensor, Tensor]) -> None:
            distances.append((maps[0] - norm.threshold).abs().min().item())

        return norm.map.register_forward_hook(measure)

    handles = [observe(module) for module in network.modules() if isinstance(module, AdaptiveNorm)]
    try:
        yield distances
    finally:
        for handle in handles:
            handle.remove()
