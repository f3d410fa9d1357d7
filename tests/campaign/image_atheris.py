"""Coverage-guided fuzzing of the picture readers and writers with atheris.

    python -m tests.campaign.image_corpus SEEDS
    python -m tests.campaign.image_atheris -max_total_time=600 -rss_limit_mb=3000 CORPUS SEEDS

The options are libFuzzer's. Atheris sees the branches of the Python code, of this package and of
Pillow's, not those of C decoders. It stops at the first bytes that raise anything but this
package's errors, or that are read to pixels which no writer takes, and leaves them in a file.
"""

import sys
import warnings
from io import BytesIO

import atheris

with atheris.instrument_imports(include=["drcnet_cli", "PIL"]):
    from drcnet_cli.errors import DrcnetError
    from drcnet_cli.imageio import read_picture, write_picture

_WRITTEN = ("png", "tiff", "jpg", "webp", "bmp", "ppm")


def one_input(data: bytes) -> None:
    """Read some bytes, write what was read in a format that they choose, and read that."""
    try:
        picture = read_picture(BytesIO(data))
    except DrcnetError:
        return
    if picture.height * picture.width > 2**20:
        return  # seconds, which say nothing more
    out = BytesIO()
    try:
        write_picture(picture, out, format=_WRITTEN[len(data) % len(_WRITTEN)])
    except DrcnetError:  # alpha into a format without, a side too long
        return
    again = read_picture(BytesIO(out.getvalue()))
    assert (again.height, again.width) == (picture.height, picture.width)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
