"""Pictures of a folder as 8-bit RGB: read as a browser shows them."""

import numpy as np
import pytest
from conftest import photograph, save_photograph
from PIL import Image, ImageCms

from drcnet_cli.errors import ImageError
from drcnet_cli.imageio.folder import read_for_display


def test_pictures_are_read_upright_in_8_bits_and_three_channels(tmp_path):
    deep = (photograph(6, 9)[..., 0].astype(np.uint16)) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(
        read_for_display(tmp_path / "deep.png"), np.repeat(deep[..., None] // 257, 3, axis=2)
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photograph(6, 9)).save(tmp_path / "turned.png", exif=exif)
    assert read_for_display(tmp_path / "turned.png").shape == (9, 6, 3)


def test_colour_profiles_are_followed_but_srgb_changes_nothing(tmp_path):
    pixels = photograph(8, 8)
    image = Image.fromarray(pixels)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "srgb.png", icc_profile=srgb)
    assert np.array_equal(read_for_display(tmp_path / "srgb.png"), pixels)
    image.save(tmp_path / "damaged.png", icc_profile=b"no profile at all")
    assert np.array_equal(read_for_display(tmp_path / "damaged.png"), pixels)
    image.save(tmp_path / "other.png", icc_profile=_swap_primaries(srgb))
    shown = read_for_display(tmp_path / "other.png")
    assert np.abs(shown.astype(int) - pixels[..., ::-1]).max() <= 2


def _swap_primaries(profile: bytes) -> bytes:
    """Return an sRGB profile, not called so, whose red is blue and whose blue is red."""
    swapped = profile.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(
        b"sRGB built-in", b"swap built-in"
    )


def test_a_damaged_picture_is_named(tmp_path):
    path = save_photograph(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError, match="a.png"):
        read_for_display(path)
