"""Pixels deeper than 8 bits, which Pillow would reduce: decoded by OpenCV, values untouched."""

from typing import Any

import cv2
import numpy as np

from drcnet_cli.imageio.shared import SharedSetting

# OpenCV writes to standard error of every unknown TIFF field and of failures raised here anyway.
# Where the two functions are: in a module of their own from OpenCV 5 on.
_log: Any = vars(cv2.utils).get("logging", cv2)
_SILENT = 0
_log_level = SharedSetting(_log.getLogLevel, _log.setLogLevel, _SILENT)


def decode_deep(data: bytes | bytearray) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode PNG, TIFF or PNM as stored: H x W x 1 or 3 (RGB) pixels, and alpha if there is any.

    No orientation, gamma or profile is applied, except a TIFF's orientation, which OpenCV always
    applies (and fails on in part): hand over TIFFs of orientation 1. Raises ValueError,
    and MemoryError where the pixels do not fit.
    """
    try:
        with _log_level.changed():
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise ValueError(error.err or "decoding failed") from error
    if decoded is None:
        raise ValueError("decoding failed")
    if decoded.ndim == 2:
        return decoded[..., None], None
    if decoded.shape[2] == 4:
        alpha = np.ascontiguousarray(decoded[..., 3])
        return np.ascontiguousarray(decoded[..., 2::-1]), alpha
    # OpenCV's order is BGR; exchanged in place, since a copy of a whole picture is large.
    for row in decoded:
        row[:, ::2] = row[:, ::-2].copy()
    return decoded, None
