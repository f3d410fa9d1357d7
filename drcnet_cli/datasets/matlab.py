"""Data sets whose pictures lie in MATLAB's files: SIDD's blocks and DND.

Version 5 is read by scipy, 7.3, which is HDF5, by h5py. Axes are always MATLAB's: h5py lists those
of a 7.3 file in reverse. Only arrays of numbers are read, and cells of them; nothing in a file can
name code to run.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from drcnet_cli.datasets.search import Array, Case, FoundSet, find_file
from drcnet_cli.errors import ImageError, UsageError, import_extra
from drcnet_cli.imageio.read import DECODING_ERRORS

_HDF5 = b"\x89HDF\r\n\x1a\n"
_USER_BLOCK = 512  # bytes of text that MATLAB puts before the HDF5 part
_ENDIAN = slice(126, 128)  # "MI" as a number, in a version 5 header
_NUMBERS = "uif"  # kinds of numpy's types: integers and floating point
_FLOATS = {"double": "float64", "single": "float32"}  # MATLAB's names and numpy's
_AGAIN = "Download it again from where the data set is published."
_NOISY, _CLEAN, _BENCHMARK = (
    "ValidationNoisyBlocksSrgb",
    "ValidationGtBlocksSrgb",
    "BenchmarkNoisyBlocksSrgb",
)

Window = tuple[slice, ...]


@dataclass(frozen=True)
class ArrayInfo:
    """An array's axes in MATLAB's order and its type of numbers, as numpy calls it."""

    shape: tuple[int, ...]
    dtype: str


def array_info(path: Path, variable: str) -> ArrayInfo:
    """Look up a variable without reading its numbers; raises what `read_array` does."""
    if _is_hdf5(path):
        with _reading(path), _hdf5(path) as file:
            _check_numbers(path, file, variable)
            dataset = file[variable]
            return ArrayInfo(tuple(dataset.shape[::-1]), str(dataset.dtype))
    matlab = _package("scipy.io.matlab", path)
    found: dict[str, tuple[tuple[int, ...], str]] = {}
    with _reading(path, matlab.MatReadError):
        found = {name: (shape, kind) for name, shape, kind in matlab.whosmat(str(path))}
    if variable not in found:
        raise _absent(path, variable, found)
    shape, kind = found[variable]
    dtype = _FLOATS.get(kind, kind)
    if not dtype.startswith(("uint", "int", "float")):
        raise _no_numbers(path, variable)
    return ArrayInfo(tuple(shape), dtype)


def read_array(path: Path, variable: str, window: Window | None = None) -> Array:
    """Read a variable, or a part of it: one slice an axis, of which 7.3 files read no more.

    Raises UsageError if it is not there, is no array of numbers, or a package to read it is
    missing, and ImageError, naming the file, if the file cannot be read, is damaged or no MATLAB
    file.
    """
    if _is_hdf5(path):
        with _reading(path), _hdf5(path) as file:
            _check_numbers(path, file, variable)
            return np.asarray(file[variable][window[::-1] if window else ...]).T
    array_info(path, variable)  # raises before anything but numbers is read
    matlab = _package("scipy.io.matlab", path)
    with _reading(path, matlab.MatReadError):
        array = matlab.loadmat(str(path), variable_names=[variable])[variable]
        return array[window] if window else array


def read_cells(path: Path, variable: str, field: str) -> list[Array]:
    """Read a cell array of numbers, a field of a struct, from a 7.3 file; see `read_array`."""
    if not _is_hdf5(path):
        raise ImageError(f"{path} is no MATLAB file of version 7.3.", _AGAIN)
    with _reading(path), _hdf5(path) as file:
        cells = file[variable][field]
        # Cells are references to arrays that lie elsewhere in the same file.
        return [np.asarray(file[reference]).T for reference in np.asarray(cells).T.ravel()]


class Blocks:
    """Pictures of one size: images x blocks x height x width x 3, uint8, by (image, block).

    All are read when the first is asked for, and kept: MATLAB stores the numbers of one picture
    far apart, so that reading one costs what reading all does. Threads may share it. Raises what
    `read_array` does.
    """

    def __init__(self, path: Path, variable: str) -> None:
        info = array_info(path, variable)
        if len(info.shape) != 5 or info.shape[4] != 3 or info.dtype != "uint8":
            axes = " x ".join(map(str, info.shape))
            raise UsageError(
                f"{variable} in {path} is {axes}, {info.dtype}, "
                "not images x blocks x height x width x 3, uint8.",
                _AGAIN,
            )
        self.images, self.blocks = info.shape[:2]
        self._path, self._variable = path, variable
        self._lock = threading.Lock()
        self._pixels: Array | None = None

    def __getitem__(self, place: tuple[int, int]) -> Array:
        """Return one picture, H x W x 3 uint8."""
        with self._lock:
            if self._pixels is None:
                self._pixels = read_array(self._path, self._variable)
            return np.ascontiguousarray(self._pixels[place])


def sidd_validation(folder: Path) -> FoundSet | None:
    """Find SIDD's validation blocks: 40 images of 32 blocks of 256 x 256 pixels."""
    noisy, clean = (find_file(folder, f"{name}.mat") for name in (_NOISY, _CLEAN))
    if not noisy:
        return None

    def read() -> tuple[Case, ...]:
        if not clean:
            raise UsageError(
                f"{noisy} is there, but not the clean blocks.", f"Put {_CLEAN}.mat beside it."
            )
        degraded, target = Blocks(noisy, _NOISY), Blocks(clean, _CLEAN)
        if (degraded.images, degraded.blocks) != (target.images, target.blocks):
            raise UsageError(f"{noisy} and {clean} hold different numbers of blocks.")
        return _block_cases(degraded, target)

    return FoundSet(f"{noisy} and {clean.name if clean else ''}", read, sure=True)


