"""Weight files as someone with bad intentions, or a bad disk, would make them."""

import io
import json
import os
import pickle
import pickletools
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

CANARY = "executed"
# Calls that leave a folder called `executed` behind, in the ways that pickles are known to use.
PAYLOADS: dict[str, Callable[[Path], tuple]] = {
    "os.mkdir": lambda mark: (os.mkdir, (str(mark),)),
    "os.system": lambda mark: (os.system, (f"mkdir '{mark}'",)),
    "exec": lambda mark: (exec, (f"import os; os.mkdir({str(mark)!r})",)),
    "eval": lambda mark: (eval, (f"__import__('os').mkdir({str(mark)!r})",)),
}
FORMATS = ("bare", "zip", "legacy", "tar", "jit", "after safetensors", "zip in zip")


class Call:
    """Pickles as a call of anything with anything."""

    def __init__(self, function: Callable, arguments: tuple) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> tuple:
        return self.reduced


def with_code(mark: Path, payload: str, protocol: int, nesting: str) -> bytes:
    """Return a pickle that would make the folder `mark`."""
    evil: object = Call(*PAYLOADS[payload](mark))
    tensors = {"conv_01.weight": torch.zeros(2)}
    content = {
        "alone": evil,
        "in a state dict": {"params": {**tensors, "x": evil}},
        "as a key": {"params": {**tensors, ("a", evil): 1}},
        "deep": _nested(evil, 60),
        "as an argument": {"params": Call(dict, ([("x", evil)],))},
        "as a state": {"params": Call(getattr, (evil, "x"))},
    }[nesting]
    if nesting != "in a state dict" and isinstance(content, dict):
        content = json_like(content)
    return pickle.dumps(content, protocol)


NESTINGS = ("alone", "in a state dict", "as a key", "deep", "as an argument", "as a state")


def json_like(content: dict) -> dict:
    """Drop tensors, which only torch's own pickler writes."""
    return {
        key: {k: v for k, v in value.items() if not isinstance(v, torch.Tensor)}
        if isinstance(value, dict)
        else value
        for key, value in content.items()
    }


def _nested(value: object, depth: int) -> object:
    for level in range(depth):
        value = [value] if level % 2 else {"x": value}
    return value


def wrapped(program: bytes, layout: str) -> bytes:
    """Put a pickle where PyTorch's layouts have theirs."""
    if layout in ("zip", "jit", "zip in zip"):
        names = {"archive/data.pkl": program, "archive/version": b"3\n"}
        if layout == "jit":
            names |= {"archive/constants.pkl": program, "archive/code/__torch__.py": b"import os"}
        inner = zip_of(names)
        return zip_of({"archive/data.pkl": inner}) if layout == "zip in zip" else inner
    if layout == "legacy":
        head = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
        return b"".join([*head, program, pickle.dumps([], 2)])
    if layout == "tar":
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:", format=tarfile.PAX_FORMAT) as tar:
            for name in ("storages", "tensors", "pickle", "../outside"):
                member = tarfile.TarInfo(name)
                member.size = len(program)
                tar.addfile(member, io.BytesIO(program))
        return buffer.getvalue()
    if layout == "after safetensors":
        return struct.pack("<Q", 2) + b"{}" + program
    return program


