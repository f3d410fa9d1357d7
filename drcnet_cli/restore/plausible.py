"""Whether what a network gave can be a picture at all.

Every block multiplies features that were normalised by the spread of their whole map. In a tile
that is even but for one odd pixel (a star in a black sky) that pixel stands a hundred deviations
out at each level, and the products reach 10^25: noise, once clipped.
"""

from torch import Tensor

# Measured over photographs, clean and with noise of sigma 50: -1.0 to 2.0.
LOWEST, HIGHEST = -4.0, 5.0


def are_pictures(restored: Tensor) -> Tensor:
    """Tell of each of B x 3 x h x w whether all values are finite and near those of pictures."""
    low, high = restored.flatten(1).aminmax(dim=1)
    return (low >= LOWEST) & (high <= HIGHEST)  # NaN is neither
