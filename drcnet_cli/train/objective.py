"""What a run is about: the function that is minimised, by network, and the score that users get.

The score is the PSNR over the held pairs, with the tiling and the metric of `drcnet restore`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from drcnet_cli.metrics import psnr
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.losses import (
    DEFAULT_ALPHA,
    ContrastiveKind,
    StageKind,
    make_contrastive,
    stage_loss,
)
from drcnet_cli.train.samples import Sample
from drcnet_cli.train.vgg import load_vgg


class Objective(Protocol):
    """What training minimises; `summary` tells of it in JSON types, for the checkpoint."""

    summary: dict[str, Any]

    def __call__(self, model: nn.Module, degraded: Tensor, clean: Tensor) -> Tensor:
        """Run the model on N x 3 x H x W in [0, 1] and return the loss, a scalar."""
        ...


class TwoStageObjective:
    """Both stages' distances to the clean image, plus `alpha` times a contrastive term.

    VGG19 computes in `dtype` where that is bfloat16, else in float32: float16 would lose what is
    left of the term's small gradient. `note` gets a sentence before a download. `summary` tells of
    the term in JSON types: kind, weight and whose VGG19 it was.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        note: Callable[[str], None] | None = None,
    ) -> None:
        self._kind: StageKind = cast(StageKind, config.loss)
        self._stage1_weight = config.stage1_weight
        contrast = cast(ContrastiveKind, config.contrastive)
        self._alpha = DEFAULT_ALPHA[contrast] if config.alpha < 0 else config.alpha
        self._criterion: nn.Module | None = None
        self.summary: dict[str, Any] = {"kind": "none"}
        if contrast != "none" and self._alpha:
            precision = dtype if dtype is torch.bfloat16 else torch.float32
            features = load_vgg(Path(config.vgg) if config.vgg else None, note)
            features.place(device, precision)
            self.summary = {"kind": contrast, "alpha": self._alpha, "vgg": features.name}
            self._criterion = make_contrastive(
                contrast, features, n=config.negatives, knots=config.knots or None
            ).to(device)

    def __call__(self, model: nn.Module, degraded: Tensor, clean: Tensor) -> Tensor:
        """Run the model on N x 3 x H x W in [0, 1] and return the loss, a scalar."""
        image1, image2 = model(degraded, return_stages=True)
        loss = stage_loss(image1, image2, clean, self._kind, stage1_weight=self._stage1_weight)
        if self._criterion is not None:
            loss = loss + self._alpha * self._criterion(image2, clean, degraded)
        return loss


# By the network's name in NETWORKS: how its outputs become a loss.
OBJECTIVES: dict[str, Callable[..., Objective]] = {"drcnet": TwoStageObjective}


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
    return fmean(
        psnr(restorer.restore(degraded.transpose(1, 2, 0)), clean.transpose(1, 2, 0))
        for degraded, clean in held.values()
    )


def input_psnr(held: Mapping[str, Sample]) -> float:
    """Return the mean RGB PSNR in dB of the held pairs before any restoration."""
    return fmean(
        psnr(bad.transpose(1, 2, 0), good.transpose(1, 2, 0)) for bad, good in held.values()
    )
