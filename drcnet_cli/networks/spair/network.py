"""SPAIR: spatially-adaptive image restoration using distortion-guided networks (Purohit et al.,
ICCV 2021).

Net_L finds which pixels are degraded; Net_R restores the picture, guided by the mask and by what
Net_L saw. Both are U-Nets of densely connected blocks.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.networks.layers import conv3x3, pad_to_multiple
from drcnet_cli.networks.spair.attention import SNL, NonLocal
from drcnet_cli.networks.spair.config import SPAIRConfig
from drcnet_cli.networks.spair.sparse import LAYERS, SLOPE, DenseBlock

EPSILON = 1e-5  # of SFM's deviation; ours
REACH = 4  # pixels: with `only_masked`, by how much a mask is widened, and then softened; ours


def masked_statistics(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the masked pixels for each picture and channel: N x C x 1 x 1.

    Printed, the deviation subtracts the mean where its square is meant, inside the sum:
    sqrt(E[x^2] - E[x]^2 + epsilon), here as the mean of squared differences, which is the same
    and does not cancel. Without any masked pixel both are of no picture, but finite.
    """
    count = mask.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (x * mask).sum((2, 3), keepdim=True) / count
    variance = ((x - mean).square() * mask).sum((2, 3), keepdim=True) / count
    return mean, (variance + EPSILON).sqrt()


class SFM(nn.Module):
    """Spatial feature modulator (section 3.2.1, eq. 1).

    Net_L's feature of the level is added, through a 1x1 convolution as it has fewer channels
    (ours); then degraded pixels get the mean and the deviation of the clean ones.
    """

    def __init__(self, channels: int, channels_found: int) -> None:
        super().__init__()
        self.bring = nn.Conv2d(channels_found, channels, 1)

    def forward(self, x: Tensor, found: Tensor, mask: Tensor) -> Tensor:
        """Turn N x channels x H x W into the same; `found` is Net_L's, mask N x 1 x H x W.

        A picture without degraded or without clean pixels keeps its statistics.
        """
        return modulate(x + self.bring(found), mask)


def modulate(x: Tensor, mask: Tensor) -> Tensor:
    """Give the masked pixels of N x C x H x W the statistics of the others (eq. 1), in float32."""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    mask = mask.to(exact.dtype)
    mean, deviation = masked_statistics(exact, mask)
    clean_mean, clean_deviation = masked_statistics(exact, 1 - mask)
    moved = (exact - mean) / deviation * clean_deviation + clean_mean
    share = mask.mean((2, 3), keepdim=True)
    both = ((share > 0) & (share < 1)).to(exact.dtype)
    return torch.lerp(exact, moved, mask * both).to(x.dtype)


class Encoder(nn.Module):
    """A pyramid of densely connected blocks, with a strided convolution between two."""

    def __init__(self, channels_in: int, widths: Sequence[int], layers: int) -> None:
        super().__init__()
        self.stem = conv3x3(channels_in, widths[0])
        self.blocks = nn.ModuleList(DenseBlock(width, layers) for width in widths)
        self.downs = nn.ModuleList(
            nn.Conv2d(above, below, 3, 2, 1)
            for above, below in zip(widths, widths[1:], strict=False)
        )

    def forward(
        self, x: Tensor, change: Callable[[int, Tensor], Tensor] = lambda _, x: x
    ) -> list[Tensor]:
        """Return each level's features, the finest first.

        `change(level, x)` makes what goes into the strided convolution, and on to the decoder.
        """
        x = F.leaky_relu(self.stem(x), SLOPE)
        found = []
        for level, (block, down) in enumerate(zip(self.blocks, self.downs, strict=False)):
            found.append(change(level, block(x)))
            x = F.leaky_relu(down(found[-1]), SLOPE)
        return [*found, self.blocks[-1](x)]


