"""Training losses: a distance on both stages' images, and contrastive terms on VGG19 features.

A contrastive term is, for each image and summed over the levels relu1_1, relu2_1, relu3_1,

    D(f(restored), f(clean)) / (sum over the negatives of D(f(restored), f(negative)) + 1e-7)

with D the mean absolute difference (paper section 3.3, eq. 13: the ratio of L1 distances); the
batch's mean is the loss. That the distances in the denominator are summed, not averaged, is the
released code's reading, taken for the paper's too: with it the paper's weight gives the term the
size it has there (0.0075 and 0.0077 where all distances are equal).

| kind     | negatives                                                        | weight |
|----------|------------------------------------------------------------------|--------|
| intra    | n mixtures `l * clean + (1 - l) * degraded`, l in 0.80..0.98     | 0.025  |
| extra    | up to n other degraded images of the batch                       | 0.025  |
| released | degraded by 1, 0.95, 0.90; see `_released`                       | 0.05   |
| none     |                                                                  | 0      |

Negatives and clean images need no gradient, so each costs one forward pass; conv1_1 is affine, so a
mixture's is the mixture of two; and no negative's features are kept for the way back.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from drcnet_cli.errors import UsageError
from drcnet_cli.train.vgg import VGGFeatures

StageKind = Literal["l1", "charbonnier", "psnr"]
ContrastiveKind = Literal["intra", "extra", "none", "released"]

# What the caller multiplies a contrastive term with, if the user names no weight.
DEFAULT_ALPHA = {"intra": 0.025, "extra": 0.025, "released": 0.05, "none": 0.0}
MIXTURES = (0.80, 0.98)  # least and largest share of the clean image in Intra-CR's negatives

_CHARBONNIER_EPS = 1e-3  # gray levels in [0, 1]
_MSE_EPS = 1e-8  # 80 dB
_RATIO_EPS = 1e-7  # the released code's, for images that are clean, degraded and restored at once
_PIXELS_A_PASS = 1 << 16  # negatives of smaller batches share a pass through VGG


def stage_loss(
    image1: Tensor,
    image2: Tensor,
    target: Tensor,
    kind: StageKind = "l1",
    *,
    stage1_weight: float = 1.0,
) -> Tensor:
    """Return `stage1_weight` times stage 1's loss plus stage 2's; N x 3 x H x W in, a scalar out.

    l1: mean absolute difference (the paper's), logarithmic beyond 1. charbonnier: mean of
    sqrt(difference^2 + 1e-6). psnr: minus the mean PSNR in dB over the images, for a peak of 1
    (HINet's). Always computed in float32 at least. Raises UsageError for another kind.
    """
    second = image_loss(image2, target, kind)
    return second + stage1_weight * image_loss(image1, target, kind)


def image_loss(image: Tensor, target: Tensor, kind: StageKind = "l1") -> Tensor:
    """Return one image's loss, of the kinds of `stage_loss`, in float32 at least."""
    distance = _STAGE_LOSSES.get(kind)
    if distance is None:
        raise UsageError(f"Unknown loss {kind!r}.", f"Use --loss {', '.join(_STAGE_LOSSES)}")
    with torch.autocast(target.device.type, enabled=False):
        dtype = torch.promote_types(target.dtype, torch.float32)
        return distance(image.to(dtype) - target.to(dtype))


def _psnr(difference: Tensor) -> Tensor:
    mean_squared = difference.square().mean((1, 2, 3))
    return (10 / math.log(10)) * torch.log(mean_squared + _MSE_EPS).mean()


def _l1(difference: Tensor) -> Tensor:
    """Average |d|; from 1 on, which no two pictures differ by, 1 + log |d|.

    What a lone pixel sets off is off by as much as the network multiplied it: so the gradient of
    one such picture stays in the order of that of others.
    """
    size = difference.abs()
    return (size.clamp(max=1) + size.clamp(min=1).log()).mean()


_STAGE_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": _l1,
    "charbonnier": lambda difference: (difference.square() + _CHARBONNIER_EPS**2).sqrt().mean(),
    "psnr": _psnr,
}


class Mixture(NamedTuple):
    """A negative `clean * clean image + (1 - clean) * degraded image`, its distance weighted."""

    clean: float
    weight: float = 1.0


def make_contrastive(
    kind: ContrastiveKind, features: VGGFeatures | None, *, n: int = 10, knots: int | None = None
) -> nn.Module:
    """Build a contrastive term, called as `criterion(restored, clean, degraded)`.

    All three are N x 3 x H x W in [0, 1]; the result is a scalar, not yet weighted (see
    `DEFAULT_ALPHA`). `n`: negatives of intra and extra. `knots`: replace intra's n negatives by so
    many, see `intra_mixtures`. Raises UsageError for values that cannot be.
    """
    if kind == "none":
        return NoContrast()
    if features is None:
        raise UsageError(
            f"--contrastive {kind} needs VGG19's weights.", "Use --vgg FILE or --contrastive none"
        )
    if n < 1:
        raise UsageError(f"A contrastive loss cannot have {n} negatives.", "Use 1 or more.")
    if kind == "intra":
        return MixedContrast(features, intra_mixtures(n, knots))
    if kind == "extra":
        return BatchContrast(features, n)
    if kind == "released":
        return _released(features)
    raise UsageError(
        f"Unknown contrastive loss {kind!r}.", f"Use --contrastive {', '.join(DEFAULT_ALPHA)}"
    )


def intra_mixtures(n: int = 10, knots: int | None = None) -> list[Mixture]:
    """Return Intra-CR's negatives: n shares of the clean image, evenly from 0.80 to 0.98.

    With `knots` k < n, the sum over the n distances is taken by Gauss' quadrature for that sum: k
    negatives with weights that add up to n, exact where the distance is a polynomial of degree
    2k - 1 in the share. Measured on photographs with noise, blur or rain, float32: k = 3 is off by
    at most 0.06 % in the loss and by 1 to 7 % in its gradient (all n in bfloat16: 0.4 %, 7 to
    26 %); more where a restoration lies exactly on the line from the degraded to the clean image
    (5 % in the loss). So all n are the default. Raises UsageError unless 1 <= k <= n.
    """
    shares = np.linspace(*MIXTURES, n) if n > 1 else np.array([sum(MIXTURES) / 2])
    if knots is None or knots == n:
        return [Mixture(float(share)) for share in shares]
    if not 1 <= knots < n:
        raise UsageError(f"{n} negatives cannot be taken at {knots} knots.", f"Use 1 to {n}.")
    nodes, weights = _gauss_nodes(shares, knots)
    return [Mixture(float(x), float(w)) for x, w in zip(nodes, weights, strict=True)]


def _gauss_nodes(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Gauss' nodes and weights for a sum over `points` (Golub and Welsch, 1969)."""
    # Lanczos' recursion of the diagonal matrix of the points gives their Jacobi matrix.
    vector, previous = np.full(len(points), len(points) ** -0.5), np.zeros(len(points))
    diagonal, off_diagonal, beta = [], [], 0.0
    for _ in range(count):
        following = points * vector - beta * previous
        diagonal.append(float(vector @ following))
        following -= diagonal[-1] * vector
        beta = float(np.linalg.norm(following))
        off_diagonal.append(beta)
        previous, vector = vector, following / beta
    jacobi = np.diag(diagonal) + np.diag(off_diagonal[:-1], 1) + np.diag(off_diagonal[:-1], -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, len(points) * vectors[0] ** 2


def _released(features: VGGFeatures) -> "MixedContrast":
    """Build the term of the released code (leefly072/DRCNet, `IntraCRLoss`).

    Three negatives with 1, 0.95 and 0.90 of the degraded image, their distances weighted by the
    same numbers; levels weighted 1/16, 1/8, 1/4; distances averaged over the batch before the
    ratio, so that a batch is more than the mean of its parts; images not normalised for VGG19.
    """
    mixtures = [Mixture(1 - share, share) for share in (1.0, 0.95, 0.90)]
    level_weights = (1 / 16, 1 / 8, 1 / 4)
    return MixedContrast(features.unnormalised(), mixtures, level_weights, per_image=False)


class NoContrast(nn.Module):
    """No contrastive term: zero, at no cost."""

    def forward(self, restored: Tensor, clean: Tensor, degraded: Tensor) -> Tensor:
        """Return 0."""
        return restored.new_zeros((), dtype=torch.promote_types(restored.dtype, torch.float32))


class MixedContrast(nn.Module):
    """Intra-CR: the negatives are mixtures of the degraded and the clean image (eq. 13).

    `per_image`: one ratio for each image, so that any split of a batch (several processes,
    accumulated gradients) gives the same mean; else one ratio for the batch.
    """

    def __init__(
        self,
        features: VGGFeatures,
        mixtures: Sequence[Mixture],
        level_weights: Sequence[float] = (1.0, 1.0, 1.0),
        *,
        per_image: bool = True,
    ) -> None:
        super().__init__()
        self.features = features
        self.mixtures = tuple(mixtures)
        self.level_weights = tuple(level_weights)
        self.per_image = per_image

    def forward(self, restored: Tensor, clean: Tensor, degraded: Tensor) -> Tensor:
        """Return the term, a scalar; see `make_contrastive`."""
        anchors = self.features(restored)
        near, far = _Distances(anchors), _Distances(anchors)
        batch, _, height, width = restored.shape
        at_once = max(1, _PIXELS_A_PASS // (batch * height * width))
        with torch.no_grad():
            first_clean, first_degraded = self.features.first(clean), self.features.first(degraded)
            near.add(self.features.levels(first_clean))
            for start in range(0, len(self.mixtures), at_once):
                part = self.mixtures[start : start + at_once]
                mixed = [torch.lerp(first_degraded, first_clean, mix.clean) for mix in part]
                levels = self.features.levels(torch.cat(mixed) if len(mixed) > 1 else mixed[0])
                for index, mix in enumerate(part):
                    images = slice(index * batch, (index + 1) * batch)
                    far.add([level[images] for level in levels], mix.weight)
        return _ratio(near, far, self.level_weights, self.per_image)


class BatchContrast(nn.Module):
    """Extra-CR: each image's negatives are the next `n` degraded images of its batch, or all."""

    def __init__(self, features: VGGFeatures, n: int = 10) -> None:
        super().__init__()
        self.features = features
        self.n = n

    def forward(self, restored: Tensor, clean: Tensor, degraded: Tensor) -> Tensor:
        """Return the term, a scalar; raises UsageError for a batch of one image."""
        batch = len(restored)
        if batch < 2:
            raise UsageError(
                "Extra-CR takes the other images of the batch as negatives; this batch has one.",
                "Use a batch of 2 or more images a process, or --contrastive intra",
            )
        anchors = self.features(restored)
        near, far = _Distances(anchors), _Distances(anchors)
        with torch.no_grad():
            near.add(self.features(clean))
            levels = self.features(degraded)
            for shift in range(1, min(self.n, batch - 1) + 1):
                far.add([level.roll(-shift, dims=0) for level in levels])
        return _ratio(near, far, (1.0, 1.0, 1.0), per_image=True)


class _Distances:
    """A weighted sum of L1 distances from features to others, its gradient made along with it.

    Autograd would keep every difference for the way back; the sum of their signs is all it needs.
    """

    def __init__(self, anchors: Sequence[Tensor]) -> None:
        self.anchors = anchors
        self.totals: list[Tensor | float] = [0.0] * len(anchors)
        self.signs = [torch.zeros_like(anchor) for anchor in anchors]

    @torch.no_grad()
    def add(self, levels: Sequence[Tensor], weight: float = 1.0) -> None:
        """Add `weight` times each image's mean absolute differences from `levels`."""
        for index, (anchor, level) in enumerate(zip(self.anchors, levels, strict=True)):
            precise = torch.promote_types(level.dtype, torch.float32)
            difference = anchor - level
            distance = torch.linalg.vector_norm(difference, 1, dim=(1, 2, 3), dtype=precise)
            self.totals[index] += distance * (weight / level[0].numel())
            self.signs[index].add_(difference.sign_(), alpha=weight)

    def per_level(self) -> list[Tensor]:
        """Return each level's sum for each image (N values), differentiable by the anchors."""
        parts = zip(self.anchors, self.totals, self.signs, strict=True)
        return [_WithGradient.apply(*part) for part in parts]


class _WithGradient(torch.autograd.Function):
    """A total of `_Distances` as a function of the features that it was measured from."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, total: Tensor, signs: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(signs)
        return total.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,  # noqa: ANN401
        *gradients: Tensor,
    ) -> tuple[Tensor, None, None]:
        (signs,) = ctx.saved_tensors
        scale = (gradients[0] / signs[0].numel()).to(signs.dtype)
        return signs * scale.view(-1, 1, 1, 1), None, None


def _ratio(
    near: _Distances, far: _Distances, level_weights: Sequence[float], per_image: bool
) -> Tensor:
    """Return the weighted sum over the levels of the mean ratio near / far."""
    ratios = []
    for above, below in zip(near.per_level(), far.per_level(), strict=True):
        if not per_image:
            above, below = above.mean(), below.mean()
        ratios.append((above / (below + _RATIO_EPS)).mean())
    weights = ratios[0].new_tensor(level_weights)
    return (torch.stack(ratios) * weights).sum()
