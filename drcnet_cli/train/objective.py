"""What a run is about: the function that is minimised, by network, and the score that users get.

The score is the PSNR over the held pairs, with the tiling and the metric of `drcnet restore`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from drcnet_cli.errors import UsageError
from drcnet_cli.metrics import EQUAL_PSNR, psnr
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.contrast_queue import MomentumContrast
from drcnet_cli.train.losses import (
    DEFAULT_ALPHA,
    ContrastiveKind,
    StageKind,
    image_loss,
    make_contrastive,
    stage_loss,
)
from drcnet_cli.train.samples import Sample
from drcnet_cli.train.svdo import mean_svdo
from drcnet_cli.train.vgg import load_vgg

if TYPE_CHECKING:
    from drcnet_cli.train.setup import Run

CROP_ALPHA = 0.1  # weight of the contrast of crops in AirNet's released code
SVDO_ALPHA = 1e-5  # FDR-Net, eq. 8


class Objective(ABC):
    """What training minimises; `summary` tells of it in JSON types, for the checkpoint.

    `other_crops`: whether it is called with another crop of each degraded picture, too; `masks`:
    with masks of the damage. Objectives that learn along, or that change in the course of a run,
    have more than the call.
    """

    summary: dict[str, Any]
    other_crops: ClassVar[bool] = False
    masks: ClassVar[bool] = False

    @abstractmethod
    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        note: Callable[[str], None] | None = None,
    ) -> None:
        """Read the settings; `note` gets a sentence before something that takes its time."""

    @abstractmethod
    def __call__(
        self, model: nn.Module, degraded: Tensor, clean: Tensor, *others: Tensor
    ) -> Tensor:
        """Run the model on N x 3 x H x W in [0, 1] and return the loss, a scalar."""

    def begin(self, run: "Run") -> None:  # noqa: B027 - most have nothing to do
        """Make ready for a run, or for going on with `run.objective_state`."""

    def within(self, used: float) -> float:
        """Return the share of its schedule (rate, patches) that a share of the budget stands for.

        What is trained in several steps gives each a schedule of its own.
        """
        return used

    def begin_step(self, used: float) -> None:  # noqa: B027
        """Make ready for a step; `used` is the share of the budget before it."""

    def after_backward(self) -> None:  # noqa: B027
        """Change gradients before the optimiser sees them."""

    def state(self) -> dict[str, Tensor]:
        """Return what a resumed run needs of it."""
        return {}

    @classmethod
    def expected_state(
        cls, network: nn.Module, found: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return tensors of the names, types and shapes that `found`, a saved state, must have.

        `network` is the run's, on the meta device.
        """
        return {}


class TwoStageObjective(Objective):
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

    def __call__(self, model: nn.Module, degraded: Tensor, clean: Tensor, *_: Tensor) -> Tensor:
        """Run the model on N x 3 x H x W in [0, 1] and return the loss, a scalar."""
        image1, image2 = model(degraded, return_stages=True)
        loss = stage_loss(image1, image2, clean, self._kind, stage1_weight=self._stage1_weight)
        if self._criterion is not None:
            loss = loss + self._alpha * self._criterion(image2, clean, degraded)
        return loss


