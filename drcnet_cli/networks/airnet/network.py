"""AirNet: all-in-one image restoration for unknown corruption (Li et al., CVPR 2022).

An encoder (CBDE) looks at the picture and tells what is wrong with it, as a vector and, of its
first block, as a map of features; a network (DGRN) restores the picture under the guidance of that
map, by deformable convolutions and modulation.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.airnet.deformable import TAPS, deformable_conv
from drcnet_cli.networks.layers import conv3x3, pad_to_multiple

SLOPE = 0.1  # of every leaky ReLU, in the released code


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation without a count of batches, which no forward pass makes use of.

    Checkpoints hold floating point alone, and float16 ends where such counts begin.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.num_batches_tracked = None

    def _load_from_state_dict(self, *args: Any) -> None:  # noqa: ANN401 # pyright: ignore
        # torch's class would put the count in where it is missing, and then not know it.
        nn.Module._load_from_state_dict(self, *args)


class ResidualBlock(nn.Module):
    """The encoder's block: two 3x3 convolutions beside a 1x1 one, all normalised by batch norm."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = BatchNorm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = BatchNorm(channels_out)
        self.stride = stride
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.shortcut_norm = BatchNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Turn N x channels_in x H x W into N x channels_out x H/stride x W/stride, rounded up."""
        y = F.leaky_relu(self.norm1(self.conv1(x)), SLOPE)
        # What a 1x1 convolution with a stride sees. With one, torch 2.13's backward pass writes
        # beyond its memory where channels are few and last, on processors with AVX2 alone.
        seen = x[..., :: self.stride, :: self.stride]
        return F.leaky_relu(
            self.norm2(self.conv2(y)) + self.shortcut_norm(self.shortcut(seen)), SLOPE
        )


class CBDE(nn.Module):
    """Contrastive-based degradation encoder (section 3.2)."""

    def __init__(self, config: AirNetConfig) -> None:
        super().__init__()
        first, second, third = config.encoder_widths
        self.shrink = config.shrink
        self.first = ResidualBlock(3 * config.shrink**2, first, 1)
        self.second = ResidualBlock(first, second, 2)
        self.third = ResidualBlock(second, third, 2)
        self.hidden = nn.Linear(third, third)
        self.project = nn.Linear(third, third)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the guide z, N x first x H/shrink x W/shrink, and the embedding q, N x third.

        x is N x 3 x H x W, H and W multiples of `shrink`.
        """
        guide = self.guide(x)
        return guide, self.embed(guide)

    def guide(self, x: Tensor) -> Tensor:
        """Return the first block's map alone: restoring needs no more."""
        return self.first(F.pixel_unshuffle(x, self.shrink))

    def summary(self, guide: Tensor) -> Tensor:
        """Return what the blocks say of a whole picture, N x third: the last one's mean."""
        deep = self.third(self.second(guide))
        return deep.float().mean((2, 3)).to(deep.dtype)

    def summary_modules(self) -> list[nn.Module]:
        """List the blocks behind the guide, which restoring has no use for."""
        return [self.second, self.third]

    def embed(self, guide: Tensor) -> Tensor:
        """Return the embedding of a picture by its guide; two pictures are alike by its angle."""
        return self.project(F.leaky_relu(self.hidden(self.summary(guide)), SLOPE))


