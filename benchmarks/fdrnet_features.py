"""What an FDR-Net's disentanglement does to its channels: fig. 8 of its paper, in one picture.

    python benchmarks/fdrnet_features.py PHOTOS [--weights fdrnet-s-hybrid] [--out FILE.png]

Above: how much channels are correlated over the pixels of a picture, absolute values, averaged over
pictures with moderate distortions: as features come into a phase's FDM, and as they leave it.
Below: how channels answer to blur, noise and JPEG alone, each in RL-Restore's ten levels: by how
much a feature differs, on average, from that of the clean picture. The paper doesn't say what it
takes for the answer; this is ours. Each panel of answers has its own scale, its largest value being
brightest.

Printed are the mean correlations of different channels (the paper: 0.272 before, 0.164 after), and
how alike answers are, as their correlation over the channels: of two levels of one kind, and of two
kinds at one level. The pictures are the middles of --count photographs, spread over the folder.
"""

import argparse
import sys
from itertools import combinations, pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pixel_unshuffle

from drcnet_cli.degrade.hybrid import (
    BLURS,
    MODERATE,
    NOISES,
    QUALITIES,
    add_jpeg,
    add_levels,
    soften,
)
from drcnet_cli.imageio.folder import find_pictures, read_rgb8, write_png
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.networks.fdrnet.network import FDRNet
from drcnet_cli.train.samples import middle, to_unit_chw
from drcnet_cli.weights.fetch import resolve

Array = NDArray[np.float32]
KINDS = ("blur", "noise", "JPEG")
MATRIX, WIDTH, ROW, GAP, CAPTION = 348, 720, 16, 24, 22  # pixels


def disentangled(network: FDRNet, image: Array, phase: int) -> tuple[Array, Array]:
    """Return the features before and after a phase's FDM, C x pixels each, of 3 x H x W."""
    x = torch.from_numpy(np.ascontiguousarray(image))[None]
    with torch.inference_mode():
        features: Tensor = network.shallow(pixel_unshuffle(x, network.config.shrink))
        residual = features
        for earlier in network.phases[: phase - 1]:
            features, residual, _ = earlier(features, residual)
        after = network.phases[phase - 1](features, residual)[2]
    return features[0].flatten(1).numpy(), after[0].flatten(1).numpy()


def correlations(features: Array) -> Array:
    """Return the absolute correlation of each channel with each, C x C; 0 for a silent channel."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.abs(np.corrcoef(features)))


def between_channels(matrix: Array) -> float:
    """Return the mean off the diagonal."""
    return float(matrix[~np.eye(len(matrix), dtype=bool)].mean())


def distort(image: Array, kind: str, level: int, rng: np.random.Generator) -> Array:
    """Distort 3 x H x W in one kind at the middle of a level, 0 to 9."""
    bounds = dict(zip(KINDS, (BLURS, NOISES, QUALITIES), strict=True))[kind]
    strength = sum(list(pairwise(bounds))[level]) / 2
    if kind == "blur":
        return soften(image.transpose(1, 2, 0), strength).transpose(2, 0, 1)
    if kind == "noise":
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        return np.clip(image + np.float32(strength / 255) * noise, 0, 1)
    return add_jpeg(image, rng, round(strength)).degraded


def answers(network: FDRNet, images: list[Array], kind: str, phase: int) -> Array:
    """Return how much each channel differs from the clean picture's, 10 levels x C."""
    rows = np.zeros((len(BLURS) - 1, network.config.channels), np.float32)
    for number, image in enumerate(images):
        clean = disentangled(network, image, phase)[1]
        for level in range(len(rows)):
            rng = np.random.default_rng((number, level))
            found = disentangled(network, distort(image, kind, level, rng), phase)[1]
            rows[level] += np.abs(found - clean).mean(1) / len(images)
    return rows


def alike(panels: list[Array]) -> tuple[float, float]:
    """Return the mean correlation of two levels of one kind, and of one level of two kinds."""
    centred = [panel - panel.mean(1, keepdims=True) for panel in panels]
    units = [panel / np.linalg.norm(panel, axis=1, keepdims=True) for panel in centred]
    within = [unit[i] @ unit[j] for unit in units for i, j in combinations(range(len(unit)), 2)]
    across = [(a * b).sum(1).mean() for a, b in combinations(units, 2)]
    return float(np.mean(within)), float(np.mean(across))


def draw(values: Array, height: int, width: int, caption: str) -> NDArray[np.uint8]:
    """Draw values in 0 to 1 as coloured cells with a caption above: H x W x 3, RGB."""
    size = (width, height)
    cells = cv2.resize(
        np.rint(values * 255).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST
    )
    title = np.full((CAPTION, width, 3), 255, np.uint8)
    place, font = (0, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(title, caption, place, font, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return np.vstack([title, cv2.applyColorMap(cells, cv2.COLORMAP_MAGMA)[..., ::-1]])


def lay_out(matrices: list[Array], panels: list[Array]) -> NDArray[np.uint8]:
    """Put the two matrices beside each other, and the panels of answers below them."""
    names = ("before FDM", "after FDM")
    captions = [
        f"{name}: |correlation| {between_channels(matrix):.3f}"
        for name, matrix in zip(names, matrices, strict=True)
    ]
    shown = [draw(m, MATRIX, MATRIX, c) for m, c in zip(matrices, captions, strict=True)]
    gap = np.full((len(shown[0]), WIDTH - 2 * MATRIX, 3), 255, np.uint8)
    rows = [np.hstack([shown[0], gap, shown[1]])]
    for kind, panel in zip(KINDS, panels, strict=True):
        caption = f"{kind}: channels from left to right, level 1 (top) to 10 (bottom)"
        rows.append(draw(panel / panel.max(), ROW * len(panel), WIDTH, caption))
    return np.pad(np.vstack(rows), ((GAP // 3, GAP), (GAP, GAP), (0, 0)), constant_values=255)


def main() -> None:
    """Compute, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", default="fdrnet-s-hybrid", help="a name or a file")
    parser.add_argument("--out", type=Path, default=Path("fdrnet_features.png"))
    parser.add_argument("--phase", type=int, default=1)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--side", type=int, default=192)
    asked = parser.parse_args()
    network, _ = load_checkpoint(resolve(asked.weights).path)
    if not isinstance(network, FDRNet) or not network.config.disentangle:
        sys.exit(f"{asked.weights} is no FDR-Net with FDM.")
    if not 1 <= asked.phase <= len(network.phases):
        sys.exit(f"{asked.weights} has phases 1 to {len(network.phases)}.")
    paths = find_pictures(asked.photos)
    if not paths:
        sys.exit(f"There are no pictures in {asked.photos}.")
    chosen = [paths[i * len(paths) // asked.count] for i in range(min(asked.count, len(paths)))]
    side = asked.side // network.config.multiple * network.config.multiple
    images = [to_unit_chw(middle(read_rgb8(path), side)) for path in chosen]
    distorted = (
        add_levels(image, np.random.default_rng(number), MODERATE).degraded
        for number, image in enumerate(images)
    )
    both = [disentangled(network, image, asked.phase) for image in distorted]
    matrices = [np.mean([correlations(pair[i]) for pair in both], axis=0) for i in (0, 1)]
    panels = [answers(network, images, kind, asked.phase) for kind in KINDS]
    write_png(asked.out, lay_out(matrices, panels))
    before, after = map(between_channels, matrices)
    within, across = alike(panels)
    print(f"correlation of different channels: {before:.3f} before FDM, {after:.3f} after")
    print(f"answers alike: {within:.3f} two levels of one kind, {across:.3f} two kinds")


if __name__ == "__main__":
    main()
