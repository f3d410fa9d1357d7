"""What of the input stays in the result: a share of all of it, or of the luma alone, as grain.

At the same grain a blend with the input also keeps noise of colour, and is 0.9 dB worse
(benchmarks/keep_grain.py).
"""

import numpy as np
from torch import Tensor

from drcnet_cli.errors import UsageError
from drcnet_cli.imageio import from_unit, to_planes

GRAIN_TASK = "denoise"
BLENDED_ROWS = 256  # at a time, so that a picture's float32 form is never there as a whole
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def keep_luma(noisy: Tensor, restored: Tensor, share: float) -> Tensor:
    """Return B x 3 x h x w restored pictures with this share of the luma that was taken away.

    All three channels get the same, so that what comes back has no colour. The result is in [0, 1].
    """
    taken = (noisy - restored) * noisy.new_tensor(_LUMA).view(1, 3, 1, 1)
    return (restored + share * taken.sum(1, keepdim=True)).clamp_(0, 1)


def check_grain(share: float, task: str | None, chooses: bool) -> float:
    """Return a share; raise UsageError beyond 0..1, and for a checkpoint that removes no noise.

    `chooses`: others restore in its place, and the one for noise keeps the grain.
    """
    if not 0 <= share <= 1:
        raise UsageError(
            f"The grain that is kept cannot be {share}.", "Use a number from 0 to 1 (all of it)"
        )
    if share and task not in (None, GRAIN_TASK) and not chooses:
        raise UsageError(
            f"Grain is kept where noise is removed, and this is for {task}.",
            "Leave out --keep-grain, or use --task denoise",
        )
    return share


def check_strength(strength: float) -> float:
    """Return a strength; raise UsageError for one that is not from 0 to 1."""
    if not 0 <= strength <= 1:
        raise UsageError(
            f"The strength cannot be {strength}.", "Use a number from 0 (the input) to 1"
        )
    return strength


def blend(pixels: np.ndarray, restored: np.ndarray, strength: float | np.ndarray) -> np.ndarray:
    """Mix two pictures of one shape and type, H x W x C.

    `strength` is the second one's share: a number, or one for each pixel, H x W float32.
    """
    if isinstance(strength, float | int) and strength == 1:
        return restored
    mixed = np.empty_like(pixels)
    shares = np.broadcast_to(np.float32(strength), pixels.shape[:2])
    for top in range(0, len(pixels), BLENDED_ROWS):
        rows = slice(top, top + BLENDED_ROWS)
        old, new = to_planes(pixels[rows]), to_planes(restored[rows])
        mixed[rows] = from_unit(old + shares[rows] * (new - old), like=mixed)
    return mixed