class DCN(nn.Module):
    """Deformable convolution whose places and masks come from x and the guide (eq. 5 and 6)."""

    def __init__(self, config: AirNetConfig) -> None:
        super().__init__()
        both = config.features + config.encoder_widths[0]
        self.weight = nn.Parameter(torch.empty(config.features, config.features, 3, 3))
        self.places = conv3x3(both, 3 * TAPS)
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        # As in the released code: a plain convolution at half strength to begin with.
        nn.init.zeros_(self.places.weight)
        nn.init.zeros_(self.places.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Turn N x features x H x W into the same shape."""
        found = self.places(torch.cat([x, guide], dim=1))
        offsets, mask = found[:, : 2 * TAPS], torch.sigmoid(found[:, 2 * TAPS :])
        return deformable_conv(x, offsets, mask, self.weight)


class SFT(nn.Module):
    """Spatial feature transform: gamma(guide) * x + beta(guide) (eq. 8)."""

    def __init__(self, config: AirNetConfig) -> None:
        super().__init__()
        features, guide = config.features, config.encoder_widths[0]
        self.gamma1 = nn.Conv2d(guide, features, 1, bias=False)
        self.gamma2 = nn.Conv2d(features, features, 1, bias=False)
        self.beta1 = nn.Conv2d(guide, features, 1, bias=False)
        self.beta2 = nn.Conv2d(features, features, 1, bias=False)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Turn N x features x H x W into the same shape."""
        gamma = self.gamma2(F.leaky_relu(self.gamma1(guide), SLOPE))
        beta = self.beta2(F.leaky_relu(self.beta1(guide), SLOPE))
        return x * gamma + beta


class DGM(nn.Module):
    """Degradation-guided module: x + DCN(x | z) + SFT(x | z).

    Eq. 4 has no x; the released code adds it.
    """

    def __init__(self, config: AirNetConfig) -> None:
        super().__init__()
        self.deform = DCN(config) if config.deformable else None
        self.modulate = SFT(config) if config.modulation else None

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Turn N x features x H x W into the same shape."""
        out = x
        if self.deform is not None:
            out = out + self.deform(x, guide)
        if self.modulate is not None:
            out = out + self.modulate(x, guide)
        return out


class DGB(nn.Module):
    """Degradation-guided block: two modules, a 3x3 convolution after each."""

    def __init__(self, config: AirNetConfig) -> None:
        super().__init__()
        self.module1 = DGM(config)
        self.conv1 = conv3x3(config.features, config.features)
        self.module2 = DGM(config)
        self.conv2 = conv3x3(config.features, config.features)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Turn N x features x H x W into the same shape."""
        y = F.leaky_relu(self.module1(x, guide), SLOPE)
        y = F.leaky_relu(self.conv1(y), SLOPE)
        y = F.leaky_relu(self.module2(y, guide), SLOPE)
        return self.conv2(y) + x


class DGG(nn.Module):
    """Degradation-guided group: blocks, a 3x3 convolution, and what came in."""

    def __init__(self, config: AirNetConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DGB(config) for _ in range(config.blocks))
        self.conv = conv3x3(config.features, config.features)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Turn N x features x H x W into the same shape."""
        y = x
        for block in self.blocks:
            y = block(y, guide)
        return self.conv(y) + x


class DGRN(nn.Module):
    """Degradation-guided restoration network (section 3.3)."""

    def __init__(self, config: AirNetConfig) -> None:
        super().__init__()
        self.config = config
        channels = 3 * config.shrink**2
        self.shallow = conv3x3(channels, config.features)
        self.groups = nn.ModuleList(DGG(config) for _ in range(config.groups))
        self.merge = conv3x3(config.features, config.features)
        self.to_image = conv3x3(config.features, channels)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Restore x (N x 3 x H x W, multiples of `shrink`) with the encoder's map of it."""
        features = self.shallow(F.pixel_unshuffle(x, self.config.shrink))
        y = features
        for group in self.groups:
            y = group(y, guide)
        image = F.pixel_shuffle(self.to_image(self.merge(y) + features), self.config.shrink)
        return image + x if self.config.input_skip else image


class AirNet(nn.Module):
    """The network; see `AirNetConfig` for its sizes."""

    def __init__(self, config: AirNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or AirNetConfig()
        self.encoder = CBDE(self.config)
        self.restorer = DGRN(self.config)

    def begin_at_input(self) -> None:
        """With `input_skip`, let the network begin by changing nothing; without, there's no such.

        Fresh weights would add noise to a picture that needs little.
        """
        if self.config.input_skip:
            nn.init.zeros_(self.restorer.to_image.weight)
            nn.init.zeros_(self.restorer.to_image.bias)  # type: ignore[arg-type]

    def summarise(self, x: Tensor) -> Tensor:
        """Return what the encoder's last block says of pictures, N x 3 x H x W: N x C."""
        return self.encoder.summary(self.encoder.guide(pad_to_multiple(x, self.config.multiple)))

    def forward(
        self, x: Tensor, *, return_embedding: bool = False, encoder_only: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Restore N x 3 x H x W in [0, 1], any H and W >= 1; the result is not clipped.

        `return_embedding` returns (image, the encoder's N x C embedding), for training and for
        telling what is wrong; `encoder_only` the embedding alone, without restoring. In eval mode
        each image is restored by itself, whatever else is in its batch.
        """
        height, width = x.shape[2:]
        x = pad_to_multiple(x, self.config.multiple)
        # The layout that the convolutions and the sampling of a CPU are fastest in.
        x = x.contiguous(memory_format=torch.channels_last)
        guide = self.encoder.guide(x)
        if encoder_only:
            return self.encoder.embed(guide)
        image = self.restorer(x, guide)[..., :height, :width]
        return (image, self.encoder.embed(guide)) if return_embedding else image
