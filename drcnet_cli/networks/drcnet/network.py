"""DRCNet: the Dynamic Image Restoration Contrastive Network (Li, Shen, Mi, Li, ECCV 2022).

Two U-Nets in a row. The first one's decoder gives an image through the supervised attention
module (SAM); the second sees the input again together with SAM's features and, level by level, the
first one's features (cross-stage feature fusion, CSFF), and gives the image that is kept.
"""

import torch
from torch import Tensor, nn

from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.blocks import SAM, ResBlock
from drcnet_cli.networks.drcnet.others import encoder_block
from drcnet_cli.networks.layers import conv3x3, pad_to_multiple


class Encoder(nn.Module):
    """`depth` blocks, the paper's DFR, with 4x4 stride-2 convolutions between them."""

    def __init__(self, config: DRCNetConfig, second_stage: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.downs = nn.ModuleList()
        channels_in = config.width
        for level in range(config.depth):
            channels = config.width * 2**level
            deepest = level == config.depth - 1
            fuses = second_stage and not deepest
            self.blocks.append(encoder_block(config, level, channels_in, channels, fuses))
            if not deepest:
                self.downs.append(nn.Conv2d(channels, channels, 4, 2, 1, bias=False))
            channels_in = channels

    def forward(
        self, x: Tensor, fused: list[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the deepest features, and each level's features before its down-sampling."""
        skips = []
        for level, down in enumerate(self.downs):
            x = self.blocks[level](x, fused[level] if fused else None)
            skips.append(x)
            x = down(x)  # N x C x H x W -> N x C x H/2 x W/2
        return self.blocks[-1](x), skips


class Decoder(nn.Module):
    """`depth` - 1 levels: 2x2 transposed convolution, skip through a 3x3 convolution, ResBlock."""

    def __init__(self, config: DRCNetConfig) -> None:
        super().__init__()
        channels = [config.width * 2**level for level in reversed(range(config.depth - 1))]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, 2) for c in channels)
        self.skips = nn.ModuleList(conv3x3(c, c) for c in channels)
        self.blocks = nn.ModuleList(ResBlock(2 * c, c) for c in channels)

    def forward(self, x: Tensor, skips: list[Tensor]) -> list[Tensor]:
        """Return the features of each level, the full resolution first."""
        features = [x]
        for up, skip, block, encoded in zip(
            self.ups, self.skips, self.blocks, reversed(skips), strict=True
        ):
            features.append(block(torch.cat([up(features[-1]), skip(encoded)], dim=1)))
        return features[::-1]


class DRCNet(nn.Module):
    """The network; see `DRCNetConfig` for its sizes."""

    def __init__(self, config: DRCNetConfig | None = None) -> None:
        super().__init__()
        self.config = config or DRCNetConfig()
        width = self.config.width
        self.shallow1 = conv3x3(3, width)
        self.encoder1 = Encoder(self.config, second_stage=False)
        self.decoder1 = Decoder(self.config)
        self.sam = SAM(width)
        self.shallow2 = conv3x3(3, width)
        self.merge = nn.Conv2d(2 * width, width, 1)
        self.encoder2 = Encoder(self.config, second_stage=True)
        self.decoder2 = Decoder(self.config)
        self.to_residual = conv3x3(width, 3)

    def begin_at_input(self) -> None:
        """Zero what both stages add to the input, so that training starts there, not at noise."""
        for layer in (self.sam.to_image, self.to_residual):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, *, return_stages: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Restore N x 3 x H x W in [0, 1], any H and W >= 1; the result is not clipped.

        `return_stages` returns (stage 1's image, stage 2's image): training supervises both. Each
        image is restored by itself, whatever else is in its batch.
        """
        height, width = x.shape[2:]
        x = pad_to_multiple(x, self.config.multiple)
        deepest, encoded = self.encoder1(self.shallow1(x))
        decoded = self.decoder1(deepest, encoded)
        gated, image1 = self.sam(decoded[0], x)
        merged = self.merge(torch.cat([self.shallow2(x), gated], dim=1))
        fused = list(zip(encoded, decoded[: len(encoded)], strict=True))
        deepest, encoded = self.encoder2(merged, fused)
        decoded = self.decoder2(deepest, encoded)
        image2 = self.to_residual(decoded[0]) + x
        image2 = image2[..., :height, :width]
        return (image1[..., :height, :width], image2) if return_stages else image2
