"""Inputs expanded, everything that is no image counted."""

import inspect
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.errors import UsageError
from drcnet_cli.files.discover import PassedOver, discover, natural_key

symlinks = pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX pipes")


def is_image(path):
    return path.suffix.lower() in {".jpg", ".png"}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(*names):
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def find(*inputs, output=None):
    return discover(inputs, is_image, output)


def places(*inputs, output=None):
    return [image.place.as_posix() for image in find(*inputs, output=output).images]


# --- Files and folders


def test_folder_is_searched_to_any_depth_in_natural_order():
    make("in/a10.jpg", "in/a2.png", "in/B1.JPG", "in/z/y/x/deep.jpg", "in/z/1.jpg")
    found = find("in")
    assert [image.source.as_posix() for image in found.images] == [
        "in/a2.png",
        "in/a10.jpg",
        "in/B1.JPG",
        "in/z/1.jpg",
        "in/z/y/x/deep.jpg",
    ]
    assert places("in")[-1] == "z/y/x/deep.jpg"
    assert places("in/") == places("in") == places(str(Path.cwd() / "in"))


def test_hidden_and_other_files_are_counted_not_taken():
    make("in/a.jpg", "in/._a.jpg", "in/.DS_Store", "in/Thumbs.db", "in/__MACOSX/a.jpg")
    make("in/.git/x.jpg", "in/.git/y.jpg", "in/notes.txt", "in/README", "in/sub/clip.mp4")
    found = find("in")
    assert [image.source for image in found.images] == [Path("in/a.jpg")]
    assert found.passed_over == PassedOver(hidden=5, not_images=3)
    assert found.passed_over.total == 8


@pytest.mark.parametrize(
    "name", [".hidden.jpg", "scan.0001", "notes.txt", "a b\nü雨.jpg", "[1].jpg"]
)
def test_lone_file_is_tried_whatever_its_name(name):
    make(name)
    found = find(name)
    assert found.images == ((Path(name), Path(name)),)
    assert found.lone_file


def test_files_among_several_are_judged_by_name():
    make("a.jpg", "b.png", "notes.txt", "._a.jpg")
    found = find("a.jpg", "b.png", "notes.txt", "._a.jpg")
    assert [image.place.name for image in found.images] == ["a.jpg", "b.png"]
    assert found.passed_over == PassedOver(hidden=1, not_images=1)
    assert not found.lone_file


def test_folders_among_several_keep_their_names():
    make("x/a.jpg", "y/a.jpg", "deep/z/a.jpg", "c.jpg", "__MACOSX/a.jpg")
    assert places("x", "y/", "deep/z", "c.jpg", "__MACOSX") == [
        "x/a.jpg",
        "y/a.jpg",
        "z/a.jpg",
        "c.jpg",
    ]


def test_this_folder_and_the_one_above_have_names_too(monkeypatch):
    make("top/in/a.jpg", "top/other/b.jpg")
    monkeypatch.chdir("top/in")
    assert places(".") == ["a.jpg"]
    assert places(".", "../other") == ["in/a.jpg", "other/b.jpg"]
    assert places("..", "../other") == ["top/in/a.jpg", "top/other/b.jpg", "other/b.jpg"]


def test_output_folder_inside_the_input_is_not_read():
    make("in/a.jpg", "in/out/a.jpg", "in/out/sub/b.jpg", "in/outer/c.jpg")
    assert places("in", output="in/out") == ["a.jpg", "outer/c.jpg"]
    assert places("in", output=str(Path.cwd() / "in" / "out")) == ["a.jpg", "outer/c.jpg"]
    assert places("in/a.jpg", "in/out", output="in/out/") == ["a.jpg"]
    assert places("in/*", output="in/out") == ["a.jpg", "outer/c.jpg"]
    assert places("in/**/*.jpg", output="in/out") == ["a.jpg", "outer/c.jpg"]
    with pytest.raises(UsageError, match="is the input folder"):
        find("in", output="in/../in")


@symlinks
def test_links_are_followed_and_cycles_broken():
    make("in/a.jpg", "elsewhere/b.jpg", "real.jpg")
    Path("in/linked").symlink_to(Path("elsewhere").resolve())
    Path("in/file.jpg").symlink_to(Path("real.jpg").resolve())
    Path("in/loop").symlink_to(Path("in").resolve())
    Path("elsewhere/back").symlink_to(Path("in").resolve())
    Path("in/dangling.jpg").symlink_to("nowhere")
    Path("in/self.jpg").symlink_to("self.jpg")
    found = find("in")
    assert places("in") == ["a.jpg", "file.jpg", "linked/b.jpg"]
    assert found.passed_over == PassedOver(special=4)


@posix
def test_pipes_are_passed_over_in_a_folder_and_refused_by_name():
    make("in/a.jpg")
    os.mkfifo("in/pipe.jpg")
    assert find("in").passed_over == PassedOver(special=1)
    assert find("in/a.jpg", "in").passed_over == PassedOver(special=1)
    with pytest.raises(UsageError, match="neither a file nor a folder") as caught:
        find("in/pipe.jpg")
    assert "-" in caught.value.hint


