"""What is wrong with a picture, as an encoder sees it: shares of kinds of damage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from drcnet_cli.errors import UsageError
from drcnet_cli.imageio import to_planes
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.tasks import tasks_of_kind

# Patches of so many pixels a side are looked at, spread evenly: what is wrong with a picture is
# wrong nearly everywhere, and a picture of any size takes the same time.
PATCH, PATCHES_ACROSS = 128, 4
_SHOWN_SHARE = 0.05  # smaller shares are not worth a word


@dataclass(frozen=True)
class Diagnosis:
    """Shares of kinds of damage, in all 1, and the checkpoints that then restored, in order."""

    shares: Mapping[str, float]
    restored_by: tuple[str, ...] = ()

    @property
    def likeliest(self) -> str:
        """Return the kind with the largest share."""
        return max(self.shares, key=self.shares.__getitem__)

    @property
    def by_task(self) -> dict[str, float]:
        """Return for each task the share of the kinds that it is called for by."""
        sums: dict[str, float] = {}
        for kind, share in self.shares.items():
            for task in tasks_of_kind(kind):
                sums[task] = sums.get(task, 0.0) + share
        return sums

    def describe(self) -> str:
        """Say in a few words what is wrong, most likely first, and what restored it."""
        ranked = sorted(self.shares.items(), key=lambda item: -item[1])
        kinds = [f"{kind} {share:.0%}" for kind, share in ranked if share >= _SHOWN_SHARE]
        by = f"restored by {', then '.join(self.restored_by)}" if self.restored_by else "left as is"
        return f"looks like {', '.join(kinds)}: {by}"

    def record(self) -> dict[str, object]:
        """Return the JSON record."""
        shares = {kind: round(share, 4) for kind, share in self.shares.items()}
        return {"shares": shares, "restored_by": list(self.restored_by)}


def diagnose(
    network: nn.Module, info: CheckpointInfo, device: torch.device, pixels: np.ndarray
) -> Diagnosis:
    """Look at H x W x 1 or 3 pixels (uint8, uint16 or float32 in [0, 1]).

    Raises UsageError for a network that cannot tell what is wrong.
    """
    summarise = info.architecture.summarise
    if summarise is None or info.prototypes is None:
        raise cannot_tell(info)
    summary = whole_summary(partial(summarise, network), device, pixels)
    return Diagnosis(info.prototypes.shares(summary))


def whole_summary(
    summarise: Callable[[Tensor], Tensor], device: torch.device, pixels: np.ndarray
) -> np.ndarray:
    """Return what an encoder says of a whole picture, C numbers: the mean of its patches' own.

    `summarise` turns N x 3 x H x W into N x C.
    """
    patches = torch.from_numpy(cut_patches(pixels)).to(device)
    with torch.inference_mode():
        return summarise(patches).float().mean(0).cpu().numpy()


def cannot_tell(info: CheckpointInfo) -> UsageError:
    """Return the error for a network that cannot tell what is wrong with a picture."""
    return UsageError(
        f"{info.name or 'The checkpoint'} cannot tell what is wrong with a picture.",
        "Use --task auto; `drcnet calibrate` teaches an AirNet of your own",
    )


def cut_patches(pixels: np.ndarray) -> np.ndarray:
    """Cut what is looked at out of H x W x 1 or 3 pixels: N x 3 x h x w, float32 in [0, 1].

    Patches are of `PATCH` pixels a side, or of what there is where that is less.
    """
    height, width = (min(PATCH, length) for length in pixels.shape[:2])
    tops, lefts = (_spread(length) for length in pixels.shape[:2])
    cuts = [pixels[top : top + height, left : left + width] for top in tops for left in lefts]
    # A test set's noise is not clipped; that of pictures, which the encoder has learned, is.
    return np.stack([to_planes(cut).clip(0, 1) for cut in cuts])


def _spread(length: int) -> list[int]:
    """Return where patches start along a side: as many as fit, up to a few, evenly spread."""
    count = max(1, min(PATCHES_ACROSS, length // PATCH))
    if count == 1:
        return [max(0, length - PATCH) // 2]
    return [round(place * (length - PATCH) / (count - 1)) for place in range(count)]
