"""LPIPS as the `lpips` package computes it: optional, as its weights and torchvision are large."""

import torch

from drcnet_cli.datasets.case import Array
from drcnet_cli.errors import UsageError
from drcnet_cli.evaluation.score import Lpips


def load_lpips(device: torch.device) -> Lpips:
    """Give the distance of two H x W x 3 uint8 pictures, version 0.1 on AlexNet; lower is better.

    Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric",
    CVPR 2018, and its authors' package. Raises UsageError if that isn't installed.
    """
    try:
        import lpips  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UsageError("LPIPS needs the lpips package.", "pip install 'drcnet[lpips]'") from error
    network = lpips.LPIPS(net="alex", verbose=False).eval().to(device)

    def distance(image: Array, target: Array) -> float:
        with torch.inference_mode():
            return float(network(_signed(image, device), _signed(target, device)))

    return distance


def _signed(pixels: Array, device: torch.device) -> torch.Tensor:
    """Give 1 x 3 x H x W in [-1, 1], which is what the package takes."""
    return torch.from_numpy(pixels).to(device).permute(2, 0, 1)[None] / 127.5 - 1