def test_folder_that_cannot_be_listed_is_reported(monkeypatch):
    make("in/a.jpg", "in/locked/b.jpg", "in/z/c.jpg")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find("in")
    assert [image.place.as_posix() for image in found.images] == ["a.jpg", "z/c.jpg"]
    assert found.unreadable == (Path("in/locked"),)


def test_folders_deeper_than_python_recurses():
    folder = Path("in")
    folder.mkdir()
    for _ in range(120):
        folder /= "d"
        folder.mkdir()
    make(folder / "a.jpg")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 80)
    try:
        images = find("in").images
    finally:
        sys.setrecursionlimit(limit)
    assert images[0].source == folder / "a.jpg"


# --- Patterns


def test_pattern_mirrors_the_tree_below_its_fixed_part():
    make("in/a.jpg", "in/x/1.jpg", "in/x/2.png", "in/y/1.jpg", "in/x/deep/3.jpg", "in/n.txt")
    assert places("in/*.jpg") == ["a.jpg"]
    assert places("in/?.jpg") == ["a.jpg"]
    assert places("in/x/[12].*") == ["1.jpg", "2.png"]
    assert places("in/*/1.jpg") == ["x/1.jpg", "y/1.jpg"]
    assert places("i**/a**.jpg") == ["in/a.jpg"]
    assert places("in/**/*.jpg") == ["a.jpg", "x/1.jpg", "x/deep/3.jpg", "y/1.jpg"]
    assert find("in/**/*.jpg").images[1].source == Path("in/x/1.jpg")
    assert places(str(Path.cwd() / "in" / "*.jpg")) == ["a.jpg"]


def test_pattern_that_matches_folders_takes_all_below_them_once():
    make("in/a.jpg", "in/x/1.jpg", "in/x/deep/3.jpg", "in/x/n.txt")
    for pattern in ("in/*", "in/*/", "in/**", "in/**/*"):
        expected = set(places("in")) - ({"a.jpg"} if pattern == "in/*/" else set())
        assert sorted(places(pattern)) == sorted(expected)
    assert find("in/**/*").passed_over == PassedOver(not_images=1)


def test_pattern_passes_over_hidden_and_other_files():
    make("in/a.jpg", "in/._a.jpg", "in/n.txt", "in/__MACOSX/b.jpg", "in/__MACOSX/c.jpg")
    assert find("in/**/*").passed_over == PassedOver(hidden=2, not_images=1)
    assert places("in/**/*") == ["a.jpg"]


def test_names_that_look_like_patterns_win():
    make("a[1].jpg", "a1.jpg", "shots [2020]/b.jpg", "shots [2020]/c.jpg", "shots 2/b.jpg")
    assert places("a[1].jpg") == ["a[1].jpg"]
    assert places("shots [2020]") == ["b.jpg", "c.jpg"]
    assert places("shots [2020]/b*.jpg") == ["b.jpg"]


def test_pattern_with_one_match_is_told():
    make("a.jpg", "b.png", "n.txt")
    assert find("*.jpg").lone_match
    assert find("*.*[gt]").lone_match is False
    assert find("*.jpg", "b.png").lone_match is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*.gif", "Nothing matches"),
        ("no/*.jpg", "Nothing matches"),
        ("*/../a.jpg", "goes up"),
    ],
)
def test_patterns_that_give_nothing(text, words):
    make("in/a.jpg")
    with pytest.raises(UsageError, match=words):
        find(text)


# --- Missing inputs


def test_missing_input_is_named_with_a_close_name():
    make("in/Holiday.JPG", "in/other.png")
    with pytest.raises(UsageError, match=r"no file or folder in.holidy\.jpg") as caught:
        find("in/other.png", "in/holidy.jpg")
    assert caught.value.hint == f"Did you mean {Path('in/Holiday.JPG')}?"
    with pytest.raises(UsageError) as caught:
        find("in/xyz")
    assert str(Path.cwd()) in caught.value.hint
    with pytest.raises(UsageError) as caught:
        find("gone/holiday.jpg")
    assert "gone" in caught.value.hint


def test_empty_input_is_not_the_current_folder():
    make("a.jpg")
    with pytest.raises(UsageError, match="empty"):
        find("")


@symlinks
def test_dangling_link_by_name():
    Path("a.jpg").symlink_to("gone.jpg")
    with pytest.raises(UsageError, match=r"a link to .*gone\.jpg, which does not exist"):
        find("a.jpg")


# --- Order


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(st.characters(exclude_characters="\0/"), max_size=12), max_size=8))
def test_natural_order_is_total(names):
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


def test_natural_order():
    names = ["img10", "img9", "IMG1", "img", "img9b", "2", "10", "1"]
    ordered = ["1", "2", "10", "img", "IMG1", "img9", "img9b", "img10"]
    assert sorted(names, key=natural_key) == ordered
