"""DRCNet: the Dynamic Image Restoration Contrastive Network (Li, Shen, Mi, Li, ECCV 2022).

Two U-Nets in a row. The first one's decoder gives an image through the supervised attention
module (SAM); the second sees the input again together with SAM's features and, level by level, the
first one's features (cross-stage feature fusion, CSFF), and gives the image that is kept.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.errors import CheckpointFormatError, brief
from drcnet_cli.model.layers import AdaptiveNorm, SimAM, conv3x3, pad_to_multiple

SLOPE = 0.2  # of every leaky ReLU, in the paper and in the released code
MAX_WIDTH = 512
MAX_DEPTH = 6
LIMIT_GROWTH = 4  # features of pictures grow about fivefold from a level to the one below


@dataclass(frozen=True)
class DRCNetConfig:
    """Everything that decides the network's shape and arithmetic; defaults are the paper's.

    `width`: channels of the first level, doubled at each of `depth` levels. `threshold` splits the
    response map, `delta` regularises SimAM. `filter_levels` lists the levels (0 is full
    resolution) whose spatial branch has the adaptive normalisation; None means all. The last
    three switch the branches of section 3.2 off for ablations: the filter branches that are left
    are multiplied, the identity is added.
    """

    width: int = 64
    depth: int = 4
    threshold: float = 0.75
    delta: float = 1e-6
    filter_levels: tuple[int, ...] | None = None
    spatial_filter: bool = True
    energy_attention: bool = True
    identity_branch: bool = True
    feature_limit: float | None = None

    def __post_init__(self) -> None:
        """Check the ranges; raise CheckpointFormatError, as a config mostly comes from a file."""
        # Out of range, the depth ends here: as many levels would have to be listed.
        depth = self.depth if 1 <= self.depth <= MAX_DEPTH else 0
        levels = range(depth) if self.filter_levels is None else self.filter_levels
        object.__setattr__(self, "filter_levels", tuple(sorted(set(levels))))
        problems = {
            f"width {brief(self.width)} is not an even number in 2..{MAX_WIDTH}": self.width % 2
            or not 2 <= self.width <= MAX_WIDTH,
            f"depth {brief(self.depth)} is not in 1..{MAX_DEPTH}": not depth,
            f"threshold {brief(self.threshold)} is not in 0..1": not 0 <= self.threshold <= 1,
            # Only float32 and larger numbers take part in the arithmetic.
            f"delta {brief(self.delta)} is not in 1e-38..1e38": not 1e-38 <= self.delta <= 1e38,
            f"filter_levels {brief(self.filter_levels)} names a level outside 0..{depth - 1}": any(
                not 0 <= level < self.depth for level in self.filter_levels or ()
            ),
            f"feature_limit {brief(self.feature_limit)} is not in 1..1e6": self.feature_limit
            is not None
            and not 1 <= self.feature_limit <= 1e6,
            "spatial_filter, energy_attention and identity_branch are all off": not (
                self.spatial_filter or self.energy_attention or self.identity_branch
            ),
        }
        for problem, present in problems.items():
            if present:
                raise CheckpointFormatError(f"Impossible network configuration: {problem}.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "DRCNetConfig":
        """Build from JSON values; raise CheckpointFormatError for unknown or mistyped fields."""
        known = {name: field.type for name, field in cls.__dataclass_fields__.items()}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise CheckpointFormatError(
                f"Unknown field in the network configuration: {brief(unknown)}.",
                "The file may come from a newer version: pip install --upgrade drcnet",
            )
        checked = {name: _checked_value(name, value) for name, value in values.items()}
        return cls(**checked)

    def to_dict(self) -> dict[str, Any]:
        """Give the values for JSON: what from_dict takes."""
        values = {**asdict(self), "filter_levels": list(self.filter_levels or ())}
        if self.feature_limit is None:  # which versions that know of none can read, too
            del values["feature_limit"]
        return values

    def limit_at(self, level: int) -> float | None:
        """Return how large the features of a level may be, if that is limited."""
        return None if self.feature_limit is None else self.feature_limit * LIMIT_GROWTH**level

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this; `DRCNet.forward` pads to it."""
        return 2 ** (self.depth - 1)


