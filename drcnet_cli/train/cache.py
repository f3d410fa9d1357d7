"""Decoded pictures kept as 8-bit RGB in memory that all worker processes share.

A training crop needs a corner of a picture, but a JPEG or PNG is decoded whole: some 10 ms a
megapixel, far more than cutting and degrading a crop. So each picture is decoded once, by whichever
worker first needs it, into one shared block of memory. Pictures past the limit are decoded anew.
"""

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio import read_picture
from drcnet_cli.imageio.folder import Pixels, read_rgb8
from drcnet_cli.imageio.read import DECODING_ERRORS

# Fields of a TIFF that tell of previews, pictures below, and RAW files.
_OTHER_PAGES = (254, 255, 330, 50706)

# What a kept picture's entry says once it is decoded.
_AS_STORED, _TURNED, _LEFT_OUT = 1, 2, 3
_REPAIR = "Repair it, or take it out of the training folder."


def stored_size(path: Path) -> tuple[int, int]:
    """Read height and width, before any turn, from a picture's header; raises ImageError."""
    # Whether it is turned would cost more: for a PNG, Pillow decodes it all to find its EXIF.
    try:
        with Image.open(path) as image:
            if _first_page_is_all(image):
                return image.height, image.width
    except DECODING_ERRORS:  # what Pillow alone does not open, or finds damaged in vain
        pass
    try:
        height, width = read_picture(path).pixels.shape[:2]
    except ImageError as error:
        raise ImageError(error.message, f"{error.hint} {_REPAIR}".lstrip()) from error
    return height, width


def _first_page_is_all(image: Image.Image) -> bool:
    """Tell whether a file's first picture is the one that is read: a TIFF's may be a preview."""
    return not any(getattr(image, "tag_v2", {}).get(tag) for tag in _OTHER_PAGES)


class PictureCache:
    """Pictures by number, H x W x 3 uint8; the first ones that fit `limit_mb` are kept decoded.

    `kept`: how many those are. A picture that cannot be read is left out from then on: all worker
    processes, and the one that began them, know it by `left_out`.
    """

    def __init__(self, paths: Sequence[Path], limit_mb: int) -> None:
        self.paths = list(paths)
        self._sizes: list[tuple[int, int]] = []
        self._starts = [0]
        # Raw arrays work with every way of starting worker processes, unlike a plain mmap.
        self._ready = multiprocessing.RawArray("B", max(1, len(self.paths)))
        for number, path in enumerate(self.paths):
            try:
                height, width = stored_size(path)
            except ImageError:
                height = width = 0
                self.leave_out(number)
            end = self._starts[-1] + height * width * 3
            if end > limit_mb * 2**20:
                break
            self._sizes.append((height, width))
            self._starts.append(end)
        self.kept = len(self._sizes)
        self._memory = multiprocessing.RawArray("B", max(1, self._starts[-1]))
        self._recent: dict[int, Pixels] = {}

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.paths)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the recent uncached pictures out of what a new worker gets."""
        return {**self.__dict__, "_recent": {}}

    def __getitem__(self, number: int) -> Pixels:
        """Return a picture; do not write to it. Raises ImageError for one that is left out."""
        if self._ready[number] == _LEFT_OUT:
            raise ImageError(f"{self.paths[number]} cannot be used.", _REPAIR)
        try:
            return self._kept(number) if number < self.kept else self._decode_again(number)
        except ImageError:
            self.leave_out(number)
            raise

    def leave_out(self, number: int) -> None:
        """Use a picture no more, in any process."""
        self._ready[number] = _LEFT_OUT

    def left_out(self) -> list[Path]:
        """List the pictures that cannot be used, as far as that is known."""
        return [p for p, state in zip(self.paths, self._ready, strict=False) if state == _LEFT_OUT]

    def _kept(self, number: int) -> Pixels:
        start, end = self._starts[number], self._starts[number + 1]
        memory = np.frombuffer(self._memory, np.uint8)[start:end]
        if not self._ready[number]:
            # Two workers may both come here: they write the same bytes.
            pixels = read_rgb8(self.paths[number])
            if pixels.size != memory.size:
                raise ImageError(f"{self.paths[number]} changed since the training began.")
            memory[:] = pixels.reshape(-1)
            turned = pixels.shape[:2] != self._sizes[number]
            self._ready[number] = _TURNED if turned else _AS_STORED
        height, width = self._sizes[number]
        if self._ready[number] == _TURNED:
            height, width = width, height
        return memory.reshape(height, width, 3)

    def _decode_again(self, number: int) -> Pixels:
        if number not in self._recent:
            # A pair's two pictures and its mask, which several crops in a row may need.
            self._recent = dict(list(self._recent.items())[-2:])
            self._recent[number] = read_rgb8(self.paths[number])
        return self._recent[number]
