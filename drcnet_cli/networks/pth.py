"""State dicts in PyTorch's own files, read such that nothing in them can run.

`torch.load(weights_only=True)` of PyTorch up to 2.5 could be talked into running code
(CVE-2025-32434) and that of 2.4 reads memory past the end of a short storage. So the files are
taken apart here: by the standard library's unpickler, with the opcodes left that build data and
functions of ours for the few names that describe a tensor. Bytes are copied only after their number
has been compared with the file's. Both layouts are read: the zip archive that PyTorch writes since
1.6 (uncompressed members only) and the one before.
"""

import io
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.text import shorten

_LONGEST_PICKLE = 8 << 20  # bytes; that of a state dict of 500 tensors has some 60,000
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
    # What zipfile and pickle raise for damage: each is a file of another kind.
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError,
            OverflowError, RuntimeError, MemoryError, struct.error, pickle.UnpicklingError,
            zipfile.BadZipFile) as error:  # fmt: skip
        raise CheckpointFormatError(
            f"{path} is not a PyTorch file that can be read, or it is damaged.", advice
        ) from error


def _read_zip(file: BinaryIO, containers: tuple[str, ...]) -> dict[str, Tensor]:
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
        described = _load(io.BytesIO(content("data.pkl", _LONGEST_PICKLE)))
        return _build(
            _state_dict(described, containers),
            lambda storage: content(f"data/{storage.key}", storage.bytes),
        )


def _read_legacy(file: BinaryIO, containers: tuple[str, ...]) -> dict[str, Tensor]:
    """Read four pickles (magic, version, system, object), the keys, then each key's bytes."""
    start = io.BytesIO(file.read(_LONGEST_PICKLE))
    if _load(start) != _LEGACY_MAGIC or _load(start) != _LEGACY_PROTOCOL:
        raise CheckpointFormatError("is not a PyTorch file.")
    _load(start)
    described = _state_dict(_load(start), containers)
    keys = _load(start)
    storages = {view.storage.key: view.storage for view in described.values()}
    places, size = {}, file.seek(0, io.SEEK_END)
    file.seek(start.tell())
    for key in keys if isinstance(keys, list) else []:
        numel = int.from_bytes(file.read(8), "little")
        # A key that nothing asks for has no known element size, so what follows it has no place.
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None:
            break
        if numel != storage.numel or file.tell() + storage.bytes > size:
            raise _cut_off()
        places[key] = file.tell()
        file.seek(storage.bytes, io.SEEK_CUR)

    def content(storage: _Storage) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.bytes)

    return _build(described, content)


def _state_dict(content: object, containers: tuple[str, ...]) -> "dict[str, _View]":
    if isinstance(content, Mapping):
        content = next(
            (content[k] for k in containers if isinstance(content.get(k), dict)), content
        )
    if not isinstance(content, dict) or not content:
        raise CheckpointFormatError("holds no state dict.")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, _View):
            raise CheckpointFormatError(f"holds no state dict: {shorten(name)} is not a tensor.")
    return content


# Pickles


class _Storage(NamedTuple):
    """A run of numbers that lies elsewhere in the file; `numel` counts elements."""

    dtype: torch.dtype
    key: str
    numel: int

    @property
    def bytes(self) -> int:
        """Return its length in the file."""
        return self.numel * self.dtype.itemsize