def _checked_value(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON holds anything
    """Check one JSON value against its field's type; bool is no number here."""
    wanted: dict[str, type | tuple[type, ...]] = {
        "width": int,
        "depth": int,
        "threshold": (int, float),
        "delta": (int, float),
        "feature_limit": (int, float),
    }
    if name == "filter_levels":
        if isinstance(value, list | tuple) and all(type(level) is int for level in value):
            return tuple(value)
        if value is None:
            return None
    elif name == "feature_limit" and value is None:
        return None
    elif name in wanted:
        if isinstance(value, wanted[name]) and not isinstance(value, bool):
            return value
    elif isinstance(value, bool):
        return value
    raise CheckpointFormatError(f"Network configuration: {name} cannot be {brief(value)}.")


class DFRBlock(nn.Module):
    """Dynamic filter restoration block (section 3.2): spatial * energy + identity (+ CSFF).

    N x channels_in x H x W -> N x channels_out x H x W. `fuses` adds the cross-stage feature
    fusion with the first stage's encoder and decoder features of the same level.
    """

    def __init__(
        self, config: DRCNetConfig, level: int, channels_in: int, channels_out: int, fuses: bool
    ) -> None:
        super().__init__()
        filters = level in (config.filter_levels or ())
        self.spatial = conv3x3(channels_in, channels_out) if config.spatial_filter else None
        self.norm = (
            AdaptiveNorm(channels_out // 2, config.threshold)
            if config.spatial_filter and filters
            else None
        )
        self.energy = conv3x3(channels_in, channels_out) if config.energy_attention else None
        self.simam = SimAM(config.delta)
        self.identity = nn.Conv2d(channels_in, channels_out, 1) if config.identity_branch else None
        self.fuse_encoder = conv3x3(channels_out, channels_out) if fuses else None
        self.fuse_decoder = conv3x3(channels_out, channels_out) if fuses else None
        self.limit = config.limit_at(level)

    def forward(self, x: Tensor, fused: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Filter x; `fused` holds stage 1's encoder and decoder features of this level."""
        filters = []
        if self.spatial is not None:
            filters.append(self._spatial_filter(self.spatial(x)))
        if self.energy is not None:
            filters.append(F.leaky_relu(self.simam(self.energy(x)), SLOPE))
        terms = [reduce(torch.mul, filters)] if filters else []
        if self.identity is not None:
            terms.append(self.identity(x))
        if fused is not None and self.fuse_encoder is not None and self.fuse_decoder is not None:
            terms += [self.fuse_encoder(fused[0]), self.fuse_decoder(fused[1])]
        out = reduce(torch.add, terms)
        return out if self.limit is None else out.clamp(-self.limit, self.limit)

    def _spatial_filter(self, y: Tensor) -> Tensor:
        """Normalise the first half of the channels, keep the second (section 3.2)."""
        if self.norm is not None:
            filtered, kept = y.chunk(2, dim=1)
            y = torch.cat([self.norm(filtered), kept], dim=1)
        return F.leaky_relu(y, SLOPE)


class ResBlock(nn.Module):
    """Two activated 3x3 convolutions beside a 1x1 convolution of the input."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels_in, channels_out)
        self.conv2 = conv3x3(channels_out, channels_out)
        self.identity = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N x channels_in x H x W -> N x channels_out x H x W."""
        y = F.leaky_relu(self.conv1(x), SLOPE)
        return F.leaky_relu(self.conv2(y), SLOPE) + self.identity(x)


class Encoder(nn.Module):
    """`depth` DFR blocks with 4x4 stride-2 convolutions between them."""

    def __init__(self, config: DRCNetConfig, second_stage: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        self.downs = nn.ModuleList()
        channels_in = config.width
        for level in range(config.depth):
            channels = config.width * 2**level
            deepest = level == config.depth - 1
            fuses = second_stage and not deepest
            self.blocks.append(DFRBlock(config, level, channels_in, channels, fuses))
            if not deepest:
                self.downs.append(nn.Conv2d(channels, channels, 4, 2, 1, bias=False))
            channels_in = channels

    def forward(
        self, x: Tensor, fused: list[tuple[Tensor, Tensor]] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Give the deepest features, and each level's features before its down-sampling."""
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
        """Give the features of each level, the full resolution first."""
        features = [x]
        for up, skip, block, encoded in zip(
            self.ups, self.skips, self.blocks, reversed(skips), strict=True
        ):
            features.append(block(torch.cat([up(features[-1]), skip(encoded)], dim=1)))
        return features[::-1]


class SAM(nn.Module):
    """Supervised attention module: an image of stage 1, and features gated by that image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_image = conv3x3(width, 3)
        self.features = conv3x3(width, width)
        self.gate = conv3x3(3, width)

    def forward(self, features: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Give the gated features (N x width x H x W) and the image (N x 3 x H x W)."""
        image = self.to_image(features) + x
        return self.features(features) * torch.sigmoid(self.gate(image)) + features, image


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

    def forward(self, x: Tensor, *, return_stages: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Restore N x 3 x H x W in [0, 1], any H and W >= 1; the result is not clipped.

        `return_stages` gives (stage 1's image, stage 2's image): training supervises both. Each
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
