"""What decides the shape and the arithmetic of a SPAIR; it travels in the checkpoint."""

from dataclasses import dataclass
from typing import Any

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.architecture import NetworkConfig
from drcnet_cli.text import shorten

MAX_CHANNELS = 512
MAX_LEVELS = 6
SHRINKS = (1, 2, 4)


@dataclass(frozen=True)
class SPAIRConfig(NetworkConfig):
    """Everything that decides the network's shape and arithmetic.

    Sizes are in a supplement's figure that no text holds, so that all numbers here are ours.
    `widths`: channels of Net_R at each level of resolution; a dense block grows by half of them.
    `localisation_widths`: those of Net_L. `mask_threshold`: the probability from which a pixel
    counts as degraded.

    Table 6 by switches: `modulation` is SFM; `sparse_convolution` keeps what the decoder's dense
    blocks compute at degraded pixels only, which makes them SC; `sparse_non_local` is SNL,
    `non_local` the plain attention in its place. Net1 has none of them, and Net_L no part.

    The last three are not of the paper. `shrink`: both networks work on pixels of `shrink` x
    `shrink` of the picture's, for a fraction of the time. `only_masked`: the picture changes
    nowhere but within a few pixels of those that are degraded. `multiply`: Net_R also tells by what
    share of itself each pixel changes, as a shadow takes its share of the light of anything.
    """

    widths: tuple[int, ...] = (32, 48, 64, 96)
    localisation_widths: tuple[int, ...] = (16, 24, 32, 48)
    mask_threshold: float = 0.5
    modulation: bool = True
    sparse_convolution: bool = True
    sparse_non_local: bool = True
    non_local: bool = False
    shrink: int = 2
    only_masked: bool = False
    multiply: bool = False

    def __post_init__(self) -> None:
        """Check the ranges; raise CheckpointFormatError, as a config mostly comes from a file."""
        problems = {
            f"widths {shorten(self.widths)} are not 2..{MAX_LEVELS} even numbers in "
            f"2..{MAX_CHANNELS}": not _are_widths(self.widths),
            f"localisation_widths {shorten(self.localisation_widths)} are not as many even numbers "
            f"in 2..{MAX_CHANNELS} as widths": not _are_widths(self.localisation_widths)
            or len(self.localisation_widths) != len(self.widths),
            f"mask_threshold {shorten(self.mask_threshold)} is not between 0 and 1": not (
                0 < self.mask_threshold < 1
            ),
            f"shrink {shorten(self.shrink)} is not one of {SHRINKS}": self.shrink not in SHRINKS,
            "sparse_non_local and non_local are both on": self.sparse_non_local and self.non_local,
        }
        for problem, present in problems.items():
            if present:
                raise CheckpointFormatError(f"Impossible network configuration: {problem}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON: what from_dict takes."""
        values = super().to_dict()
        if not self.multiply:  # versions that know of none can read it, too
            del values["multiply"]
        return values

    @property
    def guided(self) -> bool:
        """Whether restoring makes any use of where the damage is."""
        return (
            self.modulation or self.sparse_convolution or self.sparse_non_local or self.only_masked
        )

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this; `SPAIR.forward` pads to it."""
        return self.shrink * 2 ** (len(self.widths) - 1)

    @property
    def map_channels(self) -> int:
        """Channels of a full-resolution map, which the memory that a pixel takes goes by."""
        return -(-2 * (self.widths[0] + self.localisation_widths[0]) // self.shrink**2)

    @property
    def summary(self) -> str:
        """Widths of the two networks."""
        both = (self.localisation_widths, self.widths)
        first, second = ("-".join(map(str, widths)) for widths in both)
        return f"widths {second}, localisation {first}"


def _are_widths(widths: tuple[int, ...]) -> bool:
    fine = all(2 <= width <= MAX_CHANNELS and width % 2 == 0 for width in widths)
    return fine and 2 <= len(widths) <= MAX_LEVELS
