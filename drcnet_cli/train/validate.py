"""Validation: PSNR over the held pairs, with the tiling and the metric that users get."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from drcnet_cli.metrics import psnr
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.train.samples import Sample


def mean_psnr(
    network: nn.Module,
    info: CheckpointInfo,
    held: Mapping[str, Sample],
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """Return the mean RGB PSNR in dB, rounded to 8 bits, of the restored held pairs.

    `info` is what the checkpoint will say of itself: its training patch decides the tiles. The
    network is left in eval mode. Raises NonFiniteError.
    """
    restorer = Restorer(network, info, device=device, dtype=dtype)
    return float(
        np.mean(
            [
                psnr(restorer.restore(degraded.transpose(1, 2, 0)), clean.transpose(1, 2, 0))
                for degraded, clean in held.values()
            ]
        )
    )


def input_psnr(held: Mapping[str, Sample]) -> float:
    """Return the mean RGB PSNR in dB of the held pairs before any restoration."""
    return float(
        np.mean(
            [psnr(bad.transpose(1, 2, 0), good.transpose(1, 2, 0)) for bad, good in held.values()]
        )
    )
