"""The picture at the top of README: examples above, what `restore` makes of them below.

python examples/sheet.py docs/before_after.jpg
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from drcnet_cli import restore_image

HERE = Path(__file__).parent
COLUMNS = {"noisy/parrots": "denoise", "rainy/lighthouse": "derain", "blurry/riders": "deblur"}
GAP = 6  # pixels


def main() -> None:
    """Restore and write the sheet."""
    columns = []
    for name, task in COLUMNS.items():
        before = np.asarray(Image.open(HERE / f"{name}.jpg"))
        after = restore_image(before, task=task)
        columns.append(np.concatenate([before, np.full_like(before[:GAP], 255), after]))
    space = np.full_like(columns[0][:, :GAP], 255)
    rows = [piece for column in columns for piece in (space, column)][1:]
    Image.fromarray(np.concatenate(rows, axis=1)).save(sys.argv[1], quality=90, subsampling=0)


if __name__ == "__main__":
    main()
