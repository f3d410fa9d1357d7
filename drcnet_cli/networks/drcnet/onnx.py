"""DRCNet in ONNX operators: the arithmetic of `network.py` and `blocks.py`.

Written out node by node instead of traced: that takes a tenth of a second where torch's exporter
takes a minute, needs no compiler of graphs, is the same with every torch, and runs in half the time
because sums over a region are products with narrow matrices of masks (benchmarks/README.md).
"""

from functools import reduce

from onnx import TensorProto
from torch import nn

from drcnet_cli.networks.drcnet.blocks import (
    NORM_EPS,
    SAM,
    SLOPE,
    AdaptiveNorm,
    DFRBlock,
    RegionNorm,
    ResBlock,
)
from drcnet_cli.networks.drcnet.network import Decoder, DRCNet, Encoder
from drcnet_cli.networks.graph import TORCH_RUNS_IT, GraphWriter

PLANE = (2, 3)  # the axes of height and width
Fused = list[tuple[str, str]]


class DRCNetGraph:
    """Adds a network's nodes to a writer; values are N x C x H x W unless said otherwise.

    Height and width must be multiples of the configuration's `multiple`; nothing is clipped.
    """

    def __init__(self, writer: GraphWriter) -> None:
        self.to = writer
        self.pixels: list[str] = []  # of one map at each level, as a float

    def network(self, net: DRCNet, x: str, output: str) -> None:
        """Add `DRCNet`: the second stage's image, named `output`; UsageError for other blocks."""
        net.config.refuse_other_blocks("has no ONNX form", TORCH_RUNS_IT)
        to = self.to
        self._count_pixels(x, net.config.depth)
        encoded = self.encoder("encoder1", net.encoder1, to.conv("shallow1", net.shallow1, x))
        decoded = self.decoder("decoder1", net.decoder1, encoded)
        gated = self.sam("sam", net.sam, decoded[0], x)
        shallow = to.conv("shallow2", net.shallow2, x)
        merged = to.conv("merge", net.merge, to.node("Concat", shallow, gated, axis=1))
        fused = list(zip(encoded, decoded, strict=True))
        encoded = self.encoder("encoder2", net.encoder2, merged, fused)
        restored = self.decoder("decoder2", net.decoder2, encoded)[0]
        to.node("Add", to.conv("to_residual", net.to_residual, restored), x, name=output)

    def encoder(self, name: str, encoder: Encoder, x: str, fused: Fused | None = None) -> list[str]:
        """Add `Encoder`: the features of each level, the full resolution first."""
        features = []
        for level, block in enumerate(encoder.blocks):
            assert isinstance(block, DFRBlock)
            deepest = level == len(encoder.downs)
            beside = fused[level] if fused and not deepest else None
            features.append(self.dfr_block(f"{name}.blocks.{level}", block, level, x, beside))
            if not deepest:
                down = encoder.downs[level]
                assert isinstance(down, nn.Conv2d)
                x = self.to.conv(f"{name}.downs.{level}", down, features[-1])
        return features

    def decoder(self, name: str, decoder: Decoder, encoded: list[str]) -> list[str]:
        """Add `Decoder`: the features of each level, the full resolution first."""
        *skipped, x = encoded
        features = [x]
        levels = zip(decoder.ups, decoder.skips, decoder.blocks, strict=True)
        for index, (up, skip, block) in enumerate(levels):
            assert isinstance(up, nn.ConvTranspose2d)
            assert isinstance(skip, nn.Conv2d)
            assert isinstance(block, ResBlock)
            raised = self.to.conv(f"{name}.ups.{index}", up, features[-1])
            kept = self.to.conv(f"{name}.skips.{index}", skip, skipped.pop())
            both = self.to.node("Concat", raised, kept, axis=1)
            features.append(self.res_block(f"{name}.blocks.{index}", block, both))
        return features[::-1]

    def res_block(self, name: str, block: ResBlock, x: str) -> str:
        """Add `ResBlock`."""
        y = self._leaky(self.to.conv(f"{name}.conv1", block.conv1, x))
        y = self._leaky(self.to.conv(f"{name}.conv2", block.conv2, y))
        return self.to.node("Add", y, self.to.conv(f"{name}.identity", block.identity, x))

    def sam(self, name: str, sam: SAM, features: str, x: str) -> str:
        """Add `SAM`: the gated features."""
        to = self.to
        image = to.node("Add", to.conv(f"{name}.to_image", sam.to_image, features), x)
        gate = to.node("Sigmoid", to.conv(f"{name}.gate", sam.gate, image))
        own = to.conv(f"{name}.features", sam.features, features)
        return to.node("Add", to.node("Mul", own, gate), features)

    def dfr_block(
        self, name: str, block: DFRBlock, level: int, x: str, fused: tuple[str, str] | None
    ) -> str:
        """Add `DFRBlock`: spatial * energy + identity (+ CSFF)."""
        to, pixels = self.to, self.pixels[level]
        factors = []
        if block.spatial is not None:
            y = to.conv(f"{name}.spatial", block.spatial, x)
            if block.norm is not None:
                filtered, kept = to.halves(y)
                filtered = self.adaptive_norm(f"{name}.norm", block.norm, filtered, pixels)
                y = to.node("Concat", filtered, kept, axis=1)
            factors.append(self._leaky(y))
        if block.energy is not None:
            y = to.conv(f"{name}.energy", block.energy, x)
            # The weight is positive, so it may follow the activation.
            factors += [self._leaky(y), self.simam_weight(y, block.simam.delta, pixels)]
        terms = [self._chain("Mul", factors)] if factors else []
        if block.identity is not None:
            terms.append(to.conv(f"{name}.identity", block.identity, x))
        if fused is not None and block.fuse_encoder is not None and block.fuse_decoder is not None:
            terms.append(to.conv(f"{name}.fuse_encoder", block.fuse_encoder, fused[0]))
            terms.append(to.conv(f"{name}.fuse_decoder", block.fuse_decoder, fused[1]))
        out = self._chain("Add", terms)
        if block.limit is None:
            return out
        return to.node("Clip", out, to.constant(-block.limit), to.constant(block.limit))

    def simam_weight(self, y: str, delta: float, pixels: str) -> str:
        """Add `SimAM`'s sigmoid; its variance leaves one pixel out of the count."""
        to, one = self.to, self.to.constant(1.0)
        others = to.node("Div", to.node("Max", to.node("Sub", pixels, one), one), pixels)
        centred = to.node("Sub", y, to.reduce("ReduceMean", y, PLANE))
        squared = to.node("Mul", centred, centred)
        variance = to.node("Div", to.reduce("ReduceMean", squared, PLANE), others)
        divisor = to.node("Mul", to.node("Add", variance, to.constant(delta)), to.constant(4.0))
        energy = to.node("Mul", squared, to.node("Reciprocal", divisor))
        return to.node("Sigmoid", to.node("Add", energy, to.constant(0.5)))

    def adaptive_norm(self, name: str, norm: AdaptiveNorm, x: str, pixels: str) -> str:
        """Add `AdaptiveNorm`: normalised by region, then modulated by the response map."""
        to, maps = self.to, norm.map
        pooled = [to.reduce("ReduceMean", x, (1,)), to.reduce("ReduceMax", x, (1,))]
        response = to.conv(
            f"{name}.map.response", maps.response, to.node("Concat", *pooled, axis=1)
        )
        response = to.node("Sigmoid", response)
        gamma = to.conv(f"{name}.map.gamma", maps.gamma, response)
        gain = self._rows(to.node("Add", gamma, to.constant(1.0)))  # N x 1 x HW
        beta = self._rows(to.conv(f"{name}.map.beta", maps.beta, response))
        mask = to.node("GreaterOrEqual", response, to.constant(norm.threshold))
        inside = to.node("Cast", mask, to=TensorProto.FLOAT)
        outside = to.node("Sub", to.constant(1.0), inside)
        regions = self._rows(to.node("Concat", inside, outside, axis=1))  # N x 2 x HW
        centred, scale, shift = self.region_norm(f"{name}.norm", norm.norm, x, regions, pixels)
        scales = to.node("MatMul", scale, to.node("Mul", regions, gain))
        shifts = to.node("Add", to.node("Mul", shift, gain), beta)
        out = to.node("Add", to.node("Mul", centred, scales), shifts)  # N x C x HW
        return to.node("Reshape", out, to.node("Shape", x))

    def region_norm(
        self, name: str, norm: RegionNorm, x: str, regions: str, pixels: str
    ) -> tuple[str, str, str]:
        """Add `RegionNorm`, but for the last step: x without its region's mean (N x C x HW).

        Also the regions' scales (N x C x 2) and the shift (N x C x 1) that it still needs.
        """
        to = self.to
        rows, columns = self._rows(x), to.node("Transpose", regions, perm=[0, 2, 1])
        count = to.node("Max", to.reduce("ReduceSum", columns, (1,)), to.constant(1.0))  # N x 1 x 2
        mean = to.node("Div", to.node("MatMul", rows, columns), count)  # N x C x 2
        centred = to.node("Sub", rows, to.node("MatMul", mean, regions))
        squares = to.node("MatMul", to.node("Mul", centred, centred), columns)
        variance = to.node("Div", squares, pixels)
        deviation = to.node("Sqrt", to.node("Add", variance, to.constant(NORM_EPS)))
        share = to.node("Sqrt", to.node("Div", count, pixels))
        weight = to.weight(f"{name}.weight", norm.weight.view(1, -1, 1))
        bias = to.weight(f"{name}.bias", norm.bias.view(1, -1, 1))
        scale = to.node("Div", to.node("Mul", share, weight), deviation)
        return centred, scale, to.node("Mul", to.reduce("ReduceSum", share, (2,)), bias)

    def _count_pixels(self, x: str, depth: int) -> None:
        to = self.to
        size = to.reduce("ReduceProd", to.node("Shape", x, start=2), (0,))
        all_pixels = to.node("Cast", size, to=TensorProto.FLOAT)
        for level in range(depth):
            self.pixels.append(to.node("Div", all_pixels, to.constant(4.0**level)))

    def _rows(self, x: str) -> str:
        """Flatten N x C x H x W to N x C x HW."""
        return self.to.node("Reshape", x, self.to.constant([0, 0, -1]))

    def _leaky(self, y: str) -> str:
        return self.to.node("LeakyRelu", y, alpha=SLOPE)

    def _chain(self, operator: str, values: list[str]) -> str:
        return reduce(lambda left, right: self.to.node(operator, left, right), values)
