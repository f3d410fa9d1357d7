"""Video's numbers as colours, by the published matrices, and back without loss."""

import numpy as np
import pytest

from drcnet_cli.video.colour import BT601, BT709, UNSPECIFIED, find_colour, from_rgb, to_rgb

RED = np.array([1, 0, 0], np.float32)


def flat(numbers, height=6, width=8):
    return [np.full((height, width), n) for n in numbers[:1]] + [
        np.full((height // 2, width // 2), n) for n in numbers[1:]
    ]


# Of ITU-R BT.601 and BT.709, and of JFIF for the full range.
@pytest.mark.parametrize(
    ("matrix", "full", "bits", "red"),
    [
        (BT709, False, 8, (63, 102, 240)),
        (BT601, False, 8, (81, 90, 240)),
        (BT709, False, 10, (250, 409, 960)),
        (BT601, True, 8, (76, 85, 255)),
    ],
)
def test_red_is_what_the_standards_say(matrix, full, bits, red):
    colour = find_colour(matrix, full, 64, 48)
    assert np.abs(to_rgb(flat(red), bits, colour) - RED).max() < 1.5 / 219
    made = from_rgb(np.broadcast_to(RED, (6, 8, 3)), bits, (2, 2), colour)
    assert [plane.flat[0] for plane in made] == list(red)


def test_without_a_tag_the_size_decides():
    assert find_colour(UNSPECIFIED, False, 1280, 720) == find_colour(BT709, False, 1, 1)
    assert find_colour(UNSPECIFIED, False, 720, 576) == find_colour(BT601, False, 1, 1)
    assert find_colour(8, False, 720, 576) is None  # YCgCo


@pytest.mark.parametrize("subsampling", [(2, 2), (2, 1), (1, 1)])
@pytest.mark.parametrize("size", [(48, 64), (34, 46), (2, 2)])
@pytest.mark.parametrize(("bits", "full"), [(8, False), (10, True)])
def test_what_is_not_changed_comes_back_as_the_same_numbers(subsampling, size, bits, full):
    rng = np.random.default_rng(0)
    height, width = size
    small = (height // subsampling[1], width // subsampling[0])
    planes = [rng.integers(0, 2**bits, shape) for shape in (size, small, small)]
    colour = find_colour(BT709, full, width, height)
    made = from_rgb(to_rgb(planes, bits, colour), bits, subsampling, colour)
    for before, after in zip(planes, made, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_surface_of_one_value_is_one_in_rgb_too():
    # The restorer knows flat surfaces by exactly equal neighbours.
    rgb = to_rgb(flat((100, 77, 201)), 8, find_colour(BT709, False, 8, 6))
    assert (rgb == rgb[0, 0]).all()


def test_gray_has_equal_channels():
    planes = [np.arange(48).reshape(6, 8), *flat((0, 128, 128))[1:]]
    rgb = to_rgb(planes, 8, find_colour(BT601, False, 8, 6))
    assert (rgb == rgb[..., :1]).all()
