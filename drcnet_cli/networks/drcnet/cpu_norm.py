"""SimAM and the adaptive feature normalisation for inference on a CPU, in few passes over memory.

Features are channels-last, where a sum over a region, a fill and an affine map by region are
matrix products with a narrow matrix of masks; products accumulate in float32.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from drcnet_cli.networks.drcnet.blocks import NORM_EPS, AdaptiveNorm
from drcnet_cli.networks.layers import PackedConv, to_pixels

SMALL_MAP = 1024  # pixels, below which torch's channels-last normalisation changes its ways
BLOCK = 4  # pixels of a side: a 7x7 window then spans three blocks


def simam_weight(y: Tensor, delta: float) -> Tensor:
    """Return SimAM's sigmoid (paper eq. 8 and 9), with (y - mean)^2 / 4 (variance + delta) in it.

    That fraction is the square of an instance normalisation times a constant. Its variance counts
    all pixels where the paper's leaves one out, so delta is scaled alike.
    """
    channels, pixels = y.shape[1], y.shape[2] * y.shape[3]
    others = max(pixels - 1, 1) / pixels
    if y.dtype == torch.float32:
        # The normalisation's variance is a difference of sums, exact enough for reduced precision
        # only where the mean is large.
        y = y - y.mean((2, 3), keepdim=True)
    # Of small channels-last maps torch's normalisation goes value by value, ten times as slow.
    planes = y.contiguous() if pixels < SMALL_MAP else y
    normalised = torch.group_norm(planes, channels, eps=delta * others)
    normalised = normalised.contiguous(memory_format=torch.channels_last)
    half = torch.full((), 0.5, dtype=y.dtype)
    torch.addcmul(half, normalised, normalised, value=others / 4, out=normalised)
    return normalised.sigmoid_()


class FastAdaptiveNorm:
    """`AdaptiveNorm` of the first half of the channels; the second half passes unchanged."""

    def __init__(self, norm: AdaptiveNorm, dtype: torch.dtype) -> None:
        self.threshold = norm.threshold
        maps, half = norm.map, norm.norm.weight.shape[0]
        assert maps.gamma.bias is not None and maps.beta.bias is not None
        self.weight, self.bias = norm.norm.weight.detach().float(), norm.norm.bias.detach().float()
        # Scale and shift by the four maps: beta is added, the second half of the channels kept.
        self.unchanged = torch.zeros(2, 1, 4, 2 * half, dtype=dtype)
        self.unchanged[0, 0, 3, half:] = self.unchanged[1, 0, 2, :half] = 1
        average = torch.full((half, 1, 1), 1 / half)
        self.average = PackedConv(F.pad(average, (0, 0, 0, 0, 0, half))[None], None, dtype, 0)
        response = maps.response.weight.detach().float()
        modulation = torch.cat([maps.gamma.weight, maps.beta.weight]).detach().float()
        bias = torch.cat([maps.gamma.bias + 1, maps.beta.bias]).detach().float()
        self.response = PackedConv(response, None, dtype, 3)
        self.modulation = PackedConv(modulation, bias, dtype, 3)
        self.block_average = PackedConv(block_average(channels=2 * half), None, dtype, 0, BLOCK)
        self.block_response = PackedConv(block_kernel(response), None, dtype, 1)
        # Gain and shift of a pixel side by side, so that blocks become pixels in longer pieces.
        kernel = block_kernel(modulation).unflatten(0, (2, -1)).transpose(0, 1).flatten(0, 1)
        self.block_modulation = PackedConv(kernel, bias.repeat(BLOCK**2), dtype, 1)

    def __call__(self, y: Tensor) -> Tensor:
        """Normalise by region and modulate N x C x H x W, whose memory is used."""
        batch, channels, height, width = y.shape
        rows = y.permute(0, 2, 3, 1).reshape(batch, height * width, channels)
        inside, gain, beta = self._maps(y)  # each N x HW
        regions = torch.stack([inside, 1 - inside], dim=1)  # N x 2 x HW
        maps = rows.new_ones(batch, height * width, 4)
        maps[..., 0] = taken = gain * inside
        maps[..., 1] = gain.sub_(taken)
        maps[..., 2] = beta
        scale, shift = self._centre(rows, regions)
        rows.mul_(maps @ scale).baddbmm_(maps, shift)
        return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def _maps(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the mask (0 or 1), 1 + gamma and beta, each N x HW, from N x C x H x W."""
        batch, channels, height, width = y.shape
        lines = y.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
        # A comparison of planes is quick.
        most = lines[..., : channels // 2].mT.contiguous().amax(1).view(batch, 1, height, width)
        if height % BLOCK or width % BLOCK:
            response = self.response.sigmoid(torch.cat([self.average(y), most], dim=1))
            modulation = self.modulation(response)
        else:
            blocks = F.pixel_unshuffle(most, BLOCK)
            blocks = torch.cat([self.block_average(y), blocks], dim=1)
            response = self.block_response.sigmoid(blocks)
            modulation = to_pixels(self.block_modulation(response), BLOCK)
            response = to_pixels(response, BLOCK)
        gain, beta = modulation.flatten(2).unbind(1)
        # In place the comparison's result needs no conversion.
        return response.flatten(1).ge_(self.threshold), gain.contiguous(), beta

    def _centre(self, rows: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Subtract each region's mean, nearly, from the first half of rows (N x HW x C), in place.

        Returns the scale and shift of what is left, each N x 4 x C: for the region, its complement,
        beta and a constant. See `RegionNorm` for the formula.
        """
        batch, pixels, channels = rows.shape
        half = channels // 2
        share = regions.mean(2, dtype=torch.float32, keepdim=True).clamp_(min=1 / pixels)
        mean = region_means(rows, regions).div_(share)
        mean[..., half:] = 0
        # What is subtracted is rounded; what rounding left goes into variance and shift.
        subtracted = mean.to(rows.dtype)
        left = (mean - subtracted)[..., :half]
        rows.baddbmm_(regions.mT.contiguous(), subtracted, alpha=-1)
        squares = region_means(rows.square(), regions)[..., :half]
        variance = squares.addcmul_(share, left.square(), value=-1).clamp_(min=0)
        root = share.sqrt_()
        factor = (variance.add_(NORM_EPS).rsqrt_() * self.weight).mul_(root)
        scale, shift = self.unchanged.repeat(1, batch, 1, 1)
        scale[:, :2, :half] = factor
        shift[:, :2, :half] = (root.sum(1, keepdim=True) * self.bias).sub(left.mul_(factor))
        return scale, shift


def region_means(rows: Tensor, regions: Tensor) -> Tensor:
    """Sum rows (N x HW x C) over regions (N x 2 x HW), divided by HW: N x 2 x C, float32.

    A product's result is rounded to its type; of many partial sums these errors average out.
    """
    batch, pixels, channels = rows.shape
    parts = math.gcd(pixels, 32)
    split = regions.view(batch, 2, parts, -1).transpose(1, 2).reshape(batch * parts, 2, -1)
    sums = split @ rows.view(batch * parts, -1, channels)
    return sums.view(batch, parts, 2, channels).sum(1, dtype=torch.float32).div_(pixels)


def block_average(channels: int) -> Tensor:
    """Make the kernel (16 x C x 4 x 4) that averages each pixel of a block over half the channels.

    The order of its results is pixel_unshuffle's.
    """
    pixels = torch.eye(BLOCK**2).view(BLOCK**2, 1, BLOCK, BLOCK)
    return F.pad(
        pixels.expand(-1, channels // 2, -1, -1) * 2 / channels, (0,) * 5 + (channels // 2,)
    )


def block_kernel(kernel: Tensor) -> Tensor:
    """Turn O x I x 7 x 7 into the 3x3 kernel (16 O x 16 I x 3 x 3) for 4x4 blocks of pixels.

    For pixel_unshuffle's order of channels; zero padding by a block is that by three pixels.
    """
    outputs, inputs, size, _ = kernel.shape
    pixel = torch.arange(BLOCK)
    # One pixel of a block sees another of the block `step` on through this tap, if there is one.
    step = BLOCK * torch.arange(-1, 2)
    tap = step - pixel.view(-1, 1, 1) + pixel.view(-1, 1) + size // 2  # pixel, other, step
    padded = F.pad(kernel, [BLOCK] * 4)  # no tap: zero
    tap = tap + BLOCK
    blocks = padded[:, :, tap.view(BLOCK, BLOCK, 3, 1, 1, 1), tap]
    blocks = blocks.permute(0, 2, 5, 1, 3, 6, 4, 7)
    return blocks.reshape(outputs * BLOCK**2, inputs * BLOCK**2, 3, 3)
