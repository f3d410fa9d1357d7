"""An output folder that takes no files is found before anything is computed for it."""

import os
from pathlib import Path

import pytest

from drcnet_cli.errors import ImageError, StorageError
from drcnet_cli.files import writable
from drcnet_cli.files.plan import Job
from drcnet_cli.files.writable import check_writable, write_refusal


@pytest.fixture(autouse=True)
def locked(tmp_path, monkeypatch) -> Path:
    """Make a folder that refuses, to root too."""
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "locked")
    return tmp_path / "locked"


def jobs(*destinations):
    return [Job(Path("a.png"), destination) for destination in destinations]


def test_the_nearest_folder_that_is_there_decides(locked, tmp_path):
    assert write_refusal(tmp_path / "a.png") is None
    assert write_refusal(tmp_path / "new" / "deep" / "a.png") is None
    for destination in (locked / "a.png", locked / "new" / "deep" / "a.png"):
        error = write_refusal(destination)
        assert error is not None
        assert str(destination) in error.message
        assert str(locked) in error.hint


def test_a_links_own_folder_does_not_matter(locked, tmp_path):
    (tmp_path / "link.png").symlink_to(locked / "a.png")
    assert write_refusal(tmp_path / "link.png") is not None


def test_one_that_can_be_written_is_enough_to_begin(locked, tmp_path):
    check_writable([])
    check_writable(jobs(locked / "a.png", tmp_path / "a.png"))
    with pytest.raises(ImageError, match="Permission denied"):
        check_writable(jobs(locked / "a.png", locked / "b.png"))


def test_a_read_only_medium_is_one(locked, monkeypatch):
    monkeypatch.setattr(writable, "_is_read_only", lambda _: True)
    with pytest.raises(StorageError):
        check_writable(jobs(locked / "a.png"))
