"""What a run did is known to the next one, however it ended; and what somebody changed is not."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import environment

from drcnet_cli.files import journal as journals
from drcnet_cli.files.finished import OLDER, OTHERWISE, RESTORED_OTHERWISE, Finished
from drcnet_cli.files.journal import FILE_NAME, Stamp, in_place_recipe, open_journal, stamp
from drcnet_cli.files.plan import Job


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Let each test have a journal of its own."""
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, content: bytes = b"x", time: int = 10**9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time, time))
    return path


def judge(source: Path, destination: Path, recipe="recipe", **options):
    with Finished(lambda: recipe, **options) as finished:
        return finished(Job(source, destination))


def note(destination: Path, source: Path, recipe="recipe") -> None:
    journal = open_journal()
    recipe = in_place_recipe(recipe) if source == destination else recipe
    assert journal.note(destination, destination, stamp(source.stat()), recipe)
    journal.close()


def test_a_copy_without_an_entry_is_judged_by_its_time(tmp_path):
    old, new = write(tmp_path / "old", time=1000), write(tmp_path / "new", time=2000)
    assert judge(old, new) == ""
    assert judge(new, old) == OLDER
    assert judge(new, old, update=True) is None
    assert judge(write(tmp_path / "same", time=1001), old) == ""  # times to two seconds


def test_a_copy_is_finished_if_input_and_recipe_are_the_same(tmp_path):
    source, made = write(tmp_path / "in.png", time=2000), write(tmp_path / "out.png", time=1000)
    note(made, source)
    assert judge(source, made) == ""
    assert judge(source, made, recipe="another") == OTHERWISE
    assert judge(source, made, recipe="another", update=True) is None
    write(source, b"another picture", time=500)
    assert judge(source, made) == OTHERWISE


def test_a_copy_that_was_edited_is_nobodys_result(tmp_path):
    source, made = write(tmp_path / "in.png", time=2000), write(tmp_path / "out.png")
    note(made, source)
    write(made, b"edited", time=3000)
    assert judge(source, made, recipe="another") == ""


def test_in_place_a_result_is_finished_wherever_it_is_by_now(tmp_path):
    path = write(tmp_path / "p" / "a.jpg")
    assert judge(path, path) is None
    note(path, path)
    assert judge(path, path) == ""
    assert judge(path, path, recipe="another") == RESTORED_OTHERWISE
    (tmp_path / "p").rename(tmp_path / "q")
    moved = tmp_path / "q" / "a.jpg"
    assert judge(moved, moved) == ""
    shutil.copy2(moved, tmp_path / "copy.jpg")
    assert judge(tmp_path / "copy.jpg", tmp_path / "copy.jpg") == ""


def test_in_place_what_another_run_made_is_an_input_like_any(tmp_path):
    path = write(tmp_path / "lq" / "a.png")
    note(path, write(tmp_path / "photograph.png"))
    assert judge(path, path, recipe="another") is None
    assert judge(path, path) == ""  # the same settings made it already


@pytest.mark.parametrize(("content", "time"), [(b"y", 10**9), (b"xx", 10**9), (b"x", 10**9 + 1)])
def test_in_place_what_was_changed_or_brought_back_is_done(tmp_path, content, time):
    path = write(tmp_path / "a.bmp")
    note(path, path)
    write(path, content, time)
    assert judge(path, path) is None


def test_links_lead_to_the_same_entry(tmp_path):
    source, made = write(tmp_path / "in.png"), write(tmp_path / "out" / "a.png")
    note(made, source)
    (tmp_path / "link").symlink_to(tmp_path / "out")
    assert judge(source, tmp_path / "link" / "a.png", recipe="another") == OTHERWISE


def test_the_journal_tells_no_names(tmp_path, cache):
    note(write(tmp_path / "secret-name.png"), write(tmp_path / "in.png"))
    assert all(b"secret-name" not in path.read_bytes() for path in cache.iterdir())


def test_it_cannot_grow_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "MOST_ENTRIES", 20)
    source = write(tmp_path / "in.png")
    paths = [write(tmp_path / f"{n}.png", time=n) for n in range(25)]
    for path in paths:
        note(path, source)
    journal = open_journal()
    known = [path for path in paths if journal.find_output(path)]
    journal.close()
    assert known[-1] == paths[-1]
    assert known == paths[-len(known) :]
    assert 15 <= len(known) <= 20


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_journal_is_begun_anew(tmp_path, cache, content):
    write(cache / FILE_NAME, content)
    path = write(tmp_path / "a.png")
    note(path, path)
    assert judge(path, path) == ""


def test_where_none_can_be_opened_it_is_said(tmp_path, monkeypatch):
    write(tmp_path / "file")
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "file" / "cache"))
    path = write(tmp_path / "a.png")
    with Finished(lambda: "") as finished:
        assert finished(Job(path, path)) is None
        assert finished.journal_error
        assert finished(Job(path, write(tmp_path / "b.png"))) == ""


def test_a_failing_journal_fails_no_run(tmp_path):
    path = write(tmp_path / "a.png")
    journal = open_journal()
    journal.close()
    with pytest.raises(sqlite3.Error):
        journal.find_output(path)
    assert not journal.note(path, path, Stamp(1, 1), "recipe")


RESTORER = """
import os, signal, sys
from pathlib import Path
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.files.finished import Finished
from drcnet_cli.files.plan import Job
from drcnet_cli.files.finisher import open_finisher

path, dies = Path(sys.argv[1]), sys.argv[2]
job = Job(path, path)
def die(when):
    if when == dies:
        os.kill(os.getpid(), signal.SIGKILL)
with Finished(lambda: "recipe") as finished:
    if (sys.argv[3:] == ["--overwrite"]) or finished(job) is None:
        with open_finisher("recipe", False) as finisher:
            finisher.begin(job)
            def finish(whole):
                die("whole")
                finisher.finish(job, whole)
                die("noted")
            with atomic_write(path, finish) as temporary:
                temporary.write_bytes(path.read_bytes() + b", restored")
            die("replaced")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no process is killed so there")
def test_a_kill_at_any_moment_neither_repeats_nor_forgets(tmp_path):
    path = write(tmp_path / "a.txt", b"picture")

    def run(*arguments) -> int:
        call = [sys.executable, "-c", RESTORER, str(path), *arguments]
        env = environment(tmp_path, DRCNET_CACHE=str(tmp_path / "cache"))
        return subprocess.run(call, env=env, timeout=60).returncode

    for dies in ("whole", "noted"):
        assert run(dies) == -signal.SIGKILL
        assert path.read_bytes() == b"picture"
    assert run("replaced") == -signal.SIGKILL
    for _ in range(2):
        assert run("") == 0
        assert path.read_bytes() == b"picture, restored"
    # A kill while it is done again, unasked for or not, does not forget that it was done once.
    assert run("noted", "--overwrite") == -signal.SIGKILL
    assert run("") == 0
    assert path.read_bytes() == b"picture, restored"