class TwoCropObjective(Objective):
    """Distance to the clean image plus `alpha` times the contrast of two crops (AirNet, eq. 1).

    The paper prints a plain sum; its released code has 0.1. For the share `encoder_first` of the
    budget the encoder learns alone, by the contrast. Of the network it takes `encoder`, `restorer`
    and `config.encoder_widths`. With several processes each normalises its own batches.
    """

    other_crops = True

    def __init__(self, config: TrainConfig, *_: object) -> None:
        _refuse_contrastive(config, "AirNet has its own contrast")
        self._kind: StageKind = cast(StageKind, config.loss)
        self._alpha = CROP_ALPHA if config.alpha < 0 else config.alpha
        self._share, self._queue = config.encoder_first, config.queue
        self._alone = False
        self.summary: dict[str, Any] = {
            "kind": "two crops",
            "alpha": self._alpha,
            "queue": self._queue,
            "encoder_first": self._share,
        }

    def begin(self, run: "Run") -> None:
        """Make the key encoder and the queue, or load them."""
        network: Any = run.network
        self._encoder, self._restorer = network.encoder, network.restorer
        self._autocast = run.accelerator.autocast
        saved = run.objective_state
        self._contrast = MomentumContrast(
            network.encoder,
            network.config.encoder_widths[-1],
            len(saved["queue"]) if saved else self._queue,
            seed=run.config.seed,
            gather=cast(Callable[[Tensor], Tensor], run.accelerator.gather),
        )
        if saved:
            self._contrast.load_state_dict(saved)

    def begin_step(self, used: float) -> None:
        """Let the key encoder follow, and tell whether the encoder still learns alone."""
        self._alone = used < self._share
        self._contrast.follow(self._encoder)

    def __call__(
        self, model: nn.Module, degraded: Tensor, clean: Tensor, *others: Tensor
    ) -> Tensor:
        """Run the model on N x 3 x H x W in [0, 1] and return the loss, a scalar."""
        (other,) = others
        if self._alone:
            embedding = model(degraded, encoder_only=True)
            # Several processes wait for each other until all weights have a gradient.
            idle = sum(weight.sum() for weight in self._restorer.parameters())
            return self._compare(embedding, other) + 0 * idle
        image, embedding = model(degraded, return_embedding=True)
        loss = image_loss(image, clean, self._kind)
        return loss + self._alpha * self._compare(embedding, other)

    def _compare(self, embedding: Tensor, other: Tensor) -> Tensor:
        with self._autocast():
            return self._contrast(embedding, other)

    def after_backward(self) -> None:
        """Take the gradients of what does not learn yet away: a zero would count as a step."""
        if self._alone:
            for weight in self._restorer.parameters():
                weight.grad = None

    def state(self) -> dict[str, Tensor]:
        """Return the key encoder and the queue."""
        return self._contrast.state_dict()

    @classmethod
    def expected_state(
        cls, network: nn.Module, found: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return a key encoder of this network's encoder, and a queue as long as the one found."""
        net: Any = network
        channels, queue = net.config.encoder_widths[-1], found.get("queue")
        fits = queue is not None and queue.ndim == 2 and queue.shape[1] == channels
        length = len(queue) if queue is not None and fits else 1
        return MomentumContrast(net.encoder, channels, max(1, length)).state_dict()


class TwoStepObjective(Objective):
    """First where the damage is, then what was there (SPAIR sections 3.1 and 4).

    For the share `localise_first` of the budget `network.localisation` learns alone, by the binary
    cross-entropy of its logits with the masks; at the seam it takes its averaged weights, which
    users get, and is frozen. Then `network.restoration` learns by the distance to the clean image.
    Each step has the whole schedule of rates and patches, but for opening steps. A network that
    makes no use of masks (table 6's Net1) has no first step.
    """

    masks = True

    def __init__(self, config: TrainConfig, *_: object) -> None:
        _refuse_contrastive(config, "SPAIR has none")
        self._kind: StageKind = cast(StageKind, config.loss)
        self._share = config.localise_first
        self._localising = False
        self.summary: dict[str, Any] = {
            "kind": "localisation, then restoration",
            "localise_first": self._share,
            "damage_threshold": config.damage_threshold,
        }

    def begin(self, run: "Run") -> None:
        """Take the two networks, and whether the first has been frozen."""
        network: Any = run.network
        average: Any = run.average.network
        self._networks = network.localisation, network.restoration
        self._average = average.localisation
        if not network.config.guided:
            self._share = 0.0
        self._frozen = run.objective_state.get("frozen", torch.zeros(1))
        if not self._share:  # as it came, of --init; or of no use
            self._frozen = torch.ones(1)

    def within(self, used: float) -> float:
        """Let each of the two steps have a schedule of its own."""
        if used < self._share:
            return used / self._share
        return (used - self._share) / (1 - self._share)

    def begin_step(self, used: float) -> None:
        """Tell which of the two learns; freeze the first when its time is over."""
        self._localising = used < self._share
        if self._localising:  # again, where a run that was over got a larger budget
            self._frozen = torch.zeros(1)
        elif not self._frozen:
            self._networks[0].load_state_dict(self._average.state_dict())
            self._frozen = torch.ones(1)

    def __call__(
        self, model: nn.Module, degraded: Tensor, clean: Tensor, *others: Tensor
    ) -> Tensor:
        """Run the model on N x 3 x H x W in [0, 1] and return the loss, a scalar."""
        # Several processes wait for each other until all weights have a gradient.
        idle = sum(weight.sum() for weight in self._networks[self._localising].parameters())
        if self._localising:
            logits = model(degraded, localise_only=True).float()
            loss = F.binary_cross_entropy_with_logits(logits, others[0][:, :1])
        else:
            loss = image_loss(model(degraded), clean, self._kind)
        return loss + 0 * idle

    def after_backward(self) -> None:
        """Take the gradients of what does not learn away: a zero would count as a step."""
        for weight in self._networks[self._localising].parameters():
            weight.grad = None

    def state(self) -> dict[str, Tensor]:
        """Return whether the first step is over."""
        return {"frozen": self._frozen}

    @classmethod
    def expected_state(
        cls, network: nn.Module, found: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """Return one number."""
        return {"frozen": torch.zeros(1)}


class DisentanglingObjective(Objective):
    """Distance to the clean image plus `alpha` times SVDO of the features (FDR-Net, eq. 8).

    These are what each phase's FDM makes, and their SVDO the mean over the phases. Without `alpha`
    no eigenvalue is computed.
    """

    def __init__(self, config: TrainConfig, *_: object) -> None:
        _refuse_contrastive(config, "FDR-Net has SVDO")
        self._kind: StageKind = cast(StageKind, config.loss)
        self._alpha = SVDO_ALPHA if config.alpha < 0 else config.alpha
        self.summary: dict[str, Any] = {"kind": "SVDO", "alpha": self._alpha}

    def __call__(self, model: nn.Module, degraded: Tensor, clean: Tensor, *_: Tensor) -> Tensor:
        """Run the model on N x 3 x H x W in [0, 1] and return the loss, a scalar."""
        if not self._alpha:
            return image_loss(model(degraded), clean, self._kind)
        image, features = model(degraded, return_features=True)
        return image_loss(image, clean, self._kind) + self._alpha * mean_svdo(features)


def _refuse_contrastive(config: TrainConfig, instead: str) -> None:
    """Raise UsageError if a term is asked for that is DRCNet's alone."""
    if config.contrastive != "none":
        raise UsageError(
            f"--contrastive {config.contrastive} is DRCNet's: {instead}.", "Leave it out"
        )


# By the network's name in NETWORKS: how its outputs become a loss.
OBJECTIVES: dict[str, type[Objective]] = {
    "drcnet": TwoStageObjective,
    "airnet": TwoCropObjective,
    "spair": TwoStepObjective,
    "fdrnet": DisentanglingObjective,
}


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
        _finite_psnr(restorer.restore(degraded.transpose(1, 2, 0)), clean.transpose(1, 2, 0))
        for degraded, clean in held.values()
    )


def _finite_psnr(restored: NDArray[Any], clean: NDArray[Any]) -> float:
    """Return the PSNR, 100 dB of equal pictures: one of them is not to hide all others."""
    return min(psnr(restored, clean), EQUAL_PSNR)


def input_psnr(held: Mapping[str, Sample]) -> float:
    """Return the mean RGB PSNR in dB of the held pairs before any restoration."""
    return fmean(
        _finite_psnr(bad.transpose(1, 2, 0), good.transpose(1, 2, 0)) for bad, good in held.values()
    )
