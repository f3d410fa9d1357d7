"""A stack machine for pickles that knows data and the recipe of a tensor, and nothing else.

It imports nothing and calls nothing that a file names: what a pickle may `call` is a table of
functions here.
"""

import pickletools
from collections.abc import Callable
from typing import IO, Any, NamedTuple, cast

import torch

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.text import shorten

_DTYPES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_MOST_STEPS = 2_000_000  # of the machine; a state dict of 500 tensors takes some 20,000


class Storage(NamedTuple):
    """A run of numbers that lies elsewhere in the file; `numel` counts elements."""

    dtype: torch.dtype
    key: str
    numel: int


class Recipe(NamedTuple):
    """A tensor as the pickle describes it: a view of a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Global(NamedTuple):
    """A name that the pickle mentions; never looked up."""

    name: str


_MARK = _Global("mark")


class Bounded:
    """A stream for pickletools: never reads more than was asked for in all."""

    def __init__(self, stream: Any, most: int) -> None:  # noqa: ANN401 - any binary stream
        self._stream = stream
        self._left = most
        self.position = 0

    def read(self, count: int) -> bytes:
        """Give at most `count` bytes."""
        return self._taken(self._stream.read(min(count, self._left)) if count > 0 else b"")

    def readline(self) -> bytes:
        """Give one line, cut at 4096 bytes."""
        return self._taken(self._stream.readline(min(4096, self._left)))

    def _taken(self, data: bytes) -> bytes:
        self._left -= len(data)
        self.position += len(data)
        return data


def run_pickle(stream: Bounded) -> object:
    """Run one pickle on a machine that knows data and recipes of tensors, and give its result."""
    machine = _Machine()
    for step, (opcode, argument, _) in enumerate(pickletools.genops(cast(IO[bytes], stream))):
        if step > _MOST_STEPS:
            raise CheckpointFormatError("is too long to be a state dict.")
        if opcode.name == "STOP":
            return machine.stack.pop()
        machine.step(opcode.name, argument)
    raise EOFError("no STOP")


_LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
    "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """The stack and the memo; one method for each group of opcodes."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:  # noqa: ANN401 - an opcode's argument
        """Carry out one opcode; CheckpointFormatError for one that data does not need."""
        stack = self.stack
        if name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if name == "EMPTY_DICT" else [])
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._mention(argument)
        elif name in ("REDUCE", "BUILD", "BINPERSID"):
            self._compose(name)
        elif name not in ("PROTO", "FRAME"):
            self._collect(name)

    def _collect(self, name: str) -> None:
        """Gather what lies on the stack into a container."""
        stack = self.stack
        if name in ("TUPLE", "LIST", "DICT"):
            items = self._since_mark()
            made = {"TUPLE": tuple, "LIST": list, "DICT": _pairs}[name](items)
            stack.append(made)
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = [stack.pop() for _ in range(count)]
            stack.append(tuple(reversed(items)))
        elif name in ("APPEND", "APPENDS"):
            items = [stack.pop()] if name == "APPEND" else self._since_mark()
            _as(list, stack[-1]).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else self._since_mark()
            _as(dict, stack[-1]).update(_pairs(items))
        else:
            raise CheckpointFormatError(f"holds Python objects besides tensors ({name}).")

    def _mention(self, argument: str | None) -> None:
        if argument is None:
            name, module = self.stack.pop(), self.stack.pop()
            argument = f"{module} {name}"
        module, _, name = argument.partition(" ")
        known = argument in _CALLABLE or (module == "torch" and name in _DTYPES)
        if not known:
            raise CheckpointFormatError(
                "holds Python objects besides tensors "
                f"({shorten(f'{module}.{name}')}); none was run."
            )
        self.stack.append(_Global(argument))

    def _compose(self, name: str) -> None:
        """Describe a storage or a tensor; what a state dict notes of its modules is dropped."""
        argument = self.stack.pop()
        if name == "BUILD":
            return
        if name == "BINPERSID":
            kind, storage, key, _, numel = argument[:5]
            if kind != "storage" or any(argument[5:]) or type(numel) is not int or numel < 0:
                raise CheckpointFormatError("describes an impossible tensor.")
            dtype = _DTYPES[_as(_Global, storage).name.removeprefix("torch ")]
            self.stack.append(Storage(dtype, str(_plain(key)), numel))
            return
        self.stack.append(_CALLABLE[_as(_Global, self.stack.pop()).name](*_as(tuple, argument)))

    def _since_mark(self) -> list[Any]:
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise IndexError("no mark")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items


def _as(kind: type, value: Any) -> Any:  # noqa: ANN401 - checked here
    if type(value) is not kind:
        raise TypeError(f"a {kind.__name__} is expected")
    return value


def _plain(key: object) -> object:
    """Let texts and numbers alone be keys: hashing nested tuples can take for ever."""
    if key is None or type(key) in (str, int, bool, float):
        return key
    raise CheckpointFormatError("has a dictionary whose keys are no texts.")


def _pairs(items: list[Any]) -> dict[Any, Any]:
    return {_plain(items[i]): items[i + 1] for i in range(0, len(items), 2)}


def _ordered_dict(*items: Any) -> dict[Any, Any]:  # noqa: ANN401
    pairs = _as(list, items[0]) if items else []
    return {_plain(key): value for key, value in pairs}


def _rebuilt(storage: Storage, offset: int, size: Any, stride: Any, *_: Any) -> Recipe:  # noqa: ANN401
    numbers = [offset, *_as(tuple, size), *_as(tuple, stride)]
    if type(storage) is not Storage or any(type(number) is not int for number in numbers):
        raise CheckpointFormatError("describes an impossible tensor.")
    return Recipe(storage, offset, size, stride)


# What a pickle may call, each by a function of ours.
_CALLABLE: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor_v2": _rebuilt,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch Size": lambda size: _as(tuple, size),
}
