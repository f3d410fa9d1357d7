"""MATLAB files: both versions give the same, and whatever else there is gives a sentence."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matlab_files import write_mat5, write_mat73
from scipy.io import savemat

from drcnet_cli.datasets.matlab import ArrayInfo, Blocks, array_info, read_array
from drcnet_cli.errors import DrcnetError, ImageError, UsageError

WRITERS = pytest.mark.parametrize("write", [write_mat5, write_mat73])
BLOCKS = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 7, 3), dtype=np.uint8)


@WRITERS
def test_arrays_come_back_with_their_axes_in_matlabs_order(tmp_path, write):
    numbers = np.arange(24.0).reshape(2, 3, 4)
    path = write(tmp_path / "a.mat", other=BLOCKS, numbers=numbers)
    assert array_info(path, "other") == ArrayInfo((2, 3, 5, 7, 3), "uint8")
    assert array_info(path, "numbers") == ArrayInfo((2, 3, 4), "float64")
    assert np.array_equal(read_array(path, "numbers"), numbers)
    window = (slice(1, 2), slice(0, 2), slice(None))
    assert np.array_equal(read_array(path, "numbers", window), numbers[window])


@WRITERS
def test_blocks(tmp_path, write):
    blocks = Blocks(write(tmp_path / "a.mat", noisy=BLOCKS), "noisy")
    assert (blocks.images, blocks.blocks) == (2, 3)
    assert np.array_equal(blocks[1, 2], BLOCKS[1, 2])
    assert blocks[0, 0].flags.c_contiguous
    assert blocks[0, 0].dtype == np.uint8


@WRITERS
def test_blocks_are_read_once_and_only_when_asked_for(tmp_path, write):
    path = write(tmp_path / "a.mat", noisy=BLOCKS)
    kept, late = Blocks(path, "noisy"), Blocks(path, "noisy")
    kept[0, 0]
    path.unlink()
    assert np.array_equal(kept[0, 1], BLOCKS[0, 1])
    with pytest.raises(ImageError, match=r"a\.mat does not exist"):
        late[0, 0]


@WRITERS
@pytest.mark.parametrize(
    ("array", "said"),
    [
        (BLOCKS[0], "3 x 5 x 7 x 3, uint8"),
        (BLOCKS.astype(np.float32), "float32"),
        (BLOCKS[..., :2], "2 x 3 x 5 x 7 x 2"),
    ],
)
def test_blocks_of_another_kind(tmp_path, write, array, said):
    path = write(tmp_path / "a.mat", noisy=array)
    with pytest.raises(UsageError) as error:
        Blocks(path, "noisy")
    assert str(path) in error.value.message
    assert said in error.value.message


@WRITERS
def test_a_missing_variable_is_said_with_those_that_are_there(tmp_path, write):
    path = write(tmp_path / "a.mat", clean=BLOCKS)
    for read in (array_info, read_array, Blocks):
        with pytest.raises(UsageError, match=r"a\.mat holds clean, not a variable noisy"):
            read(path, "noisy")


def test_cells_and_structs_are_no_numbers(tmp_path):
    path = tmp_path / "a.mat"
    cell = np.empty((1, 2), object)
    cell[:] = [[np.zeros(2), np.zeros(3)]]
    savemat(path, {"cell": cell, "struct": {"field": 1.0}, "text": "words"})
    for name in ("cell", "struct", "text"):
        with pytest.raises(UsageError, match="no array of numbers"):
            read_array(path, name)


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html><html>Not found" * 30, b"\x80\x04K\x01."]
)
def test_anything_else_is_no_matlab_file(tmp_path, content):
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.mat is no MATLAB file"):
        read_array(path, "noisy")


def test_a_folder_and_nothing_at_all(tmp_path):
    for path in (tmp_path, tmp_path / "absent.mat"):
        with pytest.raises(ImageError, match=path.name):
            read_array(path, "noisy")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mat")
    return {
        "5": write_mat5(folder / "5.mat", noisy=BLOCKS).read_bytes(),
        "7.3": write_mat73(folder / "73.mat", noisy=BLOCKS).read_bytes(),
    }


@settings(max_examples=60, deadline=None)
@given(version=st.sampled_from(["5", "7.3"]), data=st.data())
def test_damage_is_an_error_of_ours_or_changes_numbers_only(tmp_path_factory, whole, version, data):
    content = bytearray(whole[version])
    if data.draw(st.booleans(), "cut off"):
        content = content[: data.draw(st.integers(0, len(content) - 1), "length")]
    else:
        for _ in range(8):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.mat"
    path.write_bytes(content)
    try:
        assert Blocks(path, "noisy")[0, 0].dtype == np.uint8
    except DrcnetError as error:
        assert str(path) in error.message


@pytest.mark.parametrize(
    ("write", "module", "package"),
    [(write_mat5, "scipy.io.matlab", "scipy"), (write_mat73, "h5py", "h5py")],
)
def test_a_missing_package_says_how_to_get_it(tmp_path, monkeypatch, write, module, package):
    path = write(tmp_path / "a.mat", noisy=BLOCKS)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=f"needs {package}") as error:
        read_array(path, "noisy")
    assert error.value.hint == "pip install 'drcnet[eval]'"
