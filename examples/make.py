"""How the example pictures were made from the Kodak images (free for any use).

    python examples/make.py KODAK_FOLDER

Cuts 480 x 320 pixels out of five of them and adds Gaussian noise of sigma 25, light rain or a mild
shake of the camera.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from drcnet_cli.degrade import degrade

HERE = Path(__file__).parent
SIGMA = 25
# Name -> Kodak number, left and top of the cut, what is added.
PICTURES = {
    "hat": ("kodim04", 16, 140, "noisy"),
    "parrots": ("kodim23", 240, 90, "noisy"),
    "lighthouse": ("kodim19", 16, 300, "rainy"),
    "boat": ("kodim11", 200, 150, "rainy"),
    "riders": ("kodim05", 250, 150, "blurry"),
}
KINDS = {"rainy": "rain-light", "blurry": "blur-light"}


def main() -> None:
    """Write clean/, noisy/, rainy/ and blurry/ beside this file."""
    for index, (name, (number, left, top, kind)) in enumerate(PICTURES.items()):
        with Image.open(Path(sys.argv[1]) / f"{number}.png") as image:
            clean = image.convert("RGB").crop((left, top, left + 480, top + 320))
        pixels = np.asarray(clean, np.float32) / 255
        rng = np.random.default_rng(index)
        if kind == "noisy":
            degraded = pixels + rng.normal(0, SIGMA / 255, pixels.shape)
        else:
            degraded = degrade(pixels.transpose(2, 0, 1), KINDS[kind], rng).degraded
            degraded = degraded.transpose(1, 2, 0)
        rounded = np.rint(degraded.clip(0, 1) * 255).astype(np.uint8)
        for folder, picture in (("clean", clean), (kind, Image.fromarray(rounded))):
            path = HERE / folder / f"{name}.jpg"
            path.parent.mkdir(exist_ok=True)
            picture.save(path, quality=95, subsampling=0)


if __name__ == "__main__":
    main()
