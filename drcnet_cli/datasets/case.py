"""What is measured: a data set's pictures one by one, and how each is scored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from drcnet_cli.metrics import Channel, SsimVariant

Array = NDArray[Any]


@dataclass(frozen=True)
class Protocol:
    """How a restored picture is compared with its target.

    `rounded`: results are rounded to 8 bits first. `aligned`: the result is brought onto its
    target by a homography first, and compared where the two overlap (RealBlur).
    """

    psnr_channel: Channel = "rgb"
    ssim_channel: Channel = "rgb"
    ssim_variant: SsimVariant = "valid"
    rounded: bool = True
    aligned: bool = False


@dataclass(frozen=True)
class Case:
    """One picture of a data set.

    `load` gives the degraded picture (H x W x 3, uint8, or float32 around [0, 1] where noise was
    added: neither rounded nor clipped) and the target (H x W x 3, uint8; None if it isn't public).
    It raises DrcnetError naming the file that cannot be read.
    """

    name: str
    load: Callable[[], tuple[Array, Array | None]]


@dataclass(frozen=True)
class Suite:
    """A data set found on disk: its cases in the published order, and where they were found."""

    cases: tuple[Case, ...]
    layout: str
    notes: tuple[str, ...] = ()