def sidd_benchmark(folder: Path) -> FoundSet | None:
    """Find SIDD's benchmark blocks, whose clean ones are not public."""
    noisy = find_file(folder, f"{_BENCHMARK}.mat")
    if not noisy:
        return None
    return FoundSet(str(noisy), lambda: _block_cases(Blocks(noisy, _BENCHMARK), None), sure=True)


def dnd(folder: Path) -> FoundSet | None:
    """Find DND: info.mat, and images_srgb/0001.mat to 0050.mat, of each of which 20 boxes count."""
    info, images = find_file(folder, "info.mat"), folder / "images_srgb"
    if not info or not images.is_dir():
        return None

    def read() -> tuple[Case, ...]:
        boxes = [_checked(info, table) for table in read_cells(info, "info", "boundingboxes")]
        return tuple(
            _box_case(images / f"{image:04}.mat", f"{image:04}_{number:02}", box)
            for image, image_boxes in enumerate(boxes, 1)
            for number, box in enumerate(image_boxes, 1)
        )

    return FoundSet(f"{images} and {info.name}", read, sure=True)


def _block_cases(degraded: Blocks, target: Blocks | None) -> tuple[Case, ...]:
    def case(image: int, block: int) -> Case:
        def load() -> tuple[Array, Array | None]:
            place = (image, block)
            return degraded[place], target[place] if target else None

        return Case(f"{image + 1:04}-{block + 1:02}", load)

    return tuple(
        case(image, block) for image in range(degraded.images) for block in range(degraded.blocks)
    )


def _checked(info: Path, boxes: Array) -> Array:
    """Return boxes x (first row, first column, last row, last column), counted from 1."""
    if boxes.ndim == 2 and boxes.shape[1] == 4 and boxes.dtype.kind in "uif":
        first, last = boxes[:, :2], boxes[:, 2:]
        if np.isfinite(last).all() and ((first >= 1) & (last >= first)).all():
            return boxes
    raise ImageError(f"{info} is damaged: its boxes are no boxes.", "Download it again.")


def _box_case(path: Path, name: str, box: Array) -> Case:
    top, left, bottom, right = (int(number) for number in box)

    def load() -> tuple[Array, None]:
        window = (slice(top - 1, bottom), slice(left - 1, right), slice(None))
        return np.ascontiguousarray(read_array(path, "InoisySRGB", window), np.float32), None

    return Case(name, load)


def _is_hdf5(path: Path) -> bool:
    """Tell version 7.3 from 5 by the file's header; raises ImageError for anything else."""
    with _reading(path), path.open("rb") as file:
        header = file.read(_USER_BLOCK + len(_HDF5))
    if _HDF5 in (header[: len(_HDF5)], header[_USER_BLOCK:]):
        return True
    if header[_ENDIAN] in (b"IM", b"MI"):
        return False
    raise ImageError(f"{path} is no MATLAB file of version 5 or 7.3.", _AGAIN)


def _package(name: str, path: Path) -> ModuleType:
    package = name.partition(".")[0]
    problem = f"Reading {path} needs {package}, which isn't installed."
    return import_extra(name, "eval", problem)


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    h5py = _package("h5py", path)
    with h5py.File(path, "r") as file:
        yield file


def _check_numbers(path: Path, file: Mapping[str, Any], variable: str) -> None:
    """Raise UsageError unless an HDF5 file holds a variable, and it is an array of numbers."""
    if variable not in file:
        raise _absent(path, variable, [name for name in file if not name.startswith("#")])
    found = file[variable]  # a named type has a dtype too, but no shape
    if not getattr(found, "shape", None) or found.dtype.kind not in _NUMBERS:
        raise _no_numbers(path, variable)


def _no_numbers(path: Path, variable: str) -> UsageError:
    return UsageError(f"{variable} in {path} is no array of numbers.", _AGAIN)


def _absent(path: Path, variable: str, names: Iterable[str]) -> UsageError:
    there = ", ".join(names) or "nothing"
    return UsageError(f"{path} holds {there}, not a variable {variable}.", _AGAIN)


@contextmanager
def _reading(path: Path, *more: type[Exception]) -> Iterator[None]:
    """Turn whatever a damaged file makes the readers raise into ImageError naming it."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist.", _AGAIN) from error
    except PermissionError as error:
        raise ImageError(f"{path} may not be read.", "Check its permissions.") from error
    except (*DECODING_ERRORS, *more) as error:
        detail = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path} is damaged or cut off ({detail}).", _AGAIN) from error
    except MemoryError as error:
        raise ImageError(f"{path} is damaged, or too large for this machine's memory.") from error
