"""`~`, `file://` and braces mean what a shell or a file manager means by them."""

import os
from pathlib import Path

import pytest

from drcnet_cli.errors import UsageError
from drcnet_cli.files.discover import discover
from drcnet_cli.files.spelling import alternatives, as_meant, how_meant


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("in/a.jpg", "in/b.png", "in/deep/c.jpg", "in/d.txt", "in/ä b.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(*texts):
    images = discover(texts, lambda path: path.suffix in (".jpg", ".png")).images
    return [(image.source.as_posix(), image.place.as_posix()) for image in images]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.{jpg,png}", ["a.jpg", "a.png"]),
        ("{a,b}{1,2}", ["a1", "a2", "b1", "b2"]),
        ("{a,b{1,2}}", ["a", "b1", "b2"]),
        ("{a,}b", ["ab", "b"]),
        ("{a}", ["{a}"]),
        ("{a,b", ["{a,b"]),
    ],
)
def test_alternatives(pattern, expected):
    assert sorted(alternatives(pattern)) == expected


def test_alternatives_without_end_end():
    assert len(alternatives("{a,b}" * 60)) < 10_000


def test_braces_are_patterns(tmp_path):
    assert found("in/*.{jpg,png}") == [
        ("in/a.jpg", "a.jpg"), ("in/b.png", "b.png"), ("in/ä b.jpg", "ä b.jpg"),
    ]  # fmt: skip
    assert found("in/{a,missing}.jpg") == [("in/a.jpg", "a.jpg")]
    assert found("in/{deep/c,a}.jpg") == [("in/a.jpg", "a.jpg"), ("in/deep/c.jpg", "deep/c.jpg")]
    assert found("{/etc,/tmp,in}/a.jpg") == [("in/a.jpg", "in/a.jpg")]
    with pytest.raises(UsageError, match="Nothing matches"):
        found("in/*.{gif,bmp}")


def test_a_name_with_braces_is_a_name(tmp_path):
    (tmp_path / "{x,y}.jpg").write_bytes(b"x")
    assert found("{x,y}.jpg") == [("{x,y}.jpg", "{x,y}.jpg")]


def test_home_and_addresses(tmp_path):
    assert found("~/in/a.jpg") == [(f"{tmp_path.as_posix()}/in/a.jpg", "a.jpg")]
    assert found("~/in/*.png") == [(f"{tmp_path.as_posix()}/in/b.png", "b.png")]
    for start in ("file://", "file://localhost", "FILE:"):
        address = f"{start}{tmp_path.as_posix()}/in/%C3%A4%20b.jpg"
        assert found(address) == [(f"{tmp_path.as_posix()}/in/ä b.jpg", "ä b.jpg")]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_an_address_may_hold_bytes_that_are_no_text():
    assert os.fsencode(as_meant("file:///a%FFb.jpg")) == b"/a\xffb.jpg"


def test_what_is_there_under_that_name_wins(tmp_path):
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "a.jpg").write_bytes(b"x")
    assert found("~/a.jpg") == [("~/a.jpg", "a.jpg")]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("~/none.jpg", "~ is "),
        ("~/*.gif", "~ is "),
        ("~nobody-of-this-name/a.jpg", "nobody's folder"),
        ("file:///no%20where/a.jpg", "was read as /no where/a.jpg"),
        ("file://server/share/a.jpg", "Download it first"),
    ],
)
def test_hints_say_how_it_was_understood(text, hint):
    with pytest.raises(UsageError) as caught:
        found(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "expanded"),
    [
        ("s-{08..11}.tar", ["s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"]),
        ("{a,b}{1..2}", ["a1", "a2", "b1", "b2"]),
        ("{a..c}", ["{a..c}"]),
        ("{2..1}", []),
    ],
)
def test_ranges_count(pattern, expanded):
    assert alternatives(pattern) == expanded


def test_paths_need_no_explanation():
    assert how_meant("in/a.jpg") == ""
    assert as_meant("in/a.jpg") == "in/a.jpg"
    assert Path(as_meant("~")) == Path.home()
