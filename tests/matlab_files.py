"""MATLAB files as the data sets have them, versions 5 and 7.3, for the tests."""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat


def write_mat5(path: Path, **arrays: np.ndarray) -> Path:
    """Write arrays as MATLAB's `save` does by default."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, arrays, do_compression=True)
    return path


def write_mat73(path: Path, **arrays: np.ndarray) -> Path:
    """Write arrays as `save -v7.3` does: HDF5 behind a header, axes in reverse order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
    return with_header(path)


def write_dnd(folder: Path, images: int, boxes: int, side: int) -> np.ndarray:
    """Write DND with random pictures, boxes going down the diagonal; give images x H x W x 3."""
    height, width = side + boxes, side + 2 * boxes
    pixels = np.random.default_rng(5).random((images, height, width, 3)).astype(np.float32)
    for number, picture in enumerate(pixels, 1):
        write_mat73(folder / "images_srgb" / f"{number:04}.mat", InoisySRGB=picture)
    # First row and column, last row and column, from 1.
    corners = np.array([[n + 1, 2 * n + 1, n + side, 2 * n + side] for n in range(boxes)], float)
    with h5py.File(folder / "info.mat", "w", userblock_size=512) as file:
        cells = file.create_dataset("info/boundingboxes", (1, images), h5py.ref_dtype)
        for image in range(images):
            file[f"#refs#/{image}"] = corners.T
            cells[0, image] = file[f"#refs#/{image}"].ref
    with_header(folder / "info.mat")
    return pixels


def with_header(path: Path) -> Path:
    """Put MATLAB's text into the first bytes."""
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan 10 13:08:11 2019"
    with path.open("r+b") as file:
        file.write(text.ljust(124) + b"\x00\x02IM")
    return path