class _View(NamedTuple):
    """A tensor as a pickle describes it: a part of a storage."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Dict(dict[Any, Any]):
    """A dictionary whose keys are texts and numbers: hashing nested tuples can take for ever."""

    def __setitem__(self, key: object, value: object) -> None:
        """Keep one entry; CheckpointFormatError for another kind of key."""
        if key is not None and type(key) not in (str, int, bool, float):
            raise CheckpointFormatError("has a dictionary whose keys are no texts.")
        super().__setitem__(key, value)


def _ordered_dict(pairs: tuple[Any, ...] | list[Any] = ()) -> _Dict:
    made = _Dict()
    for key, value in pairs:
        made[key] = value
    return made


def _view(storage: Any, offset: int, size: Any, stride: Any, *_: object) -> _View:  # noqa: ANN401
    if (type(storage), type(size), type(stride)) != (_Storage, tuple, tuple) or any(
        type(number) is not int for number in (offset, *size, *stride)
    ):
        raise _impossible()
    return _View(storage, offset, size, stride)


# What a pickle may name, and what stands for it here.
_NAMES: dict[str, Any] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch.Size": lambda size: size,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

# All that the protocols from 2 on need for data; REDUCE calls what _NAMES holds and nothing else.
_OPCODES = """
    PROTO FRAME STOP MARK MEMOIZE BINPUT LONG_BINPUT BINGET LONG_BINGET
    NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 BINFLOAT
    BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8
    BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3
    EMPTY_LIST APPEND APPENDS SETITEM SETITEMS GLOBAL STACK_GLOBAL REDUCE BINPERSID
"""


def _refuse(_: Any) -> None:  # noqa: ANN401 - an unpickler, here and below
    raise CheckpointFormatError("holds Python objects besides tensors.")


def _begin_dict(unpickler: Any) -> None:  # noqa: ANN401
    unpickler.append(_Dict())


def _drop_state(unpickler: Any) -> None:  # noqa: ANN401
    """Pass over what a state dict notes of its modules."""
    unpickler.stack.pop()


# The one written in Python: its opcodes can be chosen, and a memo place of 2**31 costs no memory.
class _Unpickler(pickle._Unpickler):
    """The standard library's unpickler, cut down to data and descriptions of tensors."""

    _standard = pickle._Unpickler.dispatch
    dispatch = dict.fromkeys(_standard, _refuse)
    for _name in _OPCODES.split():
        dispatch[getattr(pickle, _name)[0]] = _standard[getattr(pickle, _name)[0]]
    dispatch[pickle.EMPTY_DICT[0]] = _begin_dict
    dispatch[pickle.BUILD[0]] = _drop_state

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base has it
        """Return what stands for a name; CheckpointFormatError for one that has nothing."""
        if f"{module}.{name}" not in _NAMES:
            raise CheckpointFormatError(
                f"holds Python objects besides tensors ({shorten(f'{module}.{name}')}); "
                "none was run."
            )
        return _NAMES[f"{module}.{name}"]

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401 - as the base has it
        """Describe a storage, which pickles keep elsewhere; its fourth part names a device."""
        kind, dtype, key, _, numel, *view = pid
        if (
            (kind, type(dtype), type(key), type(numel)) != ("storage", torch.dtype, str, int)
            or any(view)
            or numel < 0
        ):
            raise _impossible()
        return _Storage(dtype, key, numel)


def _load(stream: io.BytesIO) -> object:
    """Read one pickle, and leave the stream behind it."""
    return _Unpickler(stream, encoding="latin-1").load()


# Tensors


def _build(
    described: Mapping[str, _View], content: Callable[[_Storage], bytes]
) -> dict[str, Tensor]:
    """Make the tensors, each storage read once."""
    flat: dict[_Storage, Tensor] = {}
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
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    """Refuse a view that leaves its storage or shows an element more than once."""
    if len(size) != len(stride) or len(size) > 8 or min((offset, *size, *stride)) < 0:
        raise _impossible()
    elements, last = 1, offset
    for length, step in zip(size, stride, strict=True):
        elements *= length
        last += (length - 1) * step
    if elements and (last >= storage.numel or elements > storage.numel):
        raise CheckpointFormatError("describes a tensor larger than what it holds.")


def _impossible() -> CheckpointFormatError:
    return CheckpointFormatError("describes an impossible tensor.")


def _cut_off() -> CheckpointFormatError:
    return CheckpointFormatError("is cut off, or its sizes contradict each other.")
