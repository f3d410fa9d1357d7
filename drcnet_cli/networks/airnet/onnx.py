"""AirNet in ONNX operators: the arithmetic of `network.py` and `deformable.py`.

A deformable convolution is one `DeformConv` from operator set 19 on, with which ONNX Runtime takes
a fifth to a quarter less time on a CPU; older ones lack it there. Before, it is one `GridSample` of
all nine taps and a product of matrices, which every runtime has.
"""

import copy

import torch
from onnx import TensorProto
from torch import nn

from drcnet_cli.networks.airnet.deformable import TAPS
from drcnet_cli.networks.airnet.network import (
    DCN,
    DGB,
    DGG,
    DGM,
    SFT,
    SLOPE,
    AirNet,
    BatchNorm,
    ResidualBlock,
)
from drcnet_cli.networks.graph import DEFORM_CONV_OPSET, GraphWriter

SHIFTS = 2 * TAPS  # of the channels that a DCN's places have, the others are masks


class AirNetGraph:
    """Adds a network's nodes to a writer; values are N x C x H x W unless said otherwise.

    Height and width must be multiples of the configuration's `multiple`; nothing is clipped.
    """

    def __init__(self, writer: GraphWriter) -> None:
        self.to = writer
        self._middles = self._step = ""  # of the grid that is sampled at

    def network(self, net: AirNet, x: str, output: str) -> None:
        """Add `AirNet`: the image, named `output`. What the encoder tells in a vector is not."""
        to, config, restorer = self.to, net.config, net.restorer
        shrunk = to.node("SpaceToDepth", x, blocksize=config.shrink) if config.shrink > 1 else x
        if config.deformable and to.opset < DEFORM_CONV_OPSET:
            self._lay_grid(shrunk)
        guide = self.first_block("encoder.first", net.encoder.first, shrunk)
        features = y = to.conv("restorer.shallow", _colours_within(restorer.shallow), shrunk)
        for index, group in enumerate(restorer.groups):
            assert isinstance(group, DGG)
            y = self.group(f"restorer.groups.{index}", group, y, guide)
        y = to.node("Add", to.conv("restorer.merge", restorer.merge, y), features)
        image = to.conv("restorer.to_image", restorer.to_image, y)
        if config.shrink > 1:
            image = to.node("DepthToSpace", image, blocksize=config.shrink, mode="CRD")
        if config.input_skip:
            image = to.node("Add", image, x)
        to.node("Identity", image, name=output)

    def first_block(self, name: str, block: ResidualBlock, x: str) -> str:
        """Add the `ResidualBlock` that sees the picture."""
        to = self.to
        y = to.conv(f"{name}.conv1", _colours_within(block.conv1), x)
        y = self._leaky(self._norm(f"{name}.norm1", block.norm1, y))
        y = to.conv(f"{name}.conv2", block.conv2, y)
        y = self._norm(f"{name}.norm2", block.norm2, y)
        beside = to.conv(f"{name}.shortcut", _colours_within(block.shortcut), x)
        beside = self._norm(f"{name}.shortcut_norm", block.shortcut_norm, beside)
        return self._leaky(to.node("Add", y, beside))

    def group(self, name: str, group: DGG, x: str, guide: str) -> str:
        """Add `DGG`."""
        y = x
        for index, block in enumerate(group.blocks):
            assert isinstance(block, DGB)
            y = self.block(f"{name}.blocks.{index}", block, y, guide)
        return self.to.node("Add", self.to.conv(f"{name}.conv", group.conv, y), x)

    def block(self, name: str, block: DGB, x: str, guide: str) -> str:
        """Add `DGB`."""
        y = self._leaky(self.module(f"{name}.module1", block.module1, x, guide))
        y = self._leaky(self.to.conv(f"{name}.conv1", block.conv1, y))
        y = self._leaky(self.module(f"{name}.module2", block.module2, y, guide))
        return self.to.node("Add", self.to.conv(f"{name}.conv2", block.conv2, y), x)

    def module(self, name: str, module: DGM, x: str, guide: str) -> str:
        """Add `DGM`."""
        out = x
        if module.deform is not None:
            out = self.to.node("Add", out, self.deform(f"{name}.deform", module.deform, x, guide))
        if module.modulate is not None:
            changed = self.modulate(f"{name}.modulate", module.modulate, x, guide)
            out = self.to.node("Add", out, changed)
        return out

    def modulate(self, name: str, sft: SFT, x: str, guide: str) -> str:
        """Add `SFT`."""
        to = self.to
        gamma = self._leaky(to.conv(f"{name}.gamma1", sft.gamma1, guide))
        beta = self._leaky(to.conv(f"{name}.beta1", sft.beta1, guide))
        scaled = to.node("Mul", x, to.conv(f"{name}.gamma2", sft.gamma2, gamma))
        return to.node("Add", scaled, to.conv(f"{name}.beta2", sft.beta2, beta))

    def deform(self, name: str, dcn: DCN, x: str, guide: str) -> str:
        """Add `DCN`."""
        to, sampled = self.to, bool(self._middles)
        places = _across_first(dcn.places) if sampled else dcn.places
        found = to.conv(f"{name}.places", places, to.node("Concat", x, guide, axis=1))
        shifts = self._channels(found, 0, SHIFTS)
        mask = to.node("Sigmoid", self._channels(found, SHIFTS, SHIFTS + TAPS))
        if sampled:
            return self._sample(name, dcn, x, shifts, mask)
        weight = to.weight(f"{name}.weight", dcn.weight)
        size = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        return to.node("DeformConv", x, weight, shifts, "", mask, name=name, **size)

    def _sample(self, name: str, dcn: DCN, x: str, shifts: str, mask: str) -> str:
        """Add the convolution by look-ups in a grid of 9 x HW places, (across, down) in -1..1."""
        to = self.to
        shifts = to.node("Reshape", shifts, to.constant([0, TAPS, 2, -1]))
        shifts = to.node("Transpose", shifts, perm=[0, 1, 3, 2])  # N x 9 x HW x 2
        grid = to.node("Add", to.node("Mul", shifts, self._step), self._middles)
        taken = to.node("GridSample", x, grid, align_corners=0)  # N x C x 9 x HW
        taken = to.node("Mul", taken, to.node("Reshape", mask, to.constant([0, 1, TAPS, -1])))
        channels = dcn.weight.shape[1]
        columns = to.node("Reshape", taken, to.constant([0, channels * TAPS, -1]))
        weight = to.weight(f"{name}.weight", dcn.weight.flatten(1))
        return to.node("Reshape", to.node("MatMul", weight, columns), to.node("Shape", x))

    def _lay_grid(self, x: str) -> None:
        """Add what every grid begins with: where the taps lie without shifts, and a pixel's step.

        -1 and 1 are the edges of the picture here, so that one of a single pixel is no exception.
        """
        to = self.to
        size = to.node("Shape", x, start=2)
        lengths = [to.node("Gather", size, to.constant([axis]), axis=0) for axis in (1, 0)]
        sides = to.node("Cast", to.node("Concat", *lengths, axis=0), to=TensorProto.FLOAT)
        plane = to.node("Concat", *(to.constant([1]), *lengths[::-1]), axis=0)
        counts = []
        for axis, length in enumerate(lengths):
            shape = to.constant([1, -1, 1] if axis else [1, 1, -1])
            counted = to.node("Reshape", self._count(length), shape)
            spread = to.node("Expand", counted, plane)
            counts.append(to.node("Reshape", spread, to.constant([1, 1, -1, 1])))
        pixels = to.node("Cast", to.node("Concat", *counts, axis=3), to=TensorProto.FLOAT)
        taps = torch.tensor([(tap % 3 - 1, tap // 3 - 1) for tap in range(TAPS)])
        middles = to.node("Add", pixels, to.weight("taps", taps.view(1, TAPS, 1, 2) + 0.5))
        self._step = to.node("Div", to.constant(2.0), sides)
        middles = to.node("Mul", middles, self._step)
        self._middles = to.node("Sub", middles, to.constant(1.0))  # 1 x 9 x HW x 2

    def _count(self, length: str) -> str:
        """Add the whole numbers below a length, which has one element."""
        ends = (self.to.constant([0]), length, self.to.constant([1]))
        return self.to.node("Range", *(self.to.node("Squeeze", end) for end in ends))

    def _channels(self, x: str, start: int, end: int) -> str:
        constants = (self.to.constant([value]) for value in (start, end, 1))
        return self.to.node("Slice", x, *constants)

    def _norm(self, name: str, norm: BatchNorm, x: str) -> str:
        parts = ("weight", "bias", "running_mean", "running_var")
        inputs = [self.to.weight(f"{name}.{part}", getattr(norm, part)) for part in parts]
        return self.to.node("BatchNormalization", x, *inputs, name=name, epsilon=norm.eps)

    def _leaky(self, y: str) -> str:
        return self.to.node("LeakyRelu", y, alpha=SLOPE)


def _across_first(places: nn.Conv2d) -> nn.Conv2d:
    """Copy the layer that finds places, with (right, down) for each tap, as GridSample has it."""
    order = [channel ^ 1 if channel < SHIFTS else channel for channel in range(SHIFTS + TAPS)]
    swapped = copy.deepcopy(places)
    swapped.load_state_dict({name: value[order] for name, value in places.state_dict().items()})
    return swapped


def _colours_within(conv: nn.Conv2d) -> nn.Conv2d:
    """Copy a layer that sees the picture, its channels in SpaceToDepth's order: by pixel first.

    torch's `pixel_unshuffle` has them by colour first.
    """
    pixels = conv.in_channels // 3
    order = [colour * pixels + pixel for pixel in range(pixels) for colour in range(3)]
    moved = copy.deepcopy(conv)
    moved.load_state_dict({**conv.state_dict(), "weight": conv.weight[:, order]})
    return moved
