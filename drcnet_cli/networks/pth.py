"""State dicts in PyTorch's own files, read without its unpickler: nothing in them can run.

`torch.load(weights_only=True)` of PyTorch up to 2.5 could be talked into running code
(CVE-2025-32434) and that of 2.4 reads memory past the end of a short storage. So the files are
taken apart here, and bytes copied only after their number has been compared with the file's. Both
layouts are read: the zip archive that PyTorch writes since 1.6 (uncompressed members only) and the
one before.
"""

import re
import zipfile
from collections.abc import Callable, Mapping
from io import BufferedReader
from pathlib import Path

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.pickle_machine import Bounded, Recipe, Storage, run_pickle
from drcnet_cli.text import shorten

_LONGEST_PICKLE = 64 << 20  # bytes
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read_state_dict(path: Path, containers: tuple[str, ...], advice: str) -> dict[str, Tensor]:
    """Read the tensors of a state dict, bare or under the first of `containers` that is there.

    Raises CheckpointFormatError (with `advice` as its hint) for a file that cannot be opened, is
    damaged, names any Python object besides tensors, or holds anything else.
    """
    if not path.is_file():
        raise CheckpointFormatError(f"There is no file {path}.", advice)
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            return _read_zip(file, containers) if is_zip else _read_legacy(file, containers)
    except CheckpointFormatError as error:
        raise CheckpointFormatError(f"{path} {error.message}", advice) from error
    # What zipfile, pickletools and this machine raise for damage: each is a file of another kind.
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError,
            OverflowError, RuntimeError, MemoryError, zipfile.BadZipFile) as error:  # fmt: skip
        raise CheckpointFormatError(
            f"{path} is not a PyTorch file that can be read, or it is damaged.", advice
        ) from error


def _read_zip(file: BufferedReader, containers: tuple[str, ...]) -> dict[str, Tensor]:
    with zipfile.ZipFile(file) as archive:
        members = {info.filename: info for info in archive.infolist()}
        # TorchScript archives look alike, and hold programs.
        if any(name.rpartition("/")[2] == "constants.pkl" for name in members):
            raise CheckpointFormatError("is a TorchScript program, not a state dict.")
        roots = [name for name in members if re.fullmatch(r"[^/]+/data\.pkl", name)]
        folder = roots[0].removesuffix("data.pkl")  # IndexError: an archive of another kind

        def content(name: str, most: int) -> bytes:
            info = members[folder + name]
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
                raise CheckpointFormatError("is compressed or too long, which PyTorch's are not.")
            return archive.read(info)

        if f"{folder}byteorder" in members and content("byteorder", 16) != b"little":
            raise CheckpointFormatError("was written on a big-endian machine.")
        with archive.open(members[roots[0]]) as stream:
            described = _state_dict(run_pickle(Bounded(stream, _LONGEST_PICKLE)), containers)

        def fetch(storage: Storage) -> bytes:
            return content(f"data/{storage.key}", storage.numel * storage.dtype.itemsize)

        return _build(described, fetch)


def _read_legacy(file: BufferedReader, containers: tuple[str, ...]) -> dict[str, Tensor]:
    """Read four pickles (magic, version, system, object), the keys, then each key's bytes."""
    bounded = Bounded(file, _LONGEST_PICKLE)
    if run_pickle(bounded) != _LEGACY_MAGIC or run_pickle(bounded) != _LEGACY_PROTOCOL:
        raise CheckpointFormatError("is not a PyTorch file.")
    run_pickle(bounded)
    described = _state_dict(run_pickle(bounded), containers)
    keys = run_pickle(bounded)
    storages = {recipe.storage.key: recipe.storage for recipe in described.values()}
    places, size = {}, file.seek(0, 2)
    file.seek(bounded.position)
    for key in keys if isinstance(keys, list) else []:
        numel = int.from_bytes(file.read(8), "little")
        # A key that nothing asks for has no known element size, so what follows it has no place.
        storage = storages.get(key)
        if storage is None:
            break
        length = numel * storage.dtype.itemsize
        if numel != storage.numel or file.tell() + length > size:
            raise CheckpointFormatError("is cut off, or its sizes contradict each other.")
        places[key] = file.tell()
        file.seek(length, 1)

    def fetch(storage: Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.numel * storage.dtype.itemsize)

    return _build(described, fetch)


def _state_dict(content: object, containers: tuple[str, ...]) -> dict[str, Recipe]:
    if isinstance(content, Mapping):
        content = next(
            (content[k] for k in containers if isinstance(content.get(k), dict)), content
        )
    if not isinstance(content, dict) or not content:
        raise CheckpointFormatError("holds no state dict.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Recipe):
            raise CheckpointFormatError(f"holds no state dict: {shorten(name)} is not a tensor.")
    return content


def _build(described: Mapping[str, Recipe], fetch: Callable[[Storage], bytes]) -> dict[str, Tensor]:
    """Make the tensors, each storage read once."""
    flat: dict[Storage, Tensor] = {}
    tensors = {}
    for name, (storage, offset, size, stride) in described.items():
        _check_view(storage, offset, size, stride)
        if storage not in flat:
            data = bytearray(fetch(storage))
            if len(data) != storage.numel * storage.dtype.itemsize:
                raise CheckpointFormatError("is cut off, or its sizes contradict each other.")
            flat[storage] = (
                torch.frombuffer(data, dtype=storage.dtype)
                if data
                else torch.empty(0, dtype=storage.dtype)
            )
            tensors[name] = flat[storage].as_strided(size, stride, offset)
        else:  # tensors of one storage: what is done to one must not show in the other
            tensors[name] = flat[storage].as_strided(size, stride, offset).clone()
    return tensors


def _check_view(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    """Refuse a view that leaves its storage or shows an element more than once."""
    if len(size) != len(stride) or len(size) > 8 or min((offset, *size, *stride), default=0) < 0:
        raise CheckpointFormatError("describes an impossible tensor.")
    elements, last = 1, offset
    for length, step in zip(size, stride, strict=True):
        elements *= length
        last += (length - 1) * step
    if elements and (last >= storage.numel or elements > storage.numel):
        raise CheckpointFormatError("describes a tensor larger than what it holds.")
