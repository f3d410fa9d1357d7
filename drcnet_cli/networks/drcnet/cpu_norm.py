"""SimAM and the adaptive feature normalisation for inference on a CPU, in few passes over memory.

Features are channels-last, where a sum over a region, a fill and an affine map by region are
matrix products with a narrow matrix of masks; products accumulate in float32.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from drcnet_cli.networks.drcnet.blocks import NORM_EPS, AdaptiveNorm
from drcnet_cli.networks.layers import PackedConv

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
        self.average = F.pad(torch.full((half, 1), 1 / half, dtype=dtype), (0, 0, 0, half))
        response = maps.response.weight.detach().float()
        modulation = torch.cat([maps.gamma.weight, maps.beta.weight]).detach().float()
        bias = torch.cat([maps.gamma.bias + 1, maps.beta.bias]).detach().float()
        self.response = PackedConv(response, None, dtype, 3)
        self.modulation = PackedConv(modulation, bias, dtype, 3)
        self.block_response = PackedConv(block_kernel(response), None, dtype, 1)
        bias = bias.repeat_interleave(BLOCK**2)
        self.block_modulation = PackedConv(block_kernel(modulation), bias, dtype, 1)

    def __call__(self, y: Tensor) -> Tensor:
        """Normalise by region and modulate N x C x H x W, whose memory is used."""
        batch, channels, height, width = y.shape
        lines = y.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
        rows = lines.view(batch, height * width, channels)
        inside, gain, beta = self._maps(lines, batch)  # each N x HW
        regions = torch.stack([inside, 1 - inside], dim=1)  # N x 2 x HW
        maps = torch.stack([gain * inside, gain - gain * inside, beta, torch.ones_like(beta)], 2)
        scale, shift = self._centre(rows, regions)
        rows.mul_(maps @ scale).baddbmm_(maps, shift)
        return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)

    def _maps(self, lines: Tensor, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the mask (0 or 1), 1 + gamma and beta, each N x HW, from NH x W x C."""
        width, channels = lines.shape[1:]
        height = lines.shape[0] // batch
        planes = lines[..., : channels // 2].mT.contiguous()  # a comparison of planes is quick
        pooled = [(lines @ self.average)[..., 0], planes.amax(1)]
        pooled = torch.stack([values.view(batch, height, width) for values in pooled], dim=1)
        if height % BLOCK or width % BLOCK:
            response = self.response.sigmoid(pooled)
            modulation = self.modulation(response)
        else:
            blocks = self.block_response.sigmoid(F.pixel_unshuffle(pooled, BLOCK))
            response = F.pixel_shuffle(blocks, BLOCK)
            modulation = F.pixel_shuffle(self.block_modulation(blocks), BLOCK)
        inside = (response >= self.threshold).to(lines.dtype)
        gain, beta = modulation.flatten(2).unbind(1)
        return inside.flatten(1), gain, beta

    def _centre(self, rows: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Subtract each region's mean, nearly, from the first half of rows (N x HW x C), in place.

        Returns the scale and shift of what is left, each N x 4 x C: for the region, its complement,
        beta and a constant. See `RegionNorm` for the formula.
        """
        batch, pixels, channels = rows.shape
        half = channels // 2
        count = regions.sum(2, dtype=torch.float32).clamp_(min=1).unsqueeze(2)  # N x 2 x 1
        share = count / pixels
        mean = region_sums(rows, regions) / count
        mean[..., half:] = 0
        # What is subtracted is rounded; what rounding left goes into variance and shift.
        subtracted = mean.to(rows.dtype)
        left = (mean - subtracted.float())[..., :half]
        rows.baddbmm_(regions.mT.contiguous(), subtracted, alpha=-1)
        squares = region_sums(rows * rows, regions)[..., :half] / pixels
        deviation = (squares - share * left.square()).clamp_(min=0).add_(NORM_EPS).sqrt_()
        scale = rows.new_zeros((batch, 4, channels))
        shift = rows.new_zeros((batch, 4, channels))
        factor = share.sqrt() * self.weight / deviation
        scale[:, :2, :half] = factor
        scale[:, 3, half:] = 1
        shift[:, :2, :half] = share.sqrt().sum(1, keepdim=True) * self.bias - left * factor
        shift[:, 2, :half] = 1
        return scale, shift


def region_sums(rows: Tensor, regions: Tensor) -> Tensor:
    """Sum rows (N x HW x C) over regions (N x 2 x HW): N x 2 x C, float32.

    A product's result is rounded to its type; of many partial sums these errors average out.
    """
    batch, pixels, channels = rows.shape
    parts = math.gcd(pixels, 32)
    split = regions.view(batch, 2, parts, -1).transpose(1, 2).reshape(batch * parts, 2, -1)
    sums = split @ rows.view(batch * parts, -1, channels)
    return sums.view(batch, parts, 2, channels).sum(1, dtype=torch.float32)


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
