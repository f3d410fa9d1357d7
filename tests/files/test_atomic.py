"""Writes are whole or absent, whatever ends them."""

import errno
import os
import stat
from pathlib import Path

import pytest

from drcnet_cli.errors import UsageError
from drcnet_cli.files.atomic import atomic_write, temporary_sibling

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions, links and devices")


def test_success_leaves_only_the_destination(tmp_path):
    target = tmp_path / "new" / "folders" / "a.png"
    with atomic_write(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".a.png.")
        assert temporary.suffix == ".tmp"
        temporary.write_bytes(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_keeps_what_was_there(tmp_path, failure):
    target = tmp_path / "a.png"
    target.write_bytes(b"before")
    with pytest.raises(failure), atomic_write(target) as temporary:
        temporary.write_bytes(b"half")
        raise failure
    assert target.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_without_previous_file_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "a.png"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 251 + ".png", "é" * 125 + ".png", "a b\nc.png", "雨.png"])
def test_long_and_odd_names(tmp_path, name):
    with atomic_write(tmp_path / name) as temporary:
        temporary.write_bytes(b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@posix
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path, umask):
    previous = os.umask(umask)
    try:
        with atomic_write(tmp_path / "a") as temporary:
            temporary.chmod(0o600)
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~umask


@posix
def test_symbolic_link_is_written_through(tmp_path):
    (tmp_path / "store").mkdir()
    real, link = tmp_path / "store" / "real.png", tmp_path / "link.png"
    link.symlink_to(real)
    with atomic_write(link) as temporary:
        temporary.write_bytes(b"x")
    assert link.is_symlink()
    assert real.read_bytes() == b"x"


def test_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is a folder"), atomic_write(tmp_path):
        pytest.fail("the block must not run")
    assert list(tmp_path.iterdir()) == []


@posix
def test_device_is_refused():
    with pytest.raises(UsageError, match="not a regular file"), atomic_write(Path(os.devnull)):
        pytest.fail("the block must not run")
    assert not Path(os.devnull).is_file()


def test_missing_folder_that_is_a_file_is_an_os_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError), atomic_write(tmp_path / "file" / "a.png"):
        pytest.fail("the block must not run")


def test_refusal_names_the_destination_not_the_temporary(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(13, "Permission denied", os.fspath(self), None, os.fspath(target))

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError) as caught, atomic_write(tmp_path / "a.png"):
        pass
    assert caught.value.filename == os.fspath(tmp_path / "a.png")
    assert ".tmp" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_names_the_file_though_its_writer_knew_a_handle_only(tmp_path, number):
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / "a.png"):
        raise OSError(number, "no")
    full = number == errno.ENOSPC
    assert caught.value.filename == (str(tmp_path / "a.png") if full else None)


def test_temporary_sibling_is_new_each_time_and_creates_nothing(tmp_path):
    names = {temporary_sibling(tmp_path / "a.png") for _ in range(50)}
    assert len(names) == 50
    assert list(tmp_path.iterdir()) == []
