import subprocess
import sys

import image_fixtures as make
import numpy as np
import pytest
from image_cases import GRAY8, RGB8, RGB16, read, whole
from tiff_files import MASK, PAGE, REDUCED, joined, page

from drcnet_cli.errors import ImageError
from drcnet_cli.train.cache import PictureCache

SMALL = np.ascontiguousarray(RGB8[::4, ::4])
SUB_IFD = (330, 4, [1])


@pytest.mark.parametrize("full", [RGB8, RGB16, GRAY8], ids=["8 bits", "16 bits", "gray"])
def test_a_preview_first_is_not_the_photograph(full):
    data = joined(page(SMALL, REDUCED), page(full))
    np.testing.assert_array_equal(whole(read(data)), full)
    below = joined(page(SMALL, REDUCED, SUB_IFD), page(full), below=1)
    picture = read(below)
    np.testing.assert_array_equal(whole(picture), full)
    assert not picture.metadata.notes


def test_the_old_field_for_previews_counts_too():
    data = joined(page(SMALL, 0, (255, 3, [2])), page(RGB8, 0, (255, 3, [1])))
    np.testing.assert_array_equal(read(data).pixels, RGB8)


def test_previews_and_masks_are_no_pages_and_masks_are_said():
    data = joined(page(RGB8), page(SMALL, REDUCED), page(GRAY8, MASK))
    picture = read(data)
    np.testing.assert_array_equal(picture.pixels, RGB8)
    assert picture.metadata.notes == ("a mask page was left out",)
    mask_first = joined(page(GRAY8, MASK), page(RGB8))
    np.testing.assert_array_equal(read(mask_first).pixels, RGB8)


def test_where_all_are_reduced_the_largest_is_taken():
    data = joined(page(SMALL, REDUCED), page(RGB8, REDUCED))
    np.testing.assert_array_equal(read(data).pixels, RGB8)


def test_pages_are_still_refused_and_counted_without_previews():
    data = joined(page(SMALL, REDUCED), page(RGB8, PAGE), page(RGB8, PAGE))
    with pytest.raises(ImageError, match="2 pages"):
        read(data)


def test_a_damaged_second_page_does_not_damage_the_first():
    data = bytearray(make.tiff(RGB8))
    directory = int.from_bytes(data[4:8], "little")
    link = directory + 2 + 12 * int.from_bytes(data[directory : directory + 2], "little")
    data[link : link + 4] = (len(data) + 1000).to_bytes(4, "little")
    picture = read(bytes(data))
    np.testing.assert_array_equal(picture.pixels, RGB8)
    assert "damaged" in picture.metadata.notes[0]


@pytest.mark.parametrize(
    ("number", "name"), [(50000, "Zstandard"), (50001, "WebP"), (34887, "LERC")]
)
@pytest.mark.parametrize("array", [RGB8, RGB16], ids=["8 bits", "16 bits"])
def test_compressions_that_are_not_read_are_named(number, name, array):
    data = make.tiff(array, tags=[(259, 3, [number])])
    with pytest.raises(ImageError, match=f"compressed with {name}, which is not read") as caught:
        read(data)
    assert "LZW" in caught.value.hint
    # Damage in a file of a usual compression is called damage.
    with pytest.raises(ImageError, match="damaged"):
        read(make.tiff(array, tags=[(259, 3, [8])]))


def test_libtiff_writes_no_lines_of_its_own(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(make.tiff(RGB8, tags=[(259, 3, [50001])]))
    program = (
        "import sys; from pathlib import Path; from drcnet_cli.imageio import read_picture\n"
        "try: read_picture(Path(sys.argv[1]))\n"
        "except Exception as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert "WebP" in ran.stdout
    assert ran.stderr == ""


def test_training_keeps_the_photograph_and_not_its_preview(tmp_path):
    paths = [tmp_path / "preview.tif", tmp_path / "profile.png"]
    paths[0].write_bytes(joined(page(SMALL, REDUCED), page(RGB8)))
    broken = bytearray(make.png_chunk(b"iCCP", b"no stream"))
    broken[-1] ^= 1
    paths[1].write_bytes(make.png(RGB8, bytes(broken)))
    pictures = PictureCache(paths, limit_mb=1)
    for number in range(len(paths)):
        np.testing.assert_array_equal(pictures[number], RGB8)