def zip_of(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Damage a file: bits flipped, cut off, pieces moved, repeated, overwritten or put in."""
    kind = rng.choice(["flip", "flip", "head", "head", "cut", "zero", "move", "insert", "double"])
    changed, size = bytearray(data), max(1, len(data))
    # Headers are where a reader goes wrong; a tensor's bits hardly matter to it.
    reach = size if kind == "flip" and rng.random() < 0.5 else min(size, 6000)
    place = rng.randrange(reach)
    if kind in ("flip", "head"):
        for _ in range(rng.choice([1, 1, 2, 5, 30])):
            changed[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del changed[rng.randrange(size) :]
    elif kind == "zero":
        changed[place : place + rng.randrange(1, 64)] = bytes(rng.randrange(1, 64))
    elif kind == "move":
        other = rng.randrange(size)
        length = rng.randrange(1, 200)
        changed[place : place + length] = data[other : other + length]
    elif kind == "insert":
        changed[place:place] = rng.randbytes(rng.randrange(1, 40))
    else:
        changed += data[place:]
    return bytes(changed)


def odd_value(rng: random.Random, depth: int = 0) -> object:
    """Return a JSON value that nobody expects."""
    plain: list[object] = [
        None, True, False, 0, -1, 1, 10**9, -(10**9), 2**63, 2**64, 10**400, 1e308, -0.0, 1e-320,
        float("nan"), float("inf"), "", "x" * 10_000, "\x1b[2J", "\ud800", "../../x", "\0", "64",
        [], {}, [[]], {"": {}},
    ]  # fmt: skip
    if depth < 2 and rng.random() < 0.2:
        return [odd_value(rng, depth + 1) for _ in range(rng.randrange(5))]
    return rng.choice(plain)


def odd_json(value: object, rng: random.Random) -> str:
    """Change one place of a JSON value, or the text as a whole."""
    kind = rng.random()
    if kind < 0.05:
        return "[" * rng.choice([10, 1000, 200_000])
    if kind < 0.1:
        return '{"width": ' + "9" * 5000 + "}"
    text = json.dumps(value)
    if kind < 0.2:
        place = rng.randrange(len(text))
        return text[:place] + rng.choice(['"', "}", "\\", "\x00", "é", ",", text]) + text[place:]
    copy = json.loads(text)
    _change(copy, rng)
    return json.dumps(copy)


def _change(value: object, rng: random.Random) -> None:
    """Change, drop or add one entry somewhere inside."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))  # type: ignore[arg-type]
    if not keys:
        return
    key = rng.choice(keys)
    inner = value[key]  # type: ignore[index]
    if isinstance(inner, (dict, list)) and inner and rng.random() < 0.7:
        _change(inner, rng)
    elif rng.random() < 0.15:
        del value[key]  # type: ignore[attr-defined]
    elif isinstance(value, dict) and rng.random() < 0.15:
        value[rng.choice(["extra", "\x1b", "x" * 10_000, ""])] = odd_value(rng)
    else:
        value[key] = odd_value(rng)  # type: ignore[index]


def safetensors(header: object, data: bytes, length: int | None = None) -> bytes:
    """Return a safetensors file with any header; `length` lies about its length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def odd_safetensors(good: bytes, rng: random.Random) -> bytes:
    """Change the header of a safetensors file: an entry's type, shape, offsets, name, metadata."""
    size = struct.unpack("<Q", good[:8])[0]
    header, data = json.loads(good[8 : 8 + size]), good[8 + size :]
    kind = rng.randrange(9)
    name = rng.choice([key for key in header if key != "__metadata__"])
    entry = header[name]
    if kind == 0:
        entry["dtype"] = rng.choice(
            ["F64", "F16", "BF16", "I64", "U8", "BOOL", "C64", "F8_E4M3", "F4", "Q", "", 3]
        )
    elif kind == 1:
        odd = [0, 1, 2**31, 2**62, 2**63, 2**64 - 1, 2**64, -1, 1.5, "3", None]
        entry["shape"] = [rng.choice(odd) for _ in range(rng.randrange(5))]
    elif kind == 2:
        ends = [0, 4, len(data), len(data) * 2, 2**63, 2**64 - 1, -4]
        entry["data_offsets"] = [rng.choice(ends), rng.choice(ends)]
    elif kind == 3:
        other = rng.choice([key for key in header if key != "__metadata__"])
        header[name] = dict(header[other])  # two entries on the same bytes
    elif kind == 4:
        header[rng.choice(["", "../x", "\x1b[2J", "x" * 50_000, "a\nb"])] = header.pop(name)
    elif kind == 5:
        meta = rng.choice([None, [], "x", {"drcnet": 3}, {"drcnet": ""}, {"x": "y" * 10**6}])
        header["__metadata__"] = meta
    elif kind == 6:
        return safetensors(header, data, rng.choice([0, 1, 7, 2**20, 2**31, 2**63, 2**64 - 1]))
    elif kind == 7:
        key = rng.choice(list(header["__metadata__"]))
        header["__metadata__"][key] = odd_json(json.loads(header["__metadata__"][key]), rng)
    else:
        text = json.dumps(header)
        twice = text[:-1] + f', "{name}": {json.dumps(entry)}' + "}"
        bad = rng.choice([twice.encode(), text.encode("utf-16"), b"\xff" + text.encode()])
        return safetensors(bad, data)
    return safetensors(header, data)


def odd_pickle(program: bytes, rng: random.Random) -> bytes:
    """Change one opcode of a pickle: its number, its text, or another opcode in its place."""
    places = [(op, argument, at) for op, argument, at in pickletools.genops(program)]
    index = rng.randrange(len(places) - 1)
    _, argument, start = places[index]
    end = places[index + 1][2]
    longest = b"\xff\xff\xff\x7f"
    numbers = [b"K\0", b"J\xff\xff\xff\xff", b"J" + longest, b"\x8a\x09" + b"\xff" * 8 + b"\0"]
    others = [b"N", b"}", b"]", b")", b"0", b"(", b"2", b"R", b"b", b"Q", b"\x81", b"\x8f", b"\x90",
              b"t", b"\x85", b"u", b"q\0", b"h\x63", b"r" + longest, b"j" + longest, b"X" + longest,
              b"\x8b" + longest, b"cposix\nsystem\n", b"I" + b"9" * 5000 + b"\n"]  # fmt: skip
    is_number = isinstance(argument, int) and rng.random() < 0.7
    new = rng.choice(numbers if is_number else others)
    return program[:start] + new + program[end:]


def change_zip(data: bytes, rng: random.Random) -> bytes:
    """Change the pickle, a storage or the packing of a zip that torch.save wrote."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = next(name for name in members if name.endswith("/data.pkl"))
    storages = [key for key in members if "/data/" in key]
    kind = rng.randrange(6)
    if kind < 3:
        members[name] = odd_pickle(members[name], rng)
    elif kind == 3:
        chosen = rng.choice(storages)
        members[chosen] = members[chosen][: rng.randrange(len(members[chosen]) + 1)] * 2
    elif kind == 4:
        del members[rng.choice([name, *storages])]
    else:
        return zip_of(members, rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    return zip_of(members)


def change_legacy(data: bytes, rng: random.Random) -> bytes:
    """Change the state dict's pickle in a file of the layout before zip."""
    stream, ends = io.BytesIO(data), [0]
    for _ in range(5):
        for _ in pickletools.genops(stream):
            pass
        ends.append(stream.tell())
    which = rng.choice([0, 1, 2, 3, 3, 3, 3, 4])
    start, end = ends[which], ends[which + 1]
    return data[:start] + odd_pickle(data[start:end], rng) + data[end:]
