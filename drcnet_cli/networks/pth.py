"""State dicts in PyTorch's own files, read such that nothing in them can run.

`torch.load(weights_only=True)` of PyTorch up to 2.5 could be talked into running code
(CVE-2025-32434) and that of 2.4 reads memory past the end of a short storage. So the files are
taken apart here, and their pickles in `unpickle`. Bytes are copied only after their number has been
compared with the file's. Both layouts are read: the zip archive that PyTorch writes since
1.6 (uncompressed members only) and the one before.
"""

import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.damage import describe_damage
from drcnet_cli.networks.unpickle import Content, Storage, Unknown, View, impossible, load
from drcnet_cli.text import shorten

_Find = Callable[[Content], dict[str, View]]

_LONGEST_PICKLE = 8 << 20  # bytes; that of a state dict of 500 tensors has some 60,000
_DEEPEST = 3  # containers in containers
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read_state_dict(
    path: Path, containers: tuple[str, ...], advice: str, key: str | None = None
) -> dict[str, Tensor]:
    """Read the tensors of a state dict, bare or under the first of `containers` that is there.

    `key` names another container. What lies beside it is passed over. Raises CheckpointFormatError
    (with `advice` as its hint, if there is no better one) for a file that cannot be opened, is
    damaged, or has no dictionary of tensors alone there.
    """
    if not path.is_file():
        raise CheckpointFormatError(f"There is no file {path}.", advice)
    try:
        with path.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            find = partial(_state_dict, containers=containers, key=key)
            return _read_zip(file, find) if is_zip else _read_legacy(file, find)
    except CheckpointFormatError as error:
        what, hint = describe_damage(path) or (error.message, error.hint or advice)
        raise CheckpointFormatError(f"{path} {what}", hint) from error
    # What zipfile and pickle raise for damage: each is a file of another kind.
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError,
            OverflowError, RuntimeError, MemoryError, struct.error, pickle.UnpicklingError,
            zipfile.BadZipFile) as error:  # fmt: skip
        what = "is not a PyTorch file that can be read, or it is damaged."
        what, hint = describe_damage(path) or (what, advice)
        raise CheckpointFormatError(f"{path} {what}", hint) from error


def _read_zip(file: BinaryIO, find: _Find) -> dict[str, Tensor]:
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
        described = load(io.BytesIO(content("data.pkl", _LONGEST_PICKLE)))
        return _build(
            find(described),
            lambda storage: content(f"data/{storage.key}", storage.bytes),
        )


def _read_legacy(file: BinaryIO, find: _Find) -> dict[str, Tensor]:
    """Read four pickles (magic, version, system, object), the keys, then each key's bytes."""
    start = io.BytesIO(file.read(_LONGEST_PICKLE))
    if load(start).value != _LEGACY_MAGIC or load(start).value != _LEGACY_PROTOCOL:
        raise CheckpointFormatError("is not a PyTorch file.")
    load(start)
    content = load(start)
    described, storages = find(content), content.storages
    keys = load(start).value
    places, size = {}, file.seek(0, io.SEEK_END)
    file.seek(start.tell())
    for key in keys if isinstance(keys, list) else []:
        numel = int.from_bytes(file.read(8), "little")
        # A key that nothing describes has no known element size, so what follows it has no place.
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            break
        if numel != storage.numel or file.tell() + storage.bytes > size:
            raise _cut_off()
        places[key] = file.tell()
        file.seek(storage.bytes, io.SEEK_CUR)

    def read(storage: Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.bytes)

    return _build(described, read)


def _state_dict(content: Content, containers: tuple[str, ...], key: str | None) -> dict[str, View]:
    """Find the dictionary of tensors; CheckpointFormatError, with what would help, if none is."""
    found = content.value
    if key is not None:
        if not isinstance(found, dict) or not isinstance(found.get(key), dict):
            raise CheckpointFormatError(f"has no dictionary {shorten(key)}.", _keys_hint(found))
        found = found[key]
    for _ in range(_DEEPEST):
        if not isinstance(found, dict) or any(isinstance(v, View) for v in found.values()):
            break
        found = next((found[k] for k in containers if isinstance(found.get(k), dict)), found)
    if not isinstance(found, dict) or not any(isinstance(v, View) for v in found.values()):
        objects = (
            f"holds Python objects besides tensors ({shorten(', '.join(content.unknown[:3]))})"
        )
        raise CheckpointFormatError(
            f"{objects}; none was run." if content.unknown else "holds no state dict.",
            _keys_hint(content.value),
        )
    for name, value in found.items():
        if isinstance(value, Unknown):
            raise CheckpointFormatError(
                f"holds Python objects besides tensors ({shorten(value.name)}); none was run."
            )
        if not isinstance(name, str) or not isinstance(value, View):
            raise CheckpointFormatError(f"holds no state dict: {shorten(name)} is not a tensor.")
    return found


def _keys_hint(content: object) -> str:
    """Name the keys under which there are tensors; empty if there are none."""
    keys = [
        key
        for key, value in (content.items() if isinstance(content, dict) else ())
        if isinstance(value, dict) and any(isinstance(part, View) for part in value.values())
    ]
    named = shorten(", ".join(map(str, keys)))[1:-1]
    return f"Tensors lie under: {named}; add --key NAME" if keys else ""


# Tensors


def _build(described: Mapping[str, View], content: Callable[[Storage], bytes]) -> dict[str, Tensor]:
    """Make the tensors, each storage read once."""
    flat: dict[Storage, Tensor] = {}
    tensors = {}
    for name, (storage, offset, size, stride) in described.items():
        _check_view(storage, offset, size, stride)
        is_shared = storage in flat
        if not is_shared:
            data = bytearray(content(storage))
            if len(data) != storage.bytes:
                raise _cut_off()
            # frombuffer takes no empty one.
            flat[storage] = (
                torch.frombuffer(data, dtype=storage.dtype)
                if data
                else torch.empty(0, dtype=storage.dtype)
            )
        tensor = flat[storage].as_strided(size, stride, offset)
        # Tensors of one storage: what is done to one must not show in the other.
        tensors[name] = tensor.clone() if is_shared else tensor
    return tensors


def _check_view(
    storage: Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    """Refuse a view that leaves its storage or shows an element more than once."""
    if len(size) != len(stride) or len(size) > 8 or min((offset, *size, *stride)) < 0:
        raise impossible()
    elements, last = 1, offset
    for length, step in zip(size, stride, strict=True):
        elements *= length
        last += (length - 1) * step
    if elements and (last >= storage.numel or elements > storage.numel):
        raise CheckpointFormatError("describes a tensor larger than what it holds.")


def _cut_off() -> CheckpointFormatError:
    return CheckpointFormatError("is cut off, or its sizes contradict each other.")
