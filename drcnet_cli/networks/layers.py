"""The building blocks of DRCNet that are not plain convolutions.

Statistics are taken per image and in float32 whatever the type of the features: a 256x256 mask
count (65536) is already infinity in float16.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-5  # torch's default for instance normalisation, which the released weights assume


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Build a 3x3 convolution that keeps height and width."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


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
        """Give the response map and the modulation made from it."""
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


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend N x C x H x W at the bottom and right: reflect, replicate where it is too small."""
    bottom = -x.shape[2] % multiple
    right = -x.shape[3] % multiple
    if bottom:
        x = F.pad(x, (0, 0, 0, bottom), mode="reflect" if bottom < x.shape[2] else "replicate")
    if right:
        x = F.pad(x, (0, right, 0, 0), mode="reflect" if right < x.shape[3] else "replicate")
    return x