class Up(nn.Module):
    """Twice the resolution, joined by what the encoder had there."""

    def __init__(self, below: int, width: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(below, width, 2, 2)
        self.merge = conv3x3(2 * width, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Turn N x below x H/2 x W/2 and N x width x H x W into the latter's shape."""
        return F.leaky_relu(self.merge(torch.cat([self.up(x), skip], 1)), SLOPE)


def _ups(widths: Sequence[int]) -> nn.ModuleList:
    """Make what leads to each level but the lowest, the finest first."""
    return nn.ModuleList(Up(below, width) for width, below in zip(widths, widths[1:], strict=False))


class Localisation(nn.Module):
    """Net_L (section 3.1): Net_R's light sister: its dense blocks have fewer layers (ours)."""

    def __init__(self, config: SPAIRConfig) -> None:
        super().__init__()
        self.shrink = config.shrink
        widths = config.localisation_widths
        self.encoder = Encoder(3 * config.shrink**2, widths, LAYERS // 3)
        self.ups = _ups(widths)
        self.to_mask = conv3x3(widths[0], config.shrink**2)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the mask's logits, N x 1 x H x W, and the features that strided convolutions get.

        x is N x 3 x H x W, H and W multiples of the configuration's.
        """
        *skips, y = self.encoder(F.pixel_unshuffle(x, self.shrink))
        for up, skip in zip(reversed(self.ups), reversed(skips), strict=True):
            y = up(y, skip)
        return F.pixel_shuffle(self.to_mask(y), self.shrink), skips


class DecoderLevel(nn.Module):
    """A level of Net_R's decoder: up, then an SC and an SNL, or what table 6 has in their place."""

    def __init__(self, config: SPAIRConfig, level: int) -> None:
        super().__init__()
        width, below = config.widths[level : level + 2]
        self.up = Up(below, width)
        self.block = DenseBlock(width, LAYERS)
        self.masked = config.sparse_convolution
        self.attention = SNL(width) if config.sparse_non_local else None
        self.non_local = NonLocal(width) if config.non_local else None

    def forward(self, x: Tensor, skip: Tensor, mask: Tensor | None) -> Tensor:
        """Turn N x below x H/2 x W/2 and N x width x H x W into the latter's shape."""
        x = self.block(self.up(x, skip), mask if self.masked else None)
        if self.attention is not None and mask is not None:
            x = self.attention(x, mask)
        return x if self.non_local is None else self.non_local(x)


class Restoration(nn.Module):
    """Net_R (section 3.2)."""

    def __init__(self, config: SPAIRConfig) -> None:
        super().__init__()
        self.shrink = config.shrink
        self.multiply = config.multiply
        channels, widths = 3 * config.shrink**2, config.widths
        self.encoder = Encoder(channels, widths, LAYERS // 2)
        pairs = zip(widths[:-1], config.localisation_widths, strict=False)
        self.modulators = nn.ModuleList(SFM(*pair) for pair in pairs if config.modulation)
        self.decoder = nn.ModuleList(DecoderLevel(config, n) for n in range(len(widths) - 1))
        self.to_image = conv3x3(widths[0], channels * (1 + config.multiply))

    def forward(self, x: Tensor, mask: Tensor | None, found: Sequence[Tensor]) -> Tensor:
        """Return what is to be added to x, N x 3 x H x W.

        `mask`: N x 1 x H x W of zeros and ones, and `found`: Net_L's features of each level; None
        and nothing for Net1.
        """
        masks = self._masks(mask)

        def guide(level: int, y: Tensor) -> Tensor:
            there = masks[level]
            if not self.modulators or there is None:
                return y
            return self.modulators[level](y, found[level], there)

        *skips, y = self.encoder(F.pixel_unshuffle(x, self.shrink), guide)
        levels = list(zip(self.decoder, skips, masks, strict=False))
        for level, skip, there in reversed(levels):
            y = level(y, skip, there)
        change = F.pixel_shuffle(self.to_image(y), self.shrink)
        if not self.multiply:
            return change
        addition, share = change.chunk(2, 1)
        return torch.addcmul(addition, share, x)

    def _masks(self, mask: Tensor | None) -> Sequence[Tensor | None]:
        """Return the mask of each level: a pixel there is degraded if one that it covers is (ours).

        A clean pixel then never is one that saw damage from within.
        """
        if mask is None:
            return [None] * len(self.decoder)
        factors = (self.shrink * 2**level for level in range(len(self.decoder)))
        return [F.max_pool2d(mask, factor) for factor in factors]


class SPAIR(nn.Module):
    """The network; see `SPAIRConfig` for its sizes."""

    def __init__(self, config: SPAIRConfig | None = None) -> None:
        super().__init__()
        self.config = config or SPAIRConfig()
        self.localisation = Localisation(self.config)
        self.restoration = Restoration(self.config)

    def begin_at_input(self) -> None:
        """Let the network begin by changing nothing, and by taking nothing for degraded."""
        nn.init.zeros_(self.restoration.to_image.weight)
        nn.init.zeros_(self.restoration.to_image.bias)  # type: ignore[arg-type]

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        *,
        return_mask: bool = False,
        localise_only: bool = False,
    ) -> Any:  # noqa: ANN401 - by what is asked for
        """Restore N x 3 x H x W in [0, 1], any H and W >= 1; the result is not clipped.

        `mask`: N x 1 x H x W in [0, 1], taken for Net_L's. `return_mask` returns (image, mask as
        probabilities); `localise_only` the mask's logits alone, without restoring. Net_L gets no
        gradient from the image (section 3.2: it is trained before).
        """
        height, width = x.shape[2:]
        padded = pad_to_multiple(x, self.config.multiple)
        padded = padded.contiguous(memory_format=torch.channels_last)
        if localise_only:
            return self.localisation(padded)[0][..., :height, :width]
        if not self.config.guided and not return_mask:  # Net1
            return (padded + self.restoration(padded, None, ()))[..., :height, :width]
        with torch.no_grad():
            logits, found = self.localisation(padded)
            probability = logits.float().sigmoid()
            if mask is not None:
                probability = pad_to_multiple(mask.float(), self.config.multiple)
        degraded = (probability >= self.config.mask_threshold).to(padded.dtype)
        image = self._restore(padded, degraded, found)[..., :height, :width]
        return (image, probability[..., :height, :width]) if return_mask else image

    def _restore(self, x: Tensor, mask: Tensor, found: Sequence[Tensor]) -> Tensor:
        if not self.config.guided:
            return x + self.restoration(x, None, ())
        if not self.config.only_masked:
            return x + self.restoration(x, mask, found)
        # Pictures without any damage are finished; but training's steps are all alike.
        some = mask.flatten(1).any(1) | torch.is_grad_enabled()
        if not some.any():
            return x
        if not some.all():
            x = x.clone()
            x[some] = self._restore(x[some], mask[some], [level[some] for level in found])
            return x
        return x + self.restoration(x, mask, found) * around(mask)


def around(mask: Tensor) -> Tensor:
    """Widen N x 1 x H x W of zeros and ones: 1 where it is, 0 from 2 * REACH pixels on."""
    side = 2 * REACH + 1
    wide = F.max_pool2d(mask, side, 1, REACH)
    return F.avg_pool2d(wide, side, 1, REACH, count_include_pad=False)
