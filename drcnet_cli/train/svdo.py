"""SVDO, which asks channels of features to be unlike each other (FDR-Net eq. 5; Chen et al. 2019).

Of features F, channels by pixels, it is the square of the largest less the smallest eigenvalue of
F F^T: zero where all channels are orthogonal and equally strong.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def svdo(features: Tensor) -> Tensor:
    """Return the mean over the images of N x C x H x W, a scalar, in float32 at least.

    F F^T is divided by the number of pixels (ours), so that patches of all sizes weigh the same.
    The gradient needs eigenvectors of the two eigenvalues alone and no gaps between eigenvalues, so
    it is finite where they meet. NaN where a feature is not finite.
    """
    with torch.autocast(features.device.type, enabled=False):
        flat = features.to(torch.promote_types(features.dtype, torch.float32)).flatten(2)
        gram = flat @ flat.mT / flat.shape[2]
        if not torch.isfinite(gram).all():  # the solver would end the run
            return gram.sum() * torch.nan
        values = torch.linalg.eigvalsh(gram)
        return (values[:, -1] - values[:, 0]).square().mean()


def mean_svdo(features: Sequence[Tensor]) -> Tensor:
    """Return the mean over several maps, of each phase one: the paper has no word on their sum."""
    return torch.stack([svdo(each) for each in features]).mean()
