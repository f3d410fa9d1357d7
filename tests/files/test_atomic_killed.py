"""What killed processes leave is removed; what living ones write, and users' own files, is not."""

import signal
import subprocess
import sys

import pytest
from conftest import environment

from drcnet_cli.files import atomic
from drcnet_cli.files.atomic import atomic_write, temporary_sibling

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")

WRITER = """
import sys
from pathlib import Path
from drcnet_cli.files.atomic import atomic_write
with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print(temporary.name, flush=True)
    sys.stdin.read()
    temporary.write_bytes(b"whole")
"""


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """Let each test look through its folders for the first time."""
    monkeypatch.setattr(atomic, "_looked_through", set())


@pytest.fixture
def writer(tmp_path):
    """Return another process that is in the middle of writing `other.png`, and its temporary."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "other.png")],
        env=environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process, tmp_path / process.stdout.readline().strip()
    process.kill()
    process.communicate()


def write(path):
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"x")


def test_a_killed_process_leaves_nothing_for_long(tmp_path, writer):
    process, temporary = writer
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert temporary.read_bytes() == b"half"
    assert not (tmp_path / "other.png").exists()
    write(tmp_path / "mine.png")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def test_a_living_process_keeps_its_file(tmp_path, writer):
    process, temporary = writer
    write(tmp_path / "mine.png")
    assert temporary.read_bytes() == b"half"
    process.communicate("")
    assert (tmp_path / "other.png").read_bytes() == b"whole"


def test_what_could_not_be_looked_through_is_tried_again(tmp_path, writer):
    process, _ = writer
    dead = temporary_sibling(tmp_path / "a.png")
    dead.write_bytes(b"half")
    write(tmp_path / "mine.png")
    assert dead.exists()
    process.communicate("")
    write(tmp_path / "mine.png")
    assert not dead.exists()


def test_own_files_are_kept_while_others_are_written(tmp_path):
    with atomic_write(tmp_path / "a.png") as first:
        write(tmp_path / "b.png")
        first.write_bytes(b"a")
    assert (tmp_path / "a.png").read_bytes() == b"a"


@pytest.mark.parametrize(
    "name",
    [
        "a.png.0123456789ab.drcnet.tmp",  # not hidden
        ".a.png.0123456789AB.drcnet.tmp",
        ".a.png.0123456789ab.tmp",
        ".a.png.0123456789ab.drcnet.tmp.png",
        ".0123456789ab.drcnet.tmp",
    ],
)
def test_names_that_are_not_ours_stay(tmp_path, name):
    (tmp_path / name).write_bytes(b"the user's")
    write(tmp_path / "mine.png")
    assert (tmp_path / name).read_bytes() == b"the user's"


def test_names_that_are_no_text_and_folders_are_survived(tmp_path):
    odd = temporary_sibling(tmp_path / "a\nb\udcff.png")
    odd.write_bytes(b"half")
    folder = temporary_sibling(tmp_path / "folder")
    folder.mkdir()
    write(tmp_path / "mine.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, "mine.png"]


def test_each_folder_is_looked_through_once(tmp_path, monkeypatch):
    looked = []
    remove = atomic._remove_abandoned
    monkeypatch.setattr(atomic, "_remove_abandoned", lambda fd: (looked.append(fd), remove(fd)))
    for name in ("a/1", "a/2", "b/1", "a/3"):
        write(tmp_path / name)
    assert len(looked) == 2


def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch):
    import fcntl

    def refuse(_descriptor, _operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    dead = temporary_sibling(tmp_path / "a.png")
    dead.write_bytes(b"half")
    write(tmp_path / "mine.png")
    assert (tmp_path / "mine.png").exists()
    assert dead.exists()  # who knows whose it is


def test_somebody_who_holds_the_folder_for_ever_stops_nothing(tmp_path, monkeypatch):
    import fcntl
    import os

    monkeypatch.setattr(atomic, "_PAUSE", 0.001)
    holder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        write(tmp_path / "mine.png")
    finally:
        os.close(holder)
    assert (tmp_path / "mine.png").read_bytes() == b"x"
