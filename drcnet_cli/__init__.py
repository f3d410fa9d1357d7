"""Restore photographs: rain, noise, blur, haze, drops on the lens, and several at once.

>>> from drcnet_cli import load_model, restore_image
>>> restored = restore_image(image, task="denoise")  # image: H x W x 3 uint8
>>> restored.shape == image.shape and restored.dtype == image.dtype
True
>>> model = load_model("drcnet-s-derain", device="cpu")
>>> restored = restore_image(image, model=model, tile=128, overlap=16)

`restore_file("a.gif", "b.gif", task="denoise")` restores files, animations too.
`evaluate("rain100l", "data", model="drcnet-s-derain")` measures a checkpoint on a published set.
"""

from typing import TYPE_CHECKING, Any

from drcnet_cli.version import __version__

__all__ = ["__version__", "evaluate", "load_model", "restore_file", "restore_image"]

if TYPE_CHECKING:
    from drcnet_cli.api import load_model, restore_file, restore_image
    from drcnet_cli.evaluation.session import evaluate


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute may be anything
    """Import the public functions when they are first used: torch takes a second to load."""
    if name in ("load_model", "restore_file", "restore_image"):
        from drcnet_cli import api

        return getattr(api, name)
    if name == "evaluate":
        from drcnet_cli.evaluation.session import evaluate

        return evaluate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
