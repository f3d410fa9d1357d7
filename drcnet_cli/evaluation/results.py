"""Scores of single pictures, and what they amount to over a data set."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from drcnet_cli.tasks import Protocol


@dataclass(frozen=True)
class ImageScore:
    """One picture's scores, of the result and of the degraded input; PSNR in dB.

    `seconds` is the restoration alone. LPIPS (lower is better) is None unless it was asked for.
    `note` says if the picture had to be scored otherwise than the others.
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

    def mean(self, field: str) -> float:
        """Average a field of the scores, as published: PSNR in dB, not its squared errors.

        A perfect picture's infinite PSNR counts as 100 dB. NaN without pictures or values.
        """
        values = [getattr(image, field) for image in self.images]
        finite = [min(value, 100.0) for value in values if value is not None]
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
        return {name: value for name, value in means.items() if not math.isnan(value)}


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
