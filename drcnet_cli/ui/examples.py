"""Pictures to try the page with: a wheel carries them here, a source tree in `examples/`."""

from pathlib import Path

_PACKAGED = Path(__file__).parent / "examples"
_SOURCE = Path(__file__).parents[2] / "examples"
_NAMES = ("noisy/parrots.jpg", "rainy/boat.jpg")


def example_pictures() -> list[Path]:
    """List the pictures that there are."""
    return [
        path for name in _NAMES for path in (_PACKAGED / name, _SOURCE / name) if path.is_file()
    ]
