"""What an output's file takes over from its input's: mode, attributes, date."""

import os
import stat
import sys
from pathlib import Path

import pytest

from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.files.finisher import open_finisher, recipe
from drcnet_cli.files.plan import Job

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are others there")


def restore(source: Path, destination: Path, keep_dates: bool = False) -> list[str]:
    job, notes = Job(source, destination), []
    with open_finisher(None, keep_dates) as finisher:
        finisher.begin(job)
        with atomic_write(
            destination, lambda whole: notes.extend(finisher.finish(job, whole))
        ) as to:
            to.write_bytes(b"restored")
    assert destination.read_bytes() == b"restored"
    return notes


def make(path: Path, mode: int = 0o644) -> Path:
    path.write_bytes(b"picture")
    path.chmod(mode)
    os.utime(path, ns=(10**18 + 1, 10**18 + 123_456_700))
    return path


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
@pytest.mark.parametrize("mode", [0o600, 0o444, 0o640, 0o664, 0o777])
def test_in_place_keeps_the_mode(tmp_path, mode):
    path = make(tmp_path / "a.jpg", mode)
    restore(path, path)
    assert mode_of(path) == mode


@posix
@pytest.mark.parametrize(
    ("mode", "expected"), [(0o600, 0o600), (0o444, 0o644), (0o640, 0o640), (0o777, 0o644)]
)
def test_a_copy_is_no_more_open_than_its_input(tmp_path, mode, expected):
    before = os.umask(0o022)
    try:
        restore(make(tmp_path / "a.jpg", mode), tmp_path / "b.jpg")
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "b.jpg") == expected


def test_dates_are_kept_if_asked_for(tmp_path):
    source = make(tmp_path / "a.jpg")
    restore(source, tmp_path / "b.jpg")
    assert (tmp_path / "b.jpg").stat().st_mtime_ns > 10**18 + 10**9
    restore(source, tmp_path / "b.jpg", keep_dates=True)
    assert (tmp_path / "b.jpg").stat().st_mtime_ns == 10**18 + 123_456_700
    restore(source, source, keep_dates=True)
    assert source.stat().st_mtime_ns == 10**18 + 123_456_700


def attributes(path: Path) -> dict[str, bytes]:
    return {name: os.getxattr(path, name) for name in os.listxattr(path)}


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="the system has none")
def test_extended_attributes_stay_in_place(tmp_path, monkeypatch):
    path = make(tmp_path / "a.jpg")
    try:
        os.setxattr(path, "user.rating", b"5")
    except OSError:
        pytest.skip("the file system has none")
    assert restore(path, path) == []
    assert attributes(path)["user.rating"] == b"5"

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "setxattr", refuse)
    assert restore(path, path) == ["extended attributes left out: user.rating"]


def test_a_recipe_differs_with_each_fact():
    facts = {"checkpoint": "a", "tile": "auto", "strength": 1.0}
    assert recipe(**facts) == recipe(**dict(reversed(facts.items())))
    others = [{**facts, name: "x"} for name in facts]
    assert len({recipe(**each) for each in (facts, *others)}) == 4
