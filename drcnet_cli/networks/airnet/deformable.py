"""Modulated deformable 3x3 convolution (AirNet eq. 5; Zhu et al. 2019), in plain torch.

Each output pixel reads its nine taps at places of its own, between pixels, and weighs each by a
mask: sum over k of w_k * x(p + p_k + offset_k) * mask_k. What lies outside the picture is zero.

Two forms of the same arithmetic. On a CPU a tap is a weighted sum of four rows of a table with one
row a pixel, which is what `embedding_bag` computes, without any copy of the four: about twice as
fast as `grid_sample` in float32 and four times in bfloat16. Elsewhere one `grid_sample` for all
taps; on CUDA torchvision's own kernel where that is installed. Places are computed in float32.
"""

from functools import cache
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

TAPS = 9
# Pixels that are sampled at once on a CPU: their columns stay in the processor's cache.
_STRIP = 1 << 13
# Types in which `embedding_bag` weighs its rows on a CPU; float64 is for checks of gradients.
_BAG_TYPES = (torch.float32, torch.bfloat16, torch.float64)


def deformable_conv(x: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Convolve x (N x C x H x W) with weight (C_out x C x 3 x 3) at shifted places.

    `offsets`: N x 18 x H x W in pixels, (down, right) for each tap, taps row by row; `mask`:
    N x 9 x H x W. Returns N x C_out x H x W in the type of x.
    """
    if x.device.type == "cpu" and x.dtype in _BAG_TYPES:
        return sample_by_table(x, offsets, mask, weight.to(x.dtype))
    if x.device.type == "cuda" and _torchvision_has_it():
        return torch.ops.torchvision.deform_conv2d(
            x.contiguous(), weight.to(x.dtype), offsets.to(x.dtype), mask.to(x.dtype),
            x.new_zeros(weight.shape[0]), 1, 1, 1, 1, 1, 1, 1, 1, True,
        )  # fmt: skip
    return sample_by_grid(x, offsets, mask, weight.to(x.dtype))


@cache
def _torchvision_has_it() -> bool:
    """Tell whether torchvision is installed with its operators; those of another torch fail."""
    try:
        import_module("torchvision")  # registers the operators
    except (ImportError, RuntimeError, OSError):
        return False
    return hasattr(torch.ops.torchvision, "deform_conv2d")


def sample_by_grid(x: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Convolve as `deformable_conv` does, by one bilinear look-up in a grid of 9H x W places."""
    batch, channels, height, width = x.shape
    # At least float32: half types have too few digits for places in a picture.
    exact = torch.promote_types(x.dtype, torch.float32)
    shifts = offsets.to(exact).reshape(batch, TAPS, 2, height, width)
    taps = torch.arange(TAPS, device=x.device)
    rows = torch.arange(height, device=x.device).view(1, 1, -1, 1)
    rows = rows + taps.div(3, rounding_mode="floor").view(1, -1, 1, 1) - 1
    columns = torch.arange(width, device=x.device).view(1, 1, 1, -1)
    columns = columns + taps.remainder(3).view(1, -1, 1, 1) - 1
    # -1 and 1 are the middles of the first and the last pixel. One pixel would have both at once:
    # as if it were two, its neighbour at 1 being outside.
    down = (shifts[:, :, 0] + rows) * (2 / max(height - 1, 1)) - 1
    right = (shifts[:, :, 1] + columns) * (2 / max(width - 1, 1)) - 1
    if height == 1:
        x = F.pad(x, (0, 0, 0, 1))
    if width == 1:
        x = F.pad(x, (0, 1))
    grid = torch.stack([right, down], dim=4).reshape(batch, TAPS * height, width, 2)
    taken = F.grid_sample(x.to(exact), grid, padding_mode="zeros", align_corners=True)
    taken = taken.reshape(batch, channels, TAPS, height, width)
    taken = (taken * mask.to(exact).unsqueeze(1)).to(x.dtype)
    columns = taken.reshape(batch, channels * TAPS, height * width)
    return (weight.flatten(1) @ columns).reshape(batch, -1, height, width)


def sample_by_table(x: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Convolve as `deformable_conv` does, by weighted sums of rows of pixels; for CPUs.

    Fastest where all are in the memory format channels_last, as the result is.
    """
    batch, channels, height, width = x.shape
    # Two rows and columns of zeros all round: a place farther out is moved onto them.
    table = F.pad(x.permute(0, 2, 3, 1), (0, 0, 2, 2, 2, 2)).flatten(1, 2)
    matrix = weight.permute(2, 3, 1, 0).reshape(TAPS * channels, -1)
    shifts = offsets.permute(0, 2, 3, 1).reshape(batch, height, width, TAPS, 2)
    shares = mask.permute(0, 2, 3, 1)
    strip = max(1, _STRIP // width)
    out = []
    for item in range(batch):
        for top in range(0, height, strip):
            rows = slice(top, top + strip)
            places, weights = _corners(shifts[item, rows], shares[item, rows], top, height)
            columns = _WeightedRows.apply(table[item], places, weights.to(x.dtype))
            out.append(columns.reshape(-1, TAPS * channels) @ matrix)
    return torch.cat(out).reshape(batch, height, width, -1).permute(0, 3, 1, 2)


class _WeightedRows(torch.autograd.Function):
    """`embedding_bag` whose gradient of the table is one too, which torch's own takes long for.

    table (rows x C), places (bags x 4, int32), weights (bags x 4) -> bags x C.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, places: Tensor, weights: Tensor) -> Tensor:  # noqa: ANN401
        """Sum each bag's rows by its weights."""
        ctx.save_for_backward(table, places, weights)
        return _sum_rows(table, places, weights)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,  # noqa: ANN401
        *grads: Tensor,
    ) -> tuple[Tensor | None, None, Tensor | None]:
        """Return the gradients of the table and of the weights."""
        table, places, weights = ctx.saved_tensors
        of_table = of_weights = None
        grad = grads[0].contiguous()
        if ctx.needs_input_grad[0]:
            # Each row's bags, side by side: the transposed sum.
            order = places.flatten().argsort()
            counts = torch.bincount(places.flatten(), minlength=len(table))
            ends = counts.cumsum(0)
            of_table = F.embedding_bag(
                order // places.shape[1],
                grad,
                ends - counts,
                mode="sum",
                per_sample_weights=weights.flatten()[order],
            )
        if ctx.needs_input_grad[2]:
            with torch.enable_grad():
                leaf = weights.detach().requires_grad_()
                summed = _sum_rows(table.detach(), places, leaf)
            (of_weights,) = torch.autograd.grad(summed, leaf, grad)
        return of_table, None, of_weights


