"""Pictures with nothing wrong, as they are stored: to learn what damage is not."""

import numpy as np

from drcnet_cli.degrade.base import Array, Degraded, chance, jpeg, to_chw, to_hwc

_STORED_SHARE = 0.5  # of the pictures that are stored as JPEG once more
_QUALITY = (75, 98)  # as cameras and web pages have it


def leave_sound(image: Array, rng: np.random.Generator) -> Degraded:
    """Leave a photograph as it is, or store it as a good JPEG; what comes out is what is wanted."""
    if chance(rng, _STORED_SHARE):
        image = to_chw(jpeg(to_hwc(image), int(rng.integers(_QUALITY[0], _QUALITY[1] + 1)), rng))
    return Degraded(image.copy(), image.copy())
