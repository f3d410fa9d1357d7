"""What networks share: convolutions, padding, and a convolution made for inference on a CPU."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
    """Build a 3x3 convolution that keeps height and width."""
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Extend N x C x H x W at the bottom and right: reflect, replicate where it is too small."""
    bottom = -x.shape[2] % multiple
    right = -x.shape[3] % multiple
    if bottom:
        x = F.pad(x, (0, 0, 0, bottom), mode="reflect" if bottom < x.shape[2] else "replicate")
    if right:
        x = F.pad(x, (0, right, 0, 0), mode="reflect" if right < x.shape[3] else "replicate")
    return x


def to_pixels(blocks: Tensor, side: int) -> Tensor:
    """Spread blocks of pixels, a pixel's K values side by side: channels-last like its result.

    N x (side^2 K) x H x W becomes N x K x (side H) x (side W). What pixel_shuffle does, but whole
    lines of a block are copied, not single values.
    """
    batch, _, height, width = blocks.shape
    lines = blocks.permute(0, 2, 3, 1).reshape(batch, height, width, side, -1).transpose(2, 3)
    return lines.reshape(batch, side * height, side * width, -1).permute(0, 3, 1, 2)


class PackedConv:
    """A convolution for inference on a CPU; x must be N x C x H x W of its number type.

    Weights are laid out once, activation and addition included: oneDNN's convolutions can do these
    as they write their result, and torch hands them out under names of its own, those that its
    compiler uses. Where they are missing, or this processor lacks them for the number type, plain
    operations give the same at the cost of a few passes over memory.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, padding: int, stride: int = 1
    ) -> None:
        weight = weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = None if bias is None else bias.detach().to(dtype)
        self.stride, self.padding = [stride] * 2, [padding] * 2
        self.packed = fuses(dtype)
        self.weight = _pack(weight, self.stride, self.padding) if self.packed else weight

    @classmethod
    def of(cls, conv: nn.Conv2d, dtype: torch.dtype) -> "PackedConv":
        """Copy a layer."""
        return cls(conv.weight, conv.bias, dtype, int(conv.padding[0]), int(conv.stride[0]))

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve."""
        return self._run(x, "none", []) if self.packed else self._plain(x)

    def leaky(self, x: Tensor, slope: float) -> Tensor:
        """Convolve, then leaky ReLU."""
        if self.packed:
            return self._run(x, "leaky_relu", [slope])
        return F.leaky_relu_(self._plain(x), slope)

    def sigmoid(self, x: Tensor) -> Tensor:
        """Convolve, then sigmoid."""
        return self._run(x, "sigmoid", []) if self.packed else self._plain(x).sigmoid_()

    def add_to(self, out: Tensor, x: Tensor) -> Tensor:
        """Add the convolved x to `out`, in place."""
        if not self.packed:
            return out.add_(self._plain(x))
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            out, x, self.weight, self.bias, self.padding, self.stride, [1, 1], 1,
            "add", 1.0, None, [], None,
        )  # fmt: skip

    def _plain(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)

    def _run(self, x: Tensor, activation: str, scalars: list[float]) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, self.padding, self.stride, [1, 1], 1,
            activation, scalars, "",
        )  # fmt: skip


def _pack(weight: Tensor, stride: list[int], padding: list[int]) -> Tensor:
    reorder = torch._C._nn.mkldnn_reorder_conv2d_weight  # type: ignore[attr-defined]
    return reorder(weight.to_mkldnn(), padding, stride, [1, 1], 1, None)


@cache
def fuses(dtype: torch.dtype) -> bool:
    """Tell, by trying, whether this torch and processor have the fused convolutions."""
    if not torch.backends.mkldnn.is_available():
        return False
    conv = PackedConv.__new__(PackedConv)
    weight, x, out = (torch.ones(1, 1, 1, 1, dtype=dtype) for _ in range(3))
    conv.bias, conv.stride, conv.padding, conv.packed = None, [1, 1], [0, 0], True
    try:
        conv.weight = _pack(weight, conv.stride, conv.padding)
        results = conv.leaky(-x, 0.5), conv.add_to(out, x), conv.sigmoid(0 * x)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False  # absent, with other arguments, or not for this processor
    return all(
        abs(result.item() - expected) < 0.01
        for result, expected in zip(results, (-0.5, 2.0, 0.5), strict=True)
    )
