"""Seconds of PSNR and SSIM on a pair of pictures, beside SSIM written plainly with SciPy.

    python benchmarks/metrics.py [--side 1000]

Both take turns in one run; prints the medians, the ratio and how far the two SSIM lie apart.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.ndimage import correlate1d

from drcnet_cli.metrics import psnr, ssim

C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def plain_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Give the SSIM of the positions where the window fits, channel by channel."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(values, window, 0), window, 1)[5:-5, 5:-5]

    total = 0.0
    for channel in range(3):
        x, y = (image[..., channel].astype(np.float64) for image in (first, second))
        mean_x, mean_y = mean(x), mean(y)
        var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
        covariance = mean(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
        total += np.mean(luminance * (2 * covariance + C2) / (var_x + var_y + C2)) / 3
    return float(total)


def seconds(work: Callable[[], float]) -> float:
    """Time one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    target = rng.integers(0, 256, (options.side, options.side, 3), dtype=np.uint8)
    image = (target + rng.normal(0, 20, target.shape)).clip(0, 255).astype(np.uint8)
    works: dict[str, Callable[[], float]] = {
        "psnr": lambda: psnr(image, target),
        "ssim valid": lambda: ssim(image, target),
        "ssim 3d": lambda: ssim(image, target, variant="3d"),
        "plain ssim": lambda: plain_ssim(image, target),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(options.turns):
        for name, work in works.items():
            times[name].append(seconds(work))
    for name, taken in times.items():
        print(f"{name}: {statistics.median(taken):.3f} s")
    both = statistics.median(times["psnr"]) + statistics.median(times["ssim valid"])
    ratio = statistics.median(times["plain ssim"]) / statistics.median(times["ssim valid"])
    print(f"PSNR and SSIM together {both:.3f} s; plain SSIM takes {ratio:.2f} times ours")
    print(f"difference {abs(works['ssim valid']() - works['plain ssim']()):.1e}")


if __name__ == "__main__":
    main()
