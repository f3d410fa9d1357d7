"""The parity check: an exported file is run by another program, and compared with our network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from drcnet_cli.engines.shape import Shape
from drcnet_cli.errors import DrcnetError
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.networks.layers import AdaptiveNorm

TOLERANCE = 1e-4  # of float32 values in 0..1; a step of 8 bits is 40 times that
# A response that lies on the threshold may fall on either side of it, for good reason.
CLEARANCE = 1e-5
PICTURES_TRIED = 8


class ParityError(DrcnetError):
    """An exported file does not compute what our network does."""


@dataclass(frozen=True)
class Comparison:
    """One batch computed by both: the largest difference, and the PSNR for a peak of 1, in dB."""

    shape: tuple[int, int, int, int]
    max_error: float
    psnr: float


def check_parity(
    network: DRCNet, run: Callable[[np.ndarray], np.ndarray], shape: Shape
) -> list[Comparison]:
    """Compare on several sizes, as far as the file's shape allows, in float32.

    Raises ParityError if a value differs by more than TOLERANCE, or the result has another shape.
    """
    comparisons = []
    for size in parity_shapes(shape, network.config.multiple):
        pictures = clear_pictures(network, size)
        with torch.inference_mode():
            expected = network(pictures).double().numpy()
        restored = run(pictures.numpy())
        if restored.shape != expected.shape:
            raise ParityError(f"The exported file gives {restored.shape} for {expected.shape}.")
        error = np.abs(restored - expected)
        psnr = -10 * np.log10(max(np.mean(error**2), 1e-20))
        comparison = Comparison(size, float(error.max()), float(psnr))
        if not comparison.max_error <= TOLERANCE:  # NaN is no parity
            raise ParityError(
                f"The exported file differs from our network by {comparison.max_error:.1e} for "
                f"{'x'.join(map(str, size))}, more than {TOLERANCE:.0e}.",
                "It was not kept; other versions of the runtime may compute rightly.",
            )
        comparisons.append(comparison)
    return comparisons


def parity_shapes(shape: Shape, multiple: int) -> list[tuple[int, int, int, int]]:
    """Give the smallest size, a batch, a large and a wide one, with what is fixed filled in."""
    wanted = [(1, 1, 1), (3, 64, 48), (1, 96, 192), (1, 128, 128)]
    sizes = []
    for batch, height, width in wanted:
        height, width = (-(-side // multiple) * multiple for side in (height, width))
        size = (shape.batch or batch, 3, shape.height or height, shape.width or width)
        sizes.append(size)
    return list(dict.fromkeys(sizes))


def clear_pictures(network: DRCNet, size: tuple[int, int, int, int]) -> Tensor:
    """Draw pictures whose regions are beyond doubt: no response near the threshold.

    Of a few that were tried, those farthest from it, where none is far enough.
    """
    best, farthest = torch.empty(0), -1.0
    for seed in range(PICTURES_TRIED):
        pictures = draw_pictures(size, seed)
        with response_distances(network) as distances, torch.inference_mode():
            network(pictures)
        distance = min(distances, default=1.0)
        if distance > farthest:
            best, farthest = pictures, distance
        if distance > CLEARANCE:
            break
    return best


def draw_pictures(size: tuple[int, int, int, int], seed: int) -> Tensor:
    """Draw smooth waves with grain, N x 3 x H x W in 0..1."""
    rng = np.random.default_rng(seed)
    count, channels, height, width = size
    y, x = np.mgrid[0:height, 0:width]
    pictures = np.empty(size, np.float32)
    for index in range(count * channels):
        wave = np.sin(x / rng.uniform(3, 30) + y / rng.uniform(3, 30) + rng.uniform(0, 6))
        grain = rng.normal(0, rng.uniform(0.01, 0.15), (height, width))
        pictures[index // channels, index % channels] = 0.5 + 0.3 * wave + grain
    return torch.from_numpy(pictures.clip(0, 1))


@contextmanager
def response_distances(network: DRCNet) -> Iterator[list[float]]:
    """Collect how near to its threshold each response map comes while the block runs."""
    distances: list[float] = []

    def watch(norm: AdaptiveNorm) -> RemovableHandle:
        def measure(_: nn.Module, __: object, maps: tuple[Tensor, Tensor, Tensor]) -> None:
            distances.append((maps[0] - norm.threshold).abs().min().item())

        return norm.map.register_forward_hook(measure)

    handles = [watch(module) for module in network.modules() if isinstance(module, AdaptiveNorm)]
    try:
        yield distances
    finally:
        for handle in handles:
            handle.remove()
