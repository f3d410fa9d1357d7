"""Copies of folders elsewhere: whole, brought up to date, and within their folder."""

from pathlib import Path

import pytest

from drcnet_cli.errors import RemoteError, UsageError
from drcnet_cli.files import remote
from drcnet_cli.files.copies import copied_here, place_in_cache


def is_image(place):
    return place.suffix == ".png"


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "_PAUSES", ())
    return tmp_path / "cache"


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_path_is_itself():
    assert copied_here("photos", is_image) == Path("photos")


def test_a_copy_is_made_once_and_brought_up_to_date(memory, monkeypatch):
    for name in ("a.png", "sub/b.png", "notes.txt", ".h/c.png", "sub/gone.png"):
        memory.pipe_file(f"/photos/{name}", name.encode())
    folder = copied_here("memory://photos/", is_image)
    assert folder.name == "photos"
    assert names(folder) == {"a.png", "sub/b.png", "sub/gone.png"}
    assert (folder / "sub" / "b.png").read_bytes() == b"sub/b.png"
    memory.rm_file("/photos/sub/gone.png")
    memory.pipe_file("/photos/a.png", b"other")
    fetched = []
    whole = type(memory).cat_file

    def cat_file(self, path, **options):
        fetched.append(path)
        return whole(self, path, **options)

    monkeypatch.setattr(type(memory), "cat_file", cat_file)
    assert copied_here("memory://photos", is_image) == folder
    assert fetched == ["/photos/a.png"]
    assert names(folder) == {"a.png", "sub/b.png"}
    assert (folder / "a.png").read_bytes() == b"other"


def test_a_copys_place_is_the_same_in_every_cache(memory, tmp_path, monkeypatch):
    memory.pipe_file("/photos/a.png", b"x")
    places = set()
    for cache in ("one", "other"):
        monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / cache))
        places.add(place_in_cache(str(copied_here("memory://photos", is_image))))
    assert len(places) == 1 and "one" not in places.pop()
    assert place_in_cache("/data/copies/2024/photos") == "/data/copies/2024/photos"


def test_a_lone_picture(memory):
    memory.pipe_file("/photos/a.png", b"x")
    path = copied_here("memory://photos/a.png", is_image)
    assert (path.name, path.read_bytes()) == ("a.png", b"x")


def test_a_copy_that_cannot_be_whole_is_none(memory, monkeypatch):
    memory.pipe_file("/photos/a.png", b"x")
    monkeypatch.setattr(type(memory), "cat_file", lambda *_, **__: b"")
    with pytest.raises(RemoteError, match="0 of 1 bytes"):
        copied_here("memory://photos", is_image)
    with pytest.raises(UsageError, match="no pictures"):
        copied_here("memory://photos", lambda _: False)


def test_no_name_leads_out_of_the_cache(memory, cache):
    memory.pipe_file("/photos/a.png", b"x")
    memory.store["/photos/../../../evil.png"] = memory.store["/photos/a.png"]
    copied_here("memory://photos", is_image)
    assert [path.name for path in cache.rglob("*.png")] == ["a.png"]
    assert not any(path.name == "evil.png" for path in cache.parent.rglob("*"))
