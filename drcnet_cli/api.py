"""The Python interface: load a model, restore an image or a file."""

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from drcnet_cli.engines import TORCH
from drcnet_cli.errors import UsageError
from drcnet_cli.files.addresses import place_of
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio import (
    keep_hidden,
    parse_pages,
    picture_from_image,
    picture_to_image,
    visible_pixels,
)
from drcnet_cli.restore.config import LoadedModel, RestoreConfig, open_model
from drcnet_cli.restore.outcome import WriteOptions
from drcnet_cli.restore.pipeline import restore_files
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions

Array = NDArray[Any]


def load_model(
    name_task_or_path: str | Path,
    device: str | None = None,
    dtype: str | None = None,
    *,
    backend: str = TORCH,
    hub_repo: str | None = None,
    offline: bool = False,
) -> LoadedModel:
    """Load a network in eval mode on `device`: `.network`, its checkpoint's description `.info`.

    `name_task_or_path`: a name of `drcnet weights list`, a task (as derain: its default
    checkpoint) or a .safetensors file. The weights stay float32; `dtype` (auto, float32, bfloat16,
    float16) is the type that `restore_image` computes in. `backend` (torch, onnx,
    openvino) is what computes; other than torch always on the CPU.

    Raises WeightsError if the checkpoint is not to be had, DeviceError for an unknown device or one
    that the backend lacks, UsageError for a backend that is not installed.
    """
    return open_model(
        RestoreConfig(
            name_task_or_path,
            device=device or "auto",
            dtype=dtype or "auto",
            backend=backend,
            hub_repo=hub_repo,
            offline=offline,
        )
    )


def restore_image(
    image: Array | Image,
    *,
    task: str | None = None,
    model: str | Path | LoadedModel | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    batch: int | None = None,
    ensemble: bool = False,
    strength: float = 1.0,
    keep_grain: float = 0.0,
) -> Array | Image:
    """Restore one image: the same kind, shape and type back.

    `image`: H x W x 3 or H x W, uint8, uint16 or floating in [0, 1], or a Pillow image (its alpha
    and metadata are kept). `model`: what `load_model` returned, a name or a file; without it `task`
    names the default checkpoint. `tile`, `overlap` in pixels (None: the checkpoint's; tile 0: the
    whole image), `batch` in tiles (None: what memory allows). `strength`: the share of the restored
    picture, the rest is the input's. `keep_grain`, of denoising: the share, from 0 to 1, of the
    grain that comes back, without colour.

    A tile that the network makes no picture of stays as it was, with a RuntimeWarning. Raises
    UsageError for an image of another kind, a share beyond 0..1 or a model made for another
    task, and what `load_model` raises.
    """
    loaded = model if isinstance(model, LoadedModel) else _load_cached(model or task)
    loaded.info.check_task(task)
    tiling = TileOptions(tile, overlap, batch)
    restorer = loaded.restorer(tiling, ensemble, strength=strength, keep_grain=keep_grain)
    if isinstance(image, Image):
        picture = picture_from_image(image)
        picture.pixels = keep_hidden(_restore(restorer, visible_pixels(picture)), picture)
        return picture_to_image(picture)
    restored = _restore(restorer, _check_array(image))
    return restored.reshape(image.shape).astype(image.dtype, copy=False)


def restore_file(
    source: str | Path,
    destination: str | Path,
    *,
    task: str | None = None,
    model: str | Path | LoadedModel | None = None,
    pages: str | None = None,
    format: str | None = None,
    quality: int | None = None,
    strength: float = 1.0,
) -> list[str]:
    """Restore a file with all that it carries, as `drcnet restore` does; return what was lost.

    Animations and files of several pages are restored one picture after the other, in flat memory.
    `pages`: only some of them, as "1,3-5", counted from 1. `task`, `model` and `strength` are those
    of `restore_image`; `format` ("png") and `quality` those of `drcnet restore`. What lies at the
    destination is replaced.

    Raises ImageError for a file that cannot be read or written, UsageError for pages that are none,
    and what `restore_image` raises.
    """
    loaded = model if isinstance(model, LoadedModel) else _load_cached(model or task)
    loaded.info.check_task(task)
    chosen = None if pages is None else parse_pages(pages)
    job = Job(place_of(str(source)), place_of(str(destination)))
    options = WriteOptions(format, quality, pages=chosen)
    (outcome,) = restore_files([job], loaded.restorer(strength=strength), options)
    if outcome.error is not None:
        raise outcome.error
    return list(outcome.notes)


def _restore(restorer: Restorer, pixels: Array) -> Array:
    restored = restorer.restore(pixels)
    if note := restorer.remark():
        # At the line that called restore_image.
        warnings.warn(note, RuntimeWarning, stacklevel=3)
    return restored


@lru_cache(maxsize=4)
def _load_cached(name: str | Path | None) -> LoadedModel:
    """Keep the last few models, so that a loop over images loads each once."""
    if not isinstance(name, str | Path):
        raise UsageError(
            "Neither a task nor a model is given.", 'Add task="denoise", as an example'
        )
    return load_model(name)


def _check_array(image: Array) -> Array:
    """Return H x W x C of a kind that the restorer takes; raise UsageError for any other."""
    if not isinstance(image, np.ndarray):
        raise UsageError(
            f"An image of type {type(image).__name__} cannot be restored.",
            "Give a NumPy array or a Pillow image.",
        )
    pixels = image[..., None] if image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise UsageError(
            f"An image of shape {image.shape} cannot be restored.", "Give H x W x 3 or H x W."
        )
    if pixels.dtype in (np.uint8, np.uint16):
        return np.ascontiguousarray(pixels)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise UsageError(
            f"An image of {image.dtype} cannot be restored.", "Give uint8, uint16 or float in 0..1."
        )
    if not np.isfinite(pixels).all():
        raise UsageError(
            "A floating-point image must hold finite values.", "Replace its NaNs and infinities."
        )
    if (least := pixels.min()) < 0 or pixels.max() > 1:
        raise UsageError(
            "A floating-point image must hold values in 0..1, and this one has "
            f"{least:g} to {pixels.max():g}.",
            "Divide it by its white (as 255), and clip what is below 0.",
        )
    return np.ascontiguousarray(pixels, np.float32)
