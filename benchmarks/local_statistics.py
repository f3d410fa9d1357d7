"""Statistics of a window around each pixel in place of the whole image's: do they replace tiles?

    python benchmarks/local_statistics.py CLEAN_FOLDER [--task denoise] [--sigma 25] [--window 192]

The network's attention and its normalisation take means over the image that they are given, and
were trained on patches; a test-time local converter (Chu et al. 2022) gives each pixel the means of
a window of the patch's size instead, and restores the image whole. Prints the mean RGB PSNR of the
tiles that `drcnet restore` takes, of the whole image, and of the whole image with local statistics
in the attention (SimAM), the normalisation, or both. The pairs are `tile_curve.py`'s.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tile_curve import KINDS, load_samples
from torch import Tensor, nn

from drcnet_cli.api import load_model
from drcnet_cli.metrics import psnr
from drcnet_cli.networks.drcnet.blocks import NORM_EPS, RegionNorm, SimAM
from drcnet_cli.restore.tiling import TileOptions


class Scale:
    """What all windows of a network share: their side in pixels of the image, and its width."""

    def __init__(self, window: int) -> None:
        self.window, self.image_width = window, 0

    def of(self, x: Tensor) -> int:
        """Give the window's side at the level of these features."""
        return max(2, round(self.window * x.shape[3] / self.image_width))

    def pixels(self, x: Tensor) -> int:
        """Give how many pixels such a window holds, kept within these features."""
        side = self.of(x)
        return min(side, x.shape[2]) * min(side, x.shape[3])


def window_means(x: Tensor, side: int) -> Tensor:
    """Give the mean of the side x side window around each pixel, kept within N x C x H x W."""
    height, width = min(side, x.shape[2]), min(side, x.shape[3])
    # Sums of windows from one table of running sums: any side costs the same.
    table = F.pad(x.double().cumsum(2).cumsum(3), (1, 0, 1, 0))
    rows = table[:, :, height:] - table[:, :, :-height]
    means = (rows[..., width:] - rows[..., :-width]) / (height * width)
    top, left = (x.shape[2] - means.shape[2]) // 2, (x.shape[3] - means.shape[3]) // 2
    around = (left, x.shape[3] - means.shape[3] - left, top, x.shape[2] - means.shape[2] - top)
    return F.pad(means, around, mode="replicate")


class LocalSimAM(nn.Module):
    """`SimAM` with the mean and variance of a window around each pixel."""

    def __init__(self, delta: float, scale: Scale) -> None:
        super().__init__()
        self.delta, self.scale = delta, scale

    def forward(self, y: Tensor) -> Tensor:
        """Weight each value by how far it stands out from its surroundings."""
        side = self.scale.of(y)
        mean = window_means(y, side)
        pixels = self.scale.pixels(y)
        variance = (window_means(y.double().square(), side) - mean.square()).clamp(min=0)
        variance = variance * (pixels / max(pixels - 1, 1))
        energy = (y - mean).square() / (4 * (variance + self.delta)) + 0.5
        return (y * torch.sigmoid(energy)).to(y.dtype)


class LocalRegionNorm(nn.Module):
    """`RegionNorm` with the two regions' statistics of a window around each pixel."""

    def __init__(self, norm: RegionNorm, scale: Scale) -> None:
        super().__init__()
        self.norm, self.scale = norm, scale

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalise x (N x C x H x W) in the regions mask and not mask (N x 1 x H x W, bool)."""
        side = self.scale.of(x)
        pixels = self.scale.pixels(x)
        weight = self.norm.weight.double()[None, :, None, None]
        normalised, shares = [], []
        for region in (mask.double(), (~mask).double()):
            covered = window_means(region, side).clamp(min=1 / pixels)
            mean = window_means(x * region, side) / covered
            spread = window_means(x.double().square() * region, side) - covered * mean.square()
            share = covered.sqrt()
            scaled = (x - mean) * share * torch.rsqrt(spread.clamp(min=0) + NORM_EPS) * weight
            normalised.append(scaled)
            shares.append(share)
        shift = (shares[0] + shares[1]) * self.norm.bias.double()[None, :, None, None]
        return (torch.where(mask, *normalised) + shift).to(x.dtype)


def localise(network: nn.Module, scale: Scale, *, attention: bool, norm: bool) -> None:
    """Replace a network's statistics, in place."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if attention and isinstance(child, SimAM):
                setattr(module, name, LocalSimAM(child.delta, scale))
            if norm and isinstance(child, RegionNorm):
                setattr(module, name, LocalRegionNorm(child, scale))


@torch.inference_mode()
def restore_whole(network: nn.Module, scale: Scale, degraded: np.ndarray) -> np.ndarray:
    """Restore H x W x 3 float32 at once, in float32."""
    scale.image_width = degraded.shape[1]
    x = torch.from_numpy(degraded).permute(2, 0, 1)[None].contiguous()
    return network(x)[0].clamp(0, 1).permute(1, 2, 0).numpy()


def score(restored: np.ndarray, clean: np.ndarray) -> float:
    """Give the PSNR of 8-bit pictures."""
    return psnr(np.rint(restored * 255).astype(np.uint8), clean)


def main() -> None:
    """Print one line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--task", default="denoise", choices=sorted(KINDS))
    parser.add_argument("--model", help="A checkpoint; default: the task's.")
    parser.add_argument("--sigma", type=float, default=25)
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--window", type=int, default=192)
    args = parser.parse_args()
    samples = load_samples(args.folder, args.task, args.sigma, args.count)
    model = args.model or args.task
    for name, tiling in (("default tiles", TileOptions()), ("whole image", TileOptions(0))):
        restorer = load_model(model, dtype="float32").restorer(tiling)
        print(f"{name}: {np.mean([score(restorer.restore(d), c) for d, c in samples]):.3f} dB")
    for name, attention, norm in (
        ("whole, local attention", True, False),
        ("whole, local normalisation", False, True),
        ("whole, both local", True, True),
    ):
        network, scale = load_model(model, dtype="float32").network, Scale(args.window)
        localise(network, scale, attention=attention, norm=norm)
        scores = [score(restore_whole(network, scale, d), c) for d, c in samples]
        print(f"{name}, window {args.window}: {np.mean(scores):.3f} dB", flush=True)


if __name__ == "__main__":
    main()
