"""Restoring and scoring the pictures of one data set."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import numpy as np
import torch

from drcnet_cli.datasets.search import Array, Case
from drcnet_cli.datasets.suite import Suite
from drcnet_cli.errors import (
    DrcnetError,
    MemoryExhaustedError,
    NonFiniteError,
    UsageError,
    import_extra,
)
from drcnet_cli.evaluation.align import aligned_scores
from drcnet_cli.evaluation.processes import Processes
from drcnet_cli.evaluation.regions import region_scores
from drcnet_cli.evaluation.results import ImageScore
from drcnet_cli.imageio.pixels import to_uint8, to_unit
from drcnet_cli.metrics import psnr, ssim
from drcnet_cli.progress import Progress, no_progress
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.tasks import Protocol

Lpips: TypeAlias = Callable[[Array, Array], float]


def score_suite(
    suite: Suite,
    restorer: Restorer,
    protocol: Protocol,
    *,
    lpips: Lpips | None = None,
    processes: Processes | None = None,
    progress: Progress = no_progress,
) -> tuple[tuple[ImageScore, ...], tuple[str, ...]]:
    """Restore and score every case; return the scores in order, and a sentence for each failure.

    With several processes each scores its share, which `progress` counts, and each gets all of the
    result: the same as one process's, but for the seconds. Pictures are read and scored while
    others are computed.
    """
    processes = processes or Processes()
    settle_dtype(suite, restorer, protocol)
    mine = processes.mine(suite.cases)
    results: list[tuple[int, ImageScore | str]] = []
    with ThreadPoolExecutor(2) as pool:
        waiting: list[tuple[int, Future[ImageScore] | str]] = []
        for (number, case), pictures in zip(mine, _read_ahead(mine, pool), strict=True):
            waiting.append((number, _restore(case, pictures, restorer, protocol, lpips, pool)))
            while waiting and (len(waiting) > 1 or len(results) + 1 == len(mine)):
                finished, result = waiting.pop(0)
                results.append((finished, _settle(suite.cases[finished], result)))
                progress(len(results), len(mine))
    ordered = [result for _, result in sorted(processes.gather(results), key=lambda item: item[0])]
    scores = tuple(result for result in ordered if isinstance(result, ImageScore))
    return scores, tuple(result for result in ordered if isinstance(result, str))


def restored_as_scored(degraded: Array, restorer: Restorer, protocol: Protocol) -> Array:
    """Restore a picture the way it is scored: in floating point unless the protocol rounds."""
    return restorer.restore(_as_scored(degraded, protocol))


def _as_scored(degraded: Array, protocol: Protocol) -> Array:
    return degraded if protocol.rounded else to_unit(degraded)


def settle_dtype(suite: Suite, restorer: Restorer, protocol: Protocol) -> None:
    """Decide on the number type by the first picture that can be read, in every process alike."""
    for case in suite.cases if restorer.dtype_is_open else ():
        try:
            degraded, _ = case.load()
        except DrcnetError:
            continue  # said when its turn comes
        restorer.settle_dtype(_as_scored(degraded, protocol))
        return


def score(
    restored: Array,
    target: Array,
    protocol: Protocol,
    lpips: Lpips | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> tuple[float, float, float | None]:
    """Return PSNR in dB, SSIM and LPIPS (None unless asked for) of one picture.

    `restored`: H x W x 3, uint8 or float; `target`: H x W x 3 uint8. `notify` is told if they could
    not be compared as the protocol says. Raises UsageError if they cannot be compared at all.
    """
    perceived = lpips(to_uint8(restored), target) if lpips else None
    if protocol.aligned:
        return (*aligned_scores(to_uint8(restored), target, protocol, notify=notify), perceived)
    if protocol.rounded:
        restored = to_uint8(restored)
    else:
        restored, target = to_unit(restored).clip(0, 1), to_unit(target)
    return (
        psnr(restored, target, channel=protocol.psnr_channel, rounded=protocol.rounded),
        ssim(
            restored,
            target,
            variant=protocol.ssim_variant,
            channel=protocol.ssim_channel,
            rounded=protocol.rounded,
        ),
        perceived,
    )


def _read_ahead(
    mine: list[tuple[int, Case]], pool: ThreadPoolExecutor
) -> Iterator[tuple[Array, Array | None] | str]:
    """Read each case's pictures, the next one's being read meanwhile; a sentence if it fails."""
    following: Future[tuple[Array, Array | None]] | None = None
    for index, (_, case) in enumerate(mine):
        current = following or pool.submit(case.load)
        following = pool.submit(mine[index + 1][1].load) if index + 1 < len(mine) else None
        try:
            yield current.result()
        except DrcnetError as error:
            yield f"{case.name}: {error.message}"


def _restore(
    case: Case,
    pictures: tuple[Array, Array | None] | str,
    restorer: Restorer,
    protocol: Protocol,
    lpips: Lpips | None,
    pool: ThreadPoolExecutor,
) -> Future[ImageScore] | str:
    """Restore one case here, and have it scored in the pool."""
    if isinstance(pictures, str):
        return pictures
    degraded, target = pictures
    if target is None:
        return f"{case.name}: its target is not public"
    started = time.perf_counter()
    try:
        restored = restored_as_scored(degraded, restorer, protocol)
    except (MemoryExhaustedError, NonFiniteError) as error:
        return f"{case.name}: {error.message}"
    seconds = time.perf_counter() - started

    def scored() -> ImageScore:
        notes: list[str] = []
        after = score(restored, target, protocol, lpips, notes.append)
        before = score(degraded, target, protocol, lpips)
        height, width = target.shape[:2]
        regions = {}
        if case.load_mask is not None:
            regions = _regions(case, restored, degraded, target, protocol)
        return ImageScore(
            name=case.name,
            width=width,
            height=height,
            psnr=after[0],
            ssim=after[1],
            input_psnr=before[0],
            input_ssim=before[1],
            seconds=seconds,
            lpips=after[2],
            input_lpips=before[2],
            note=" ".join(notes),
            regions=regions,
        )

    return pool.submit(scored)


def _regions(
    case: Case, restored: Array, degraded: Array, target: Array, protocol: Protocol
) -> dict[str, float]:
    """Score inside and outside a case's mask; raises UsageError for one of another size."""
    mask: Array = case.load_mask() if case.load_mask else np.zeros(target.shape[:2], bool)
    if mask.shape[:2] != target.shape[:2]:
        raise UsageError("Its mask is of another size.", "A mask shows the same as its picture")
    return region_scores(restored, degraded, target, mask, lab=protocol.lab)


def _settle(case: Case, result: Future[ImageScore] | str) -> ImageScore | str:
    """Wait for a score; a picture that cannot be compared with its target is a failure."""
    if isinstance(result, str):
        return result
    try:
        return result.result()
    except DrcnetError as error:
        return f"{case.name}: {error.message}"


def load_lpips(device: torch.device) -> Lpips:
    """Load the distance of two H x W x 3 uint8 pictures, version 0.1 on AlexNet; lower is better.

    Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
    CVPR 2018, and its authors' package. Raises UsageError if that isn't installed.
    """
    lpips = import_extra("lpips", "lpips", "LPIPS needs the lpips package.")
    network = lpips.LPIPS(net="alex", verbose=False).eval().to(device)

    def distance(image: Array, target: Array) -> float:
        with torch.inference_mode():
            return float(network(_signed(image, device), _signed(target, device)))

    return distance


def _signed(pixels: Array, device: torch.device) -> torch.Tensor:
    """Return 1 x 3 x H x W in [-1, 1], which is what the package takes."""
    return torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None] / 127.5 - 1
