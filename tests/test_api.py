"""The Python interface, on arrays and Pillow images."""

import doctest
from dataclasses import replace

import numpy as np
import pytest
from animation_files import animation, few_colours, opened
from conftest import photograph
from PIL import Image
from torch import nn

import drcnet_cli
from drcnet_cli import load_model, restore_file, restore_image
from drcnet_cli.errors import DeviceError, ImageError, UsageError


@pytest.fixture(scope="module")
def model(tiny_weights):
    return load_model(tiny_weights, device="cpu", dtype="float32")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(40, 56, 3), (40, 56), (1, 1), (3, 200, 3)])
def test_arrays_come_back_in_kind(model, dtype, shape):
    rng = np.random.default_rng(0)
    image = rng.random(shape).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        image = rng.integers(0, np.iinfo(dtype).max, shape, dtype)
    restored = restore_image(image, model=model)
    assert (restored.dtype, restored.shape) == (image.dtype, image.shape)
    assert np.isfinite(restored.astype(float)).all()


def test_the_same_picture_in_each_depth_is_restored_alike(model):
    image = photograph()
    eight = restore_image(image, model=model) / 255
    sixteen = restore_image(image.astype(np.uint16) * 257, model=model) / 65535
    floating = restore_image(image.astype(np.float32) / 255, model=model)
    np.testing.assert_allclose(sixteen, floating, atol=1e-5)
    np.testing.assert_allclose(eight, floating, atol=0.5 / 255 + 1e-5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P"])
def test_pillow_images_keep_their_kind(model, mode):
    image = Image.fromarray(photograph()).convert(mode)
    restored = restore_image(image, model=model)
    assert restored.size == image.size
    assert restored.mode == {"P": "RGB"}.get(mode, mode)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(5, np.uint8),
        np.zeros((4, 4, 3), np.int64),
        np.full((4, 4, 3), 2.0),
        np.full((4, 4), np.nan),
        [[0.5]],
        "photo.png",
    ],
)
def test_other_arrays_are_refused(model, image):
    with pytest.raises(UsageError):
        restore_image(image, model=model)


@pytest.mark.parametrize(("value", "said"), [(255.0, "0 to 255"), (np.nan, "finite")])
def test_floats_that_are_no_picture_are_told_why(model, value, said):
    image = np.zeros((4, 4), np.float32)
    image[1, 1] = value
    with pytest.raises(UsageError, match=said):
        restore_image(image, model=model)


def test_files_are_restored_with_chosen_pictures(model, tmp_path):
    frames = [few_colours(seed) for seed in range(3)]
    (tmp_path / "a.gif").write_bytes(animation("GIF", frames))
    assert restore_file(tmp_path / "a.gif", tmp_path / "b.webp", model=model, pages="2-") == []
    assert len(opened((tmp_path / "b.webp").read_bytes())) == 2
    with pytest.raises(ImageError, match="asks for number 4"):
        restore_file(tmp_path / "a.gif", tmp_path / "c.webp", model=model, pages="4")
    with pytest.raises(UsageError, match="counted from 1"):
        restore_file(tmp_path / "a.gif", tmp_path / "c.webp", model=model, pages="0")
    assert not (tmp_path / "c.webp").exists()


def test_neither_task_nor_model_is_refused():
    with pytest.raises(UsageError, match="task"):
        restore_image(photograph())


def test_a_model_made_for_another_task_is_refused():
    with pytest.raises(UsageError, match="made for derain"):
        restore_image(photograph(), task="denoise", model="drcnet-s-derain")


def test_a_wrong_device_costs_no_download():
    with pytest.raises(DeviceError):
        load_model("no-such-checkpoint", device="tpu")


def test_a_task_names_its_default_checkpoint():
    noisy = photograph(64, 64).astype(np.float32) / 255
    assert restore_image(noisy, task="denoise").shape == noisy.shape


def test_the_documented_example_runs():
    """README and the package's docstring show this."""
    image = photograph(64, 96)
    found = doctest.DocTestFinder().find(drcnet_cli, globs={"image": image})
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    assert sum(runner.run(test).failed for test in found) == 0
    assert runner.tries >= 4


class Odd(nn.Module):
    """Makes a picture of gray and of nothing else."""

    def forward(self, image):
        return image if image.std() == 0 else image + 1e10


def test_what_stays_as_it_was_is_warned_of_at_the_callers_line(model):
    pixels = np.zeros((16, 16, 3), np.float32)
    pixels[3, 3] = 1
    with pytest.warns(RuntimeWarning, match="1 tile was left") as caught:
        restored = restore_image(pixels, model=replace(model, network=Odd()), tile=0)
    assert np.array_equal(restored, pixels)
    assert caught[0].filename == __file__
