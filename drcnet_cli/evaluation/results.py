"""Scores of single pictures, and what they amount to over a data set."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from drcnet_cli.metrics import EQUAL_PSNR
from drcnet_cli.tasks import Protocol


@dataclass(frozen=True)
class ImageScore:
    """One picture's scores, of the result and of the degraded input; PSNR in dB.

    `seconds` is the restoration alone. LPIPS (lower is better) is None unless it was asked for.
    `note` says if the picture had to be scored otherwise than the others. `regions`: scores by name
    of where a mask says that the picture is damaged, and of the rest (see `regions`).
    """

    name: str
    width: int
    height: int
    psnr: float
    ssim: float
    input_psnr: float
    input_ssim: float
    seconds: float
    lpips: float | None = None
    input_lpips: float | None = None
    note: str = ""
    regions: Mapping[str, float] = field(default_factory=dict)

    @property
    def gain(self) -> float:
        """What restoring gave, in dB; 0 where both are perfect."""
        return 0.0 if self.psnr == self.input_psnr else self.psnr - self.input_psnr


_AVERAGED = ("psnr", "ssim", "input_psnr", "input_ssim", "seconds", "lpips", "input_lpips")


@dataclass(frozen=True)
class Setting:
    """Everything about a run that its scores depend on."""

    checkpoint: str
    sha256: str
    device: str
    dtype: str
    tiling: str
    ensemble: bool
    version: str
    torch: str


@dataclass(frozen=True)
class Evaluation:
    """A data set measured: `benchmark` is its key in TEST_SETS, "" for pairs of one's own.

    `expected` is the published number of pictures, None if nothing is published. `failed` tells of
    pictures that could not be measured.
    """

    benchmark: str
    title: str
    task: str
    protocol: Protocol
    setting: Setting
    images: tuple[ImageScore, ...]
    expected: int | None
    layout: str = ""
    notes: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether its means may stand beside published ones."""
        return not self.failed and self.expected in (None, len(self.images))

    def mean(self, name: str) -> float:
        """Average a field of the scores, as published: PSNR in dB, not its squared errors.

        A perfect picture's infinite PSNR counts as 100 dB. NaN without pictures or values.
        """
        values = [getattr(image, name) for image in self.images]
        finite = [min(value, EQUAL_PSNR) for value in values if value is not None]
        return math.fsum(finite) / len(finite) if finite else math.nan

    def ranked(self) -> list[ImageScore]:
        """Return the pictures, the largest gain first."""
        return sorted(self.images, key=lambda image: (-image.gain, image.name))

    def record(self) -> dict[str, Any]:
        """Return all of it in JSON types, with the means."""
        return {**asdict(self), "complete": self.complete, "means": self.means()}

    def means(self) -> dict[str, float]:
        """Average every score that was taken."""
        means = {name: self.mean(name) for name in _AVERAGED}
        means = {name: value for name, value in means.items() if not math.isnan(value)}
        return {**means, **self.region_means()}

    def region_means(self) -> dict[str, float]:
        """Average the regions' scores: PSNR over pictures, Lab over pixels, as published."""
        means = {}
        for name in dict.fromkeys(name for image in self.images for name in image.regions):
            there = [image for image in self.images if name in image.regions]
            values = [min(image.regions[name], EQUAL_PSNR) for image in there]
            weights = [_weight(image, name) for image in there]
            total = math.fsum(v * w for v, w in zip(values, weights, strict=True))
            means[name] = total / math.fsum(weights)
        return means


def _weight(image: ImageScore, name: str) -> float:
    """Return how much a picture counts in a region's mean: Lab by its pixels there, others once."""
    if "lab_" not in name:
        return 1.0
    pixels, share = image.width * image.height, image.regions["masked"]
    return pixels * {"inside": share, "outside": 1 - share}.get(name.rpartition("_")[2], 1.0)


def grouped(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, list[Evaluation]]]:
    """Return the evaluations by checkpoint, in the order in which they first come."""
    names = dict.fromkeys(item.setting.checkpoint for item in evaluations)
    for name in names:
        yield name, [item for item in evaluations if item.setting.checkpoint == name]


def rmse_reduction(psnr: float, other: float) -> float:
    """Tell by how many percent a PSNR of `psnr` dB has less RMSE than `other` dB."""
    return 100 * (1 - 10 ** ((other - psnr) / 20))


def dssim_reduction(ssim: float, other: float) -> float:
    """Tell by how many percent an SSIM has less dissimilarity, (1 - SSIM) / 2, than `other`."""
    return 100 * (1 - (1 - ssim) / (1 - other)) if other < 1 else 0.0
