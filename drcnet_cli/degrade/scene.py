"""Drawn scenes to preview degradations on where no photograph is at hand."""

import cv2
import numpy as np

from drcnet_cli.degrade.base import Array


def draw_scene(rng: np.random.Generator, height: int, width: int) -> Array:
    """Draw a scene, float32 3 x H x W: shaded discs and boxes that hide one another.

    Sizes follow a power law, as in the dead-leaves model of natural images (Lee, Mumford and Huang
    2001), so that there are edges and flat areas of all sizes.
    """
    top, bottom = rng.uniform(0.3, 0.9, 3), rng.uniform(0.05, 0.6, 3)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    scene = np.ascontiguousarray(
        np.broadcast_to((1 - down) * top + down * bottom, (height, width, 3))
    )
    scene = scene.astype(np.float32)
    side = min(height, width)
    for size in sorted(side * 0.4 * rng.pareto(1.2, 120).clip(0.03, 1), reverse=True):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        shade = rng.uniform(0.05, 1) ** 1.5 * (1 + 0.4 * rng.uniform(-1, 1, 3))
        color = tuple(float(level) for level in shade)
        extent = (max(1, round(size)), max(1, round(size * rng.uniform(0.3, 1))))
        if rng.random() < 0.5:
            cv2.ellipse(scene, center, extent, rng.uniform(0, 180), 0, 360, color, -1, cv2.LINE_AA)
        else:
            corner = (center[0] + extent[0], center[1] + extent[1])
            cv2.rectangle(scene, center, corner, color, -1)
    fine = rng.standard_normal((height, width, 1), dtype=np.float32)
    texture = cv2.GaussianBlur(fine, (0, 0), 1.2)[..., None]
    shaded = np.clip(scene * (1 + np.float32(0.15) * texture), 0, 1)
    return np.ascontiguousarray(shaded.transpose(2, 0, 1))