def _sum_rows(table: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    return F.embedding_bag(places, table, mode="sum", per_sample_weights=weights)


def _corners(shifts: Tensor, shares: Tensor, top: int, height: int) -> tuple[Tensor, Tensor]:
    """Return where a strip's taps lie: rows of the table (int32) and their weights, places x 4.

    `shifts`: rows x W x 9 x 2; `shares`: rows x W x 9; `top`: the strip's first row.
    """
    count, width = shifts.shape[:2]
    exact = torch.promote_types(shifts.dtype, torch.float32)
    shifts, shares = shifts.to(exact), shares.to(exact)
    # Shares of a pixel come from the shift alone: a place far down has fewer digits left for them.
    whole = shifts.detach().floor()
    down, right = (shifts - whole).unbind(3)
    taps = torch.arange(TAPS)
    first_row = torch.arange(top, top + count).view(-1, 1, 1) + taps // 3 - 1
    first_column = torch.arange(width).view(1, -1, 1) + taps % 3 - 1
    row = (whole[..., 0] + first_row).clamp(-2, height).to(torch.int32) + 2
    column = (whole[..., 1] + first_column).clamp(-2, width).to(torch.int32) + 2
    stride, last = width + 4, (height + 4) * (width + 4) - 1
    # What is not a number lies nowhere; its weight is no number either, and tells.
    place = (row * stride + column).clamp(0, last - stride - 1)
    places = torch.stack([place, place + 1, place + stride, place + stride + 1], dim=3)
    below = shares * down
    above = shares - below
    below_right, above_right = below * right, above * right
    weights = torch.stack(
        [above - above_right, above_right, below - below_right, below_right], dim=3
    )
    return places.view(-1, 4), weights.view(-1, 4)
