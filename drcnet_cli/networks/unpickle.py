"""The pickles in PyTorch's files, read such that nothing in them can run.

By the standard library's unpickler, with the opcodes left that build data, and functions of ours
for the few names that describe a tensor. Whatever else a pickle names (a trainer's arguments, a
score as a NumPy number) becomes an `Unknown`, which can be called and filled and does nothing.
"""

import io
import pickle
from typing import Any, NamedTuple

import torch

from drcnet_cli.errors import CheckpointFormatError


class Storage(NamedTuple):
    """A run of numbers that lies elsewhere in the file; `numel` counts elements."""

    dtype: torch.dtype
    key: str
    numel: int

    @property
    def bytes(self) -> int:
        """Return its length in the file."""
        return self.numel * self.dtype.itemsize


class View(NamedTuple):
    """A tensor as a pickle describes it: a part of a storage."""

    storage: Storage
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


class Unknown:
    """Stands for a Python object that is no tensor: inert, whatever a pickle does to it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *_: object) -> "Unknown":
        """Make nothing of arguments."""
        return self

    def __setitem__(self, *_: object) -> None:
        """Keep no entry."""

    def append(self, _: object) -> None:
        """Keep no item."""

    extend = append


def _ordered_dict(pairs: tuple[Any, ...] | list[Any] = ()) -> _Dict:
    made = _Dict()
    for key, value in pairs:
        made[key] = value
    return made


def _view(storage: Any, offset: int, size: Any, stride: Any, *_: object) -> View:  # noqa: ANN401
    if (type(storage), type(size), type(stride)) != (Storage, tuple, tuple) or any(
        type(number) is not int for number in (offset, *size, *stride)
    ):
        raise impossible()
    return View(storage, offset, size, stride)


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


def _make_new(unpickler: Any) -> None:  # noqa: ANN401
    """Make an object of a class: of one that is unknown here, and there is no other."""
    kind, _ = unpickler.stack.pop(-2), unpickler.stack.pop()
    if not isinstance(kind, Unknown):
        _refuse(unpickler)
    unpickler.append(kind)


def _drop_state(unpickler: Any) -> None:  # noqa: ANN401
    """Pass over what a state dict notes of its modules."""
    unpickler.stack.pop()


# The one written in Python: its opcodes can be chosen, and a memo place of 2**31 costs no memory.
class _Unpickler(pickle._Unpickler):
    """The standard library's unpickler, cut down to data and descriptions of tensors.

    `unknown`: names of what else there is; `storages`: those that the pickle describes, by key.
    """

    _standard = pickle._Unpickler.dispatch
    dispatch = dict.fromkeys(_standard, _refuse)
    for _name in _OPCODES.split():
        dispatch[getattr(pickle, _name)[0]] = _standard[getattr(pickle, _name)[0]]
    dispatch[pickle.EMPTY_DICT[0]] = _begin_dict
    dispatch[pickle.BUILD[0]] = _drop_state
    dispatch[pickle.NEWOBJ[0]] = _make_new

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, encoding="latin-1")
        self.unknown: list[str] = []
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - as the base has it
        """Return what stands for a name."""
        full = f"{module}.{name}"
        if full in _NAMES:
            return _NAMES[full]
        self.unknown.append(full)
        return Unknown(full)

    def persistent_load(self, pid: Any) -> Storage:  # noqa: ANN401 - as the base has it
        """Describe a storage, which pickles keep elsewhere; its fourth part names a device."""
        kind, dtype, key, _, numel, *view = pid
        if (
            (kind, type(dtype), type(key), type(numel)) != ("storage", torch.dtype, str, int)
            or any(view)
            or numel < 0
        ):
            raise impossible()
        self.storages[key] = Storage(dtype, key, numel)
        return self.storages[key]


class Content(NamedTuple):
    """What one pickle holds: data, tensors as `View`; see `_Unpickler` for the others."""

    value: object
    unknown: list[str]
    storages: dict[str, Storage]


def load(stream: io.BytesIO) -> Content:
    """Read one pickle, and leave the stream behind it; raises what pickle does for damage."""
    unpickler = _Unpickler(stream)
    return Content(unpickler.load(), unpickler.unknown, unpickler.storages)


def impossible() -> CheckpointFormatError:
    """Return the error for a tensor that cannot be."""
    return CheckpointFormatError("describes an impossible tensor.")
