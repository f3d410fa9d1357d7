"""What the bundled checkpoints give for inputs that are no photographs: always a picture."""

from functools import cache
from pathlib import Path

import image_fixtures as make
import numpy as np
import pytest
import torch
from conftest import EXAMPLES, photograph
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from drcnet_cli import weights
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio import read_picture
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.restore.outcome import WriteOptions
from drcnet_cli.restore.pipeline import restore_files
from drcnet_cli.restore.restorer import BFLOAT16_MIN_PSNR, Restorer
from drcnet_cli.restore.tiling import TileOptions

BUNDLED = sorted((Path(weights.__file__).parent / "bundled").glob("*.safetensors"))
CPU = torch.device("cpu")
SIDE = 64  # one tile
each_checkpoint = pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)


@cache
def loaded(path: Path):
    return load_checkpoint(path)


def restorer(path: Path, dtype=torch.float32, tile=64, **more) -> Restorer:
    return Restorer(*loaded(path), device=CPU, dtype=dtype, tiling=TileOptions(tile, 8), **more)


def one_hot(value: float, rest: float) -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), rest, np.float32)
    image[30, 41] = value
    return image


def checkerboard(cell: int) -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return np.repeat(((y // cell + x // cell) % 2).astype(np.float32)[..., None], 3, axis=2)


EXTREME = {
    "black": np.zeros((SIDE, SIDE, 3), np.float32),
    "white": np.ones((SIDE, SIDE, 3), np.float32),
    "gray": np.full((SIDE, SIDE, 1), 0.5, np.float32),
    "pure red": np.eye(1, 3, dtype=np.float32) * np.ones((SIDE, SIDE, 1), np.float32),
    "hot pixel": one_hot(1, 0),
    "dead pixel": one_hot(0, 1),
    "checkerboard": checkerboard(1),
    "coarse checkerboard": checkerboard(8),
    "half black": np.repeat(np.arange(SIDE) > 35, SIDE * 3).reshape(SIDE, SIDE, 3) * np.float32(1),
    "smallest numbers": np.full((SIDE, SIDE, 3), 1e-45, np.float32),
    "noise": make.random_array(3, np.float32, (SIDE, SIDE)),
    "white noise of two levels": make.random_array(3, np.float32, (SIDE, SIDE)).round(),
}
SIZES = [(1, 1), (1, 9), (9, 1), (2, 3), (7, 7), (17, 65), (64, 64), (1, 200)]


def assert_a_picture(restored: np.ndarray, like: np.ndarray) -> None:
    assert restored.shape == like.shape
    assert restored.dtype == like.dtype
    assert np.isfinite(restored).all()
    assert restored.min() >= 0
    assert restored.max() <= (1 if restored.dtype == np.float32 else np.iinfo(like.dtype).max)


@each_checkpoint
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_extreme_pictures_stay_finite_and_in_range(path, dtype):
    made = restorer(path, dtype)
    for image in EXTREME.values():
        assert_a_picture(made.restore(image), image)


@each_checkpoint
def test_one_odd_pixel_does_not_ruin_an_even_picture(path):
    # At the checkpoints' own tile, where a pixel stands out most.
    for background, odd in ((0, 1), (1, 0), (0.5, 0)):
        image = np.full((192, 192, 3), background, np.float32)
        image[90, 90] = odd
        assert np.abs(restorer(path, tile=192).restore(image) - image).mean() < 0.02


@each_checkpoint
def test_tiny_and_odd_sizes_stay_finite_and_in_range(path):
    made = restorer(path)
    for height, width in SIZES:
        for channels, dtype in ((1, np.float32), (3, np.uint8), (3, np.uint16)):
            image = make.random_array(3, dtype, (width, height))[..., :channels]
            assert_a_picture(made.restore(image), image)


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(BUNDLED),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])).flatmap(
        lambda shape: arrays(np.float32, shape, elements=st.floats(0, 1, width=32))
    ),
)
def test_every_finite_picture_stays_finite_and_in_range(path, image):
    assert_a_picture(restorer(path, tile=32).restore(image), image)


@each_checkpoint
def test_float32_is_the_same_from_run_to_run(path):
    image = photograph(SIDE, SIDE).astype(np.float32) / 255
    threads, by_count = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            first, second = (restorer(path).restore(image) for _ in range(2))
            np.testing.assert_array_equal(first, second)
            by_count.append(first)
    finally:
        torch.set_num_threads(threads)
    # Threads sum in another order: measured 2.4e-7.
    np.testing.assert_allclose(by_count[1], by_count[0], atol=1e-5, rtol=0)


@each_checkpoint
def test_bfloat16_stays_within_the_stated_distance(path):
    folder = {"derain": "rainy", "deblur": "blurry"}.get(str(loaded(path)[1].task), "noisy")
    source = min((EXAMPLES / folder).iterdir())
    photo = np.asarray(Image.open(source).convert("RGB"))[:SIDE, :SIDE].astype(np.float32) / 255
    for image in (photo, EXTREME["noise"], EXTREME["coarse checkerboard"]):
        exact = restorer(path).restore(image)
        # As `--dtype auto` does: where the distance would be larger, float32 takes over.
        reduced = restorer(path, torch.bfloat16, check_dtype=True).restore(image)
        error = float(np.mean((reduced - exact) ** 2))
        assert -10 * np.log10(max(error, 1e-12)) >= BFLOAT16_MIN_PSNR


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("one nan", np.nan, "NaN or infinite"),
        ("one infinity", np.inf, "NaN or infinite"),
        ("minus infinity", -np.inf, "NaN or infinite"),
        ("huge", 3e38, "to 3e+38, outside 0..1"),
        ("very negative", -3e38, "from -3e+38"),
        ("hardly above one", 1.001, None),
    ],
)
def test_a_float_tiff_is_refused_or_clipped_into_range(name, values, said, tmp_path):
    array = make.random_array(3, np.float32)
    array[4, 5] = values
    source = tmp_path / f"{name}.tif"
    source.write_bytes(make.tiff(array))
    job = Job(source, tmp_path / "out" / source.name)
    (outcome,) = restore_files([job], restorer(BUNDLED[0]), WriteOptions())
    if said:
        assert outcome.error
        assert said in outcome.error.message
        assert source.name in outcome.error.message
        assert not job.destination.exists()
    else:
        assert "clipped" in outcome.notes[0]
        assert_a_picture(read_picture(job.destination).pixels, array)
