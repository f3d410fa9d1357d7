"""What decides the shape and the arithmetic of an FDR-Net; it travels in the checkpoint."""

from dataclasses import dataclass, field

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.architecture import NetworkConfig
from drcnet_cli.text import shorten

SHRINKS = (1, 2, 4)
# Least and most of each number.
RANGES = {
    "channels": (4, 512),
    "layers": (1, 16),
    "phases": (1, 32),
    "process_blocks": (0, 32),
    "auxiliary_blocks": (1, 32),
}


@dataclass(frozen=True)
class FDRNetConfig(NetworkConfig):
    """Everything that decides the network's shape and arithmetic.

    `channels` of all maps and `layers` of each disentanglement module are the paper's; it gives
    neither the number of `phases`, nor how many residual blocks process the disentangled features
    (`process_blocks`) and make an auxiliary branch (`auxiliary_blocks`). With these defaults it has
    1.68, 1.64 and 1.23 M parameters where table 5 has 1.66, 1.62 and 1.21 M. `disentangle` off
    puts residual blocks of as many convolutions in place of the FD and FA layers, `auxiliary` off
    leaves that branch out (table 5).

    The last two are not of the paper. `shrink`: the network works on pixels of `shrink` x `shrink`
    of the picture's, 3 * shrink**2 channels, for a fraction of the time. `input_skip` adds the
    picture to the result, so that a network learns what is wrong with it alone.
    """

    channels: int = field(default=32, metadata={"least": 4})
    layers: int = 3
    phases: int = 6
    process_blocks: int = field(default=7, metadata={"least": 0})
    auxiliary_blocks: int = 4
    disentangle: bool = True
    auxiliary: bool = True
    shrink: int = 1
    input_skip: bool = False

    def __post_init__(self) -> None:
        """Check the ranges; raise CheckpointFormatError, as a config mostly comes from a file."""
        problems = [
            f"{name} {shorten(getattr(self, name))} is not in {least}..{most}"
            for name, (least, most) in RANGES.items()
            if not least <= getattr(self, name) <= most
        ]
        if self.shrink not in SHRINKS:
            problems.append(f"shrink {shorten(self.shrink)} is not one of {SHRINKS}")
        if problems:
            raise CheckpointFormatError(f"Impossible network configuration: {problems[0]}.")

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this; `FDRNet.forward` pads to it."""
        return self.shrink

    @property
    def map_channels(self) -> int:
        """Channels of a full-resolution map, which the memory that a pixel takes goes by."""
        return -(-2 * self.channels // self.shrink**2)

    @property
    def summary(self) -> str:
        """Channels, phases and layers."""
        return f"{self.channels} channels, {self.phases} phases of {self.layers} layers"
