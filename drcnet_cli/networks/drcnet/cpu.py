"""DRCNet for inference on a CPU: the arithmetic of `network.py` in fewer passes over memory.

`FastDRCNet(network, dtype)` is a copy of a network in one number type, so nothing is converted
between operations; it cannot be trained, and a state dict belongs to `DRCNet` only. Activations
and sums are parts of the convolutions before them (`PackedConv`), statistics are matrix products
(`cpu_norm.py`), results are written over what is no longer needed.
"""

from collections.abc import Callable
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.networks.drcnet import DFR
from drcnet_cli.networks.drcnet.blocks import SAM, SLOPE, DFRBlock, ResBlock
from drcnet_cli.networks.drcnet.cpu_norm import FastAdaptiveNorm, simam_weight
from drcnet_cli.networks.drcnet.network import Decoder, DRCNet, Encoder
from drcnet_cli.networks.layers import PackedConv, pad_to_multiple, to_pixels

Fused = list[tuple[Tensor, Tensor]]


def fast_form(network: DRCNet, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    """Return the quickest form there is; of another block than DFR, the network as it is."""
    if network.config.block == DFR:
        return FastDRCNet(network, dtype)

    @torch.inference_mode()
    def plain(x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            return network(x).float()

    return plain


class FastDRCNet:
    """Restores as `network` does, in `dtype`: N x 3 x H x W in [0, 1] -> the same shape, float32.

    Takes the weights that the network has now; later changes do not reach it. No gradients.
    """

    def __init__(self, network: DRCNet, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.multiple = network.config.multiple
        self.shallow1 = PackedConv.of(network.shallow1, dtype)
        self.encoder1 = FastEncoder(network.encoder1, dtype)
        self.decoder1 = FastDecoder(network.decoder1, dtype)
        self.sam = FastSAM(network.sam, dtype)
        self.shallow2, self.merge = split_merge(network.shallow2, network.merge, dtype)
        self.encoder2 = FastEncoder(network.encoder2, dtype)
        self.decoder2 = FastDecoder(network.decoder2, dtype)
        self.to_residual = FastToImage(network.to_residual, dtype)

    @torch.inference_mode()
    def __call__(self, x: Tensor) -> Tensor:
        """Return the second stage's image, not clipped."""
        height, width = x.shape[2:]
        padded = pad_to_multiple(x, self.multiple)
        image = padded.to(self.dtype).contiguous(memory_format=torch.channels_last)
        encoded = self.encoder1(self.shallow1(image))
        decoded = self.decoder1(encoded)
        gated = self.sam(decoded[0], image)
        merged = self.merge.add_to(self.shallow2(image), gated)
        encoded = self.encoder2(merged, list(zip(encoded, decoded, strict=True)))
        residual = self.to_residual(self.decoder2(encoded)[0])
        return (residual.float() + padded.float())[..., :height, :width]


def split_merge(
    shallow: nn.Conv2d, merge: nn.Conv2d, dtype: torch.dtype
) -> tuple[PackedConv, PackedConv]:
    """Split merge(cat[shallow(x), gated]) into a sum: a 3x3 convolution of x, a 1x1 of gated."""
    assert merge.bias is not None and shallow.bias is not None
    mixing = merge.weight.detach().float()[:, : shallow.out_channels, 0, 0]
    weight = torch.einsum("oc,cihw->oihw", mixing, shallow.weight.detach().float())
    bias = mixing @ shallow.bias.detach().float() + merge.bias.detach().float()
    return PackedConv(weight, bias, dtype, 1), halves(merge, dtype)[1]


def halves(conv: nn.Conv2d, dtype: torch.dtype) -> tuple[PackedConv, PackedConv]:
    """Split a convolution by its input channels; the sum of both is the whole."""
    first, second = conv.weight.detach().chunk(2, dim=1)
    padding = int(conv.padding[0])
    return (
        PackedConv(first, conv.bias, dtype, padding),
        PackedConv(second, None, dtype, padding),
    )


class FastEncoder:
    """`Encoder`: the features of each level, the full resolution first."""

    def __init__(self, encoder: Encoder, dtype: torch.dtype) -> None:
        blocks = [block for block in encoder.blocks if isinstance(block, DFRBlock)]
        self.blocks = [FastDFRBlock(block, dtype) for block in blocks]
        self.downs = [PackedConv.of(down, dtype) for down in convolutions(encoder.downs)]

    def __call__(self, x: Tensor, fused: Fused | None = None) -> list[Tensor]:
        """Go down level by level; `fused` holds stage 1's encoder and decoder features."""
        features = []
        for level, block in enumerate(self.blocks):
            deepest = level == len(self.downs)
            features.append(block(x, fused[level] if fused and not deepest else None))
            if not deepest:
                x = self.downs[level](features[-1])
        return features


class FastDecoder:
    """`Decoder`: the features of each level, the full resolution first."""

    def __init__(self, decoder: Decoder, dtype: torch.dtype) -> None:
        self.ups = [
            (up.weight.detach().to(dtype), None if up.bias is None else up.bias.detach().to(dtype))
            for up in decoder.ups
            if isinstance(up, nn.ConvTranspose2d)
        ]
        self.skips = [PackedConv.of(skip, dtype) for skip in convolutions(decoder.skips)]
        self.blocks = [
            FastResBlock(block, dtype) for block in decoder.blocks if isinstance(block, ResBlock)
        ]

    def __call__(self, encoded: list[Tensor]) -> list[Tensor]:
        """Go up level by level from the deepest of the encoder's features."""
        *skipped, x = encoded
        features = [x]
        for (weight, bias), skip, block in zip(self.ups, self.skips, self.blocks, strict=True):
            up = F.conv_transpose2d(features[-1], weight, bias, stride=2)
            features.append(block(up, skip(skipped.pop())))
        return features[::-1]


class FastResBlock:
    """`ResBlock` of two halves of its input, which need not be copied together first."""

    def __init__(self, block: ResBlock, dtype: torch.dtype) -> None:
        self.conv1 = halves(block.conv1, dtype)
        self.conv2 = PackedConv.of(block.conv2, dtype)
        self.identity = halves(block.identity, dtype)

    def __call__(self, up: Tensor, skip: Tensor) -> Tensor:
        """Turn N x C x H x W, twice, into N x C x H x W."""
        y = F.leaky_relu_(self.conv1[1].add_to(self.conv1[0](up), skip), SLOPE)
        y = self.conv2.leaky(y, SLOPE)
        for identity, half in zip(self.identity, (up, skip), strict=True):
            y = identity.add_to(y, half)
        return y


class FastSAM:
    """`SAM`, without the image that only training looks at."""

    def __init__(self, sam: SAM, dtype: torch.dtype) -> None:
        self.to_image = FastToImage(sam.to_image, dtype)
        self.features, self.gate = (
            PackedConv.of(sam.features, dtype),
            PackedConv.of(sam.gate, dtype),
        )

    def __call__(self, features: Tensor, x: Tensor) -> Tensor:
        """Return the gated features."""
        gate = self.gate.sigmoid(self.to_image(features).add_(x))
        return self.features(features).mul_(gate).add_(features)


class FastToImage:
    """A 3x3 convolution to three channels, of four pixels at once where sides are even.

    Processors compute sixteen outputs as fast as three; 2x2 pixels have twelve, and take 16 steps a
    channel where one by one they take 36.
    """

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype) -> None:
        assert conv.bias is not None
        self.single = PackedConv.of(conv, dtype)
        kernel = conv.weight.detach()
        shifted = [F.pad(kernel, (j, 1 - j, i, 1 - i)) for i in range(2) for j in range(2)]
        self.four = PackedConv(torch.cat(shifted), conv.bias.detach().repeat(4), dtype, 1, 2)

    def __call__(self, x: Tensor) -> Tensor:
        """Turn N x C x H x W into N x 3 x H x W."""
        if x.shape[2] % 2 or x.shape[3] % 2:
            return self.single(x)
        return to_pixels(self.four(x), 2)


class FastDFRBlock:
    """`DFRBlock`: spatial * energy + identity (+ CSFF), added up in place."""

    def __init__(self, block: DFRBlock, dtype: torch.dtype) -> None:
        names = ("spatial", "energy", "identity", "fuse_encoder", "fuse_decoder")
        convs = {name: getattr(block, name) for name in names}
        packed = {
            name: PackedConv.of(conv, dtype) for name, conv in convs.items() if conv is not None
        }
        self.spatial, self.energy = packed.get("spatial"), packed.get("energy")
        self.identity = packed.get("identity")
        self.fuse_encoder = packed.get("fuse_encoder")
        self.fuse_decoder = packed.get("fuse_decoder")
        self.norm = FastAdaptiveNorm(block.norm, dtype) if block.norm is not None else None
        self.delta, self.limit = block.simam.delta, block.limit

    def __call__(self, x: Tensor, fused: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Filter x; `fused` holds stage 1's encoder and decoder features of this level."""
        filters = []
        if self.spatial is not None:
            filters.append(self._spatial_filter(self.spatial, x))
        if self.energy is not None:
            y = self.energy(x)
            weight = simam_weight(y, self.delta)
            filters.append(F.leaky_relu_(y, SLOPE).mul_(weight))  # as the weight is positive
        if self.identity is None:
            out = reduce(Tensor.mul_, filters)
        else:
            out = self.identity(x)
            out = out.addcmul_(*filters) if len(filters) == 2 else reduce(Tensor.add_, filters, out)
        if fused is not None and self.fuse_encoder is not None and self.fuse_decoder is not None:
            out = self.fuse_encoder.add_to(out, fused[0])
            out = self.fuse_decoder.add_to(out, fused[1])
        return out if self.limit is None else out.clamp_(-self.limit, self.limit)

    def _spatial_filter(self, spatial: PackedConv, x: Tensor) -> Tensor:
        if self.norm is None:
            return spatial.leaky(x, SLOPE)
        return F.leaky_relu_(self.norm(spatial(x)), SLOPE)


def convolutions(modules: nn.ModuleList) -> list[nn.Conv2d]:
    """Return a list's modules, typed as the convolutions that they are."""
    return [module for module in modules if isinstance(module, nn.Conv2d)]
