"""HEIC and HEIF through pillow-heif: 8 bits, or 10 and 12 bits as 16, upright, metadata kept."""

from io import BytesIO
from typing import Any

import numpy as np

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.cicp import Cicp, stated
from drcnet_cli.imageio.decode import check_size, upright_metadata
from drcnet_cli.imageio.kinds import HEIC, reader_module
from drcnet_cli.imageio.picture import Metadata, Picture

_GAIN_MAP = "hdrgainmap"


def read_heif(data: bytes) -> Picture:
    """Decode the primary picture of a HEIF file.

    Raises ImageError without pillow-heif, what that raises for damaged data.
    """
    reader = reader_module(HEIC)
    opened = reader.open_heif(BytesIO(data), convert_hdr_to_8bit=False)
    image = opened[opened.primary_index]
    check_size(*image.size)
    pixels = _whole_range(np.array(image), image.info.get("bit_depth", 16))
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if image.mode.partition(";")[0] in ("RGBa", "La"):
        raise ImageError("has pixels premultiplied with alpha, which is not read.", "")
    alpha = None
    if pixels.shape[2] in (2, 4):
        pixels, alpha = pixels[..., :-1], np.ascontiguousarray(pixels[..., -1])
    metadata = _metadata(image.info, image.mode, len(opened) - 1)
    # libheif has turned the pixels; what EXIF says of it is void (ISO 23008-12, A.2.2).
    return Picture(pixels, alpha, upright_metadata(metadata, 1))


def _whole_range(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Stretch 10 or 12 bits, shifted up to 16, so that white is 65535."""
    if pixels.dtype != np.uint16 or not 8 < bits < 16:
        return pixels
    stored = (pixels >> (16 - bits)).astype(np.uint32)
    # The same bits again below, as numbers repeat: 1023 becomes 65535.
    return (stored << (16 - bits) | stored >> (2 * bits - 16)).astype(np.uint16)


def _metadata(info: dict[str, Any], mode: str, further: int) -> Metadata:
    lost = []
    if further:
        lost.append(f"{further} further picture{'s' if further > 1 else ''}")
    if info.get("depth_images"):
        lost.append("the depth map")
    kinds = [str(kind) for kind in info.get("aux") or ()]
    lost += ["the HDR gain map"] if any(_GAIN_MAP in kind for kind in kinds) else []
    lost += ["other auxiliary pictures"] if any(_GAIN_MAP not in kind for kind in kinds) else []
    return Metadata(
        format="HEIF",
        mode=mode,
        exif=_block(info.get("exif")),
        icc=info.get("icc_profile") or None,
        xmp=info.get("xmp") or None,
        cicp=_cicp(info.get("nclx_profile")),
        notes=(f"{', '.join(lost)} beside the HEIC picture left out",) if lost else (),
    )


def _cicp(profile: dict[str, Any] | None) -> Cicp | None:
    if not profile:
        return None
    return stated(int(profile["color_primaries"]), int(profile["transfer_characteristics"]))


def _block(exif: bytes | None) -> bytes | None:
    return exif.removeprefix(b"Exif\0\0") if exif else None
