"""The Python interface: load a model, restore an image."""

import warnings
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image
from torch import nn

from drcnet_cli.device import choose_device, choose_dtype
from drcnet_cli.errors import UsageError
from drcnet_cli.imageio import (
    keep_hidden,
    picture_from_image,
    picture_to_image,
    visible_pixels,
)
from drcnet_cli.infer import Restorer, Tiling
from drcnet_cli.model.checkpoint import CheckpointInfo, load_checkpoint
from drcnet_cli.runtimes import TORCH, Engine, check_backend, make_engine
from drcnet_cli.weights.fetch import resolve

Array = NDArray[Any]


def load_model(
    name_task_or_path: str | Path,
    device: str | None = None,
    dtype: str | None = None,
    *,
    backend: str = TORCH,
    hub_repo: str | None = None,
    offline: bool = False,
) -> nn.Module:
    """Load a network in eval mode, on `device`, its checkpoint's description as `.info`.

    `name_task_or_path`: a name of `drcnet weights list`, a task (derain, denoise, deblur: its
    default checkpoint) or a .safetensors file. The weights stay float32; `dtype` (auto, float32,
    bfloat16, float16) is the type that `restore_image` computes in, and is kept as `.dtype_name`.
    `backend` (torch, onnx, openvino) is what computes it; other than torch always on the CPU.

    Raises WeightsError if the checkpoint is not to be had, DeviceError for an unknown device or one
    that the backend lacks, UsageError for a backend that is not installed.
    """
    # Checked first: a wrong name should cost no download, nor wait for the first image.
    device, dtype = check_backend(backend, device or "auto", dtype or "auto")
    where = choose_device(device)
    choose_dtype(dtype, where)
    path = resolve(name_task_or_path, hub_repo=hub_repo, offline=offline).path
    network, info = load_checkpoint(path)
    network.info = info  # type: ignore[assignment]
    network.dtype_name = dtype  # type: ignore[assignment]
    network.backend_name = backend  # type: ignore[assignment]
    return network.to(where)


def restore_image(
    image: Array | Image,
    *,
    task: str | None = None,
    model: str | Path | nn.Module | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    batch: int | None = None,
    ensemble: bool = False,
) -> Array | Image:
    """Restore one image: the same kind, shape and type back.

    `image`: H x W x 3 or H x W, uint8, uint16 or floating in [0, 1], or a Pillow image (its alpha
    and metadata are kept). `model`: a network of `load_model`, a name or a file; without it `task`
    names the default checkpoint. `tile`, `overlap` in pixels (None: the checkpoint's; tile 0: the
    whole image), `batch` in tiles (None: what memory allows).

    A tile that the network makes no picture of stays as it was, with a RuntimeWarning. Raises
    UsageError for an image of another kind or a model made for another task, and what `load_model`
    raises.
    """
    restorer = make_restorer(_network(task, model), Tiling(tile, overlap, batch), ensemble)
    check_task(restorer.info, task)
    if isinstance(image, Image):
        picture = picture_from_image(image)
        picture.pixels = keep_hidden(_restore(restorer, visible_pixels(picture)), picture)
        return picture_to_image(picture)
    restored = _restore(restorer, _check_array(image))
    return restored.reshape(image.shape).astype(image.dtype, copy=False)


def _restore(restorer: Restorer, pixels: Array) -> Array:
    restored = restorer.restore(pixels)
    if note := restorer.remark():
        # At the line that called restore_image.
        warnings.warn(note, RuntimeWarning, stacklevel=3)
    return restored


def _network(task: str | None, model: "str | Path | nn.Module | None") -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    wanted = model or task
    if wanted is None:
        raise UsageError(
            "restore_image was told neither a task nor a model.",
            'Use restore_image(image, task="denoise")',
        )
    return _cached_model(wanted)


@lru_cache(maxsize=4)
def _cached_model(name: str | Path) -> nn.Module:
    """Keep the last few models, so that a loop over images loads each once."""
    return load_model(name)


def make_restorer(
    network: nn.Module,
    tiling: Tiling | None = None,
    ensemble: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> Restorer:
    """Give a restorer for a network of `load_model`; `notify` gets each change of plan, once.

    Raises UsageError for a network from elsewhere or a tiling that cannot be used.
    """
    info = getattr(network, "info", None)
    if not isinstance(info, CheckpointInfo):
        raise UsageError(
            "The model carries no checkpoint description.", "Load it with load_model()"
        )
    device = next(network.parameters()).device
    wanted = str(getattr(network, "dtype_name", "auto"))
    return Restorer(
        network,
        info,
        device=device,
        dtype=choose_dtype(wanted, device),
        check_dtype=wanted == "auto",
        tiling=tiling,
        ensemble=ensemble,
        engine=_engine(network, info),
        notify=notify,
    )


def _engine(network: nn.Module, info: CheckpointInfo) -> Engine | None:
    backend = getattr(network, "backend_name", TORCH)
    return None if backend == TORCH else make_engine(str(backend), network, info)


def check_task(info: CheckpointInfo, task: str | None) -> None:
    """Raise UsageError if a checkpoint says that it is made for another task than the one named."""
    if task is not None and info.task not in (None, task):
        raise UsageError(
            f"{info.name or 'The checkpoint'} is made for {info.task}, not for {task}.",
            "Leave out either the task or the checkpoint.",
        )


def _check_array(image: Array) -> Array:
    """Give H x W x C of a kind that the restorer takes; raise UsageError for any other."""
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
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise UsageError(
            "A floating-point image must hold finite values in 0..1.", "Divide it by its maximum."
        )
    return np.ascontiguousarray(pixels, np.float32)
