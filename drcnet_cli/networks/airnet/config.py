"""What decides the shape and the arithmetic of an AirNet; it travels in the checkpoint."""

from dataclasses import dataclass

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.architecture import NetworkConfig
from drcnet_cli.text import shorten

MAX_CHANNELS = 512
MAX_COUNT = 16  # of groups, and of blocks in a group
SHRINKS = (1, 2, 4)


@dataclass(frozen=True)
class AirNetConfig(NetworkConfig):
    """Everything that decides the network's shape and arithmetic; defaults are the paper's.

    `features`: channels of the restorer's maps. `groups` (DGG) of `blocks` (DGB) each.
    `encoder_widths`: channels of the encoder's three blocks; the first block's map guides the
    restorer, the last's mean is the embedding. `deformable` and `modulation` switch the two halves
    of a module off (table 7, "w.o. DCN" and "w.o. SFT").

    The last two are not of the paper. `shrink`: both networks work on pixels of `shrink` x `shrink`
    of the picture's, 3 * shrink**2 channels, for a fraction of the time. `input_skip` adds the
    picture to the result, so that a network learns what is wrong with it alone.
    """

    features: int = 64
    groups: int = 5
    blocks: int = 5
    encoder_widths: tuple[int, int, int] = (64, 128, 256)
    deformable: bool = True
    modulation: bool = True
    shrink: int = 1
    input_skip: bool = False

    def __post_init__(self) -> None:
        """Check the ranges; raise CheckpointFormatError, as a config mostly comes from a file."""
        widths = self.encoder_widths
        problems = {
            f"features {shorten(self.features)} is not in 1..{MAX_CHANNELS}": not (
                1 <= self.features <= MAX_CHANNELS
            ),
            f"groups {shorten(self.groups)} is not in 1..{MAX_COUNT}": not (
                1 <= self.groups <= MAX_COUNT
            ),
            f"blocks {shorten(self.blocks)} is not in 1..{MAX_COUNT}": not (
                1 <= self.blocks <= MAX_COUNT
            ),
            f"encoder_widths {shorten(widths)} are not three numbers in 1..{MAX_CHANNELS}": (
                len(widths) != 3 or not all(1 <= width <= MAX_CHANNELS for width in widths)
            ),
            f"shrink {shorten(self.shrink)} is not one of {SHRINKS}": self.shrink not in SHRINKS,
            "deformable and modulation are both off": not (self.deformable or self.modulation),
        }
        for problem, present in problems.items():
            if present:
                raise CheckpointFormatError(f"Impossible network configuration: {problem}.")

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this; `AirNet.forward` pads to it."""
        return self.shrink

    @property
    def map_channels(self) -> int:
        """Channels of a full-resolution map, which the memory that a pixel takes goes by."""
        return -(-(self.features + self.encoder_widths[0]) // self.shrink**2)

    @property
    def summary(self) -> str:
        """Features, groups and blocks."""
        return f"{self.features} features, {self.groups} groups of {self.blocks} blocks"
