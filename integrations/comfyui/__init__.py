"""A node of ComfyUI that restores pictures with drcnet; the folder is copied to `custom_nodes`."""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

try:
    from drcnet_cli.errors import DrcnetError, UsageError
except ImportError as error:
    raise ImportError(
        f"drcnet is not installed in ComfyUI's Python: {sys.executable} -m pip install drcnet"
    ) from error

from drcnet_cli.restore.config import RestoreConfig, open_restorer
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions
from drcnet_cli.tasks import TASKS
from drcnet_cli.weights.manifest import load_manifest

OF_TASK = "the task's own"
AUTO, WHOLE = "auto", "whole picture"
TILES = (AUTO, WHOLE, "128", "192", "256", "384", "512")


class RestoreWithDrcnet:
    """Restore a batch of pictures, each by itself; whatever is no colour of theirs stays."""

    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "restore"
    CATEGORY = "image/restoration"
    DESCRIPTION = "Remove noise, rain, blur, haze, drops or shadows from photographs."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, Any]]:  # noqa: N802 - ComfyUI's name
        """List the node's inputs in ComfyUI's form; words and meanings are the command line's."""
        checkpoints = [OF_TASK, *load_manifest().names]
        share = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05}
        overlap = {"default": -1, "min": -1, "max": 256, "tooltip": "Of tiles, in pixels; -1: auto"}
        file = {"default": "", "tooltip": "A .safetensors file of your own, in place of the above"}
        grain = share | {"default": 0.0, "tooltip": "Of noise: how much comes back, without colour"}
        mask = {"tooltip": "What to mend, in white; for checkpoints of SPAIR"}
        return {
            "required": {
                "image": ("IMAGE",),
                "task": (list(TASKS), {"default": "denoise", "tooltip": "What to remove"}),
                "checkpoint": (checkpoints, {"tooltip": "One that is named decides on the task"}),
                "strength": ("FLOAT", share | {"tooltip": "Share of the restored picture"}),
                "tile": (list(TILES), {"tooltip": "Side of a tile in pixels"}),
                "overlap": ("INT", overlap),
            },
            "optional": {
                "keep_grain": ("FLOAT", grain),
                "weights": ("STRING", file),
                "mask": ("MASK", mask),
            },
        }

    def restore(
        self,
        image: Tensor,
        task: str,
        checkpoint: str = OF_TASK,
        strength: float = 1.0,
        tile: str = AUTO,
        overlap: int = -1,
        keep_grain: float = 0.0,
        weights: str = "",
        mask: Tensor | None = None,
    ) -> tuple[Tensor]:
        """Restore B x H x W x 3 or more channels in [0, 1]; `mask`: B or 1 x H x W in [0, 1].

        Raises DrcnetError, whose text says what to do about it.
        """
        named = weights.strip() or (checkpoint if checkpoint != OF_TASK else "")
        side = {AUTO: None, WHOLE: 0}.get(tile, tile)
        tiling = TileOptions(None if side is None else int(side), None if overlap < 0 else overlap)
        masks = None if mask is None else _masks_for(image, mask)
        restorer = _open(
            RestoreConfig(
                named or task,
                task=None if named else task,
                tiling=tiling,
                strength=strength,
                keep_grain=keep_grain,
                masks=masks is not None,
            )
        )
        result, told = image.clone(), _progress(len(image))
        for number, picture in enumerate(image[..., :3].clamp(0, 1).cpu().float().numpy()):
            if masks is None:
                restored = restorer.restore(picture, told)
            else:
                restored, _ = restorer.restore_with_mask(picture, masks[number], told)
            result[number, ..., :3] = torch.from_numpy(restored)
            if remark := restorer.remark():
                logging.warning("Picture %d: %s.", number + 1, remark)
        return (result,)


@lru_cache(maxsize=1)
def _open(config: RestoreConfig) -> Restorer:
    """Open what a configuration names; the last one is kept for the next run of the workflow."""
    return open_restorer(config, logging.info)


def _masks_for(image: Tensor, mask: Tensor) -> Any:  # noqa: ANN401 - NumPy's array
    """Return a mask for each picture, B x H x W x 1 uint8; raises UsageError for other sizes."""
    if mask.shape[1:] != image.shape[1:3] or len(mask) not in (1, len(image)):
        raise UsageError(
            f"The mask is of {_size(mask)}, and the picture of {_size(image)}.",
            "Give one of the picture's size, for each picture or for all.",
        )
    levels = mask.clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.expand(len(image), -1, -1)[..., None].cpu().numpy()


def _size(batch: Tensor) -> str:
    return f"{len(batch)} x {batch.shape[2]} x {batch.shape[1]} pixels"


def _progress(pictures: int) -> Callable[[float], None]:
    """Return what is told each finished share of a picture, and moves ComfyUI's bar if there is."""
    try:
        from comfy.utils import ProgressBar  # pyright: ignore[reportMissingImports]
    except ImportError:
        return lambda share: None
    bar, done = ProgressBar(1000), [0.0]

    def tell(share: float) -> None:
        done[0] += share / pictures
        bar.update_absolute(round(1000 * done[0]), 1000)

    return tell


def _join_upscale_models() -> None:
    """Let ComfyUI's own node "Load Upscale Model" take our checkpoints too, by spandrel."""
    from drcnet_cli.integrations.spandrel import install

    install()
    from folder_paths import get_filename_list, get_full_path  # pyright: ignore

    for name in get_filename_list("upscale_models"):
        if name.endswith(".safetensors"):
            with suppress(DrcnetError):  # another program's
                install(get_full_path("upscale_models", name))


with suppress(ImportError, UsageError):  # outside ComfyUI, or one without spandrel
    _join_upscale_models()

NODE_CLASS_MAPPINGS = {"RestoreWithDrcnet": RestoreWithDrcnet}
NODE_DISPLAY_NAME_MAPPINGS = {"RestoreWithDrcnet": "Restore (drcnet)"}
__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
