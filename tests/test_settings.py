"""What the environment and the platform decide."""

import sys
from pathlib import Path

import pytest

from drcnet_cli import settings


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in ("DRCNET_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {}, ".cache/drcnet"),
        ("linux", {"XDG_CACHE_HOME": "xdg"}, "xdg/drcnet"),
        ("linux", {"XDG_CACHE_HOME": ""}, ".cache/drcnet"),
        ("linux", {"XDG_CACHE_HOME": "xdg", "DRCNET_CACHE": "own"}, "own"),
        ("darwin", {"XDG_CACHE_HOME": "xdg"}, "Library/Caches/drcnet"),
        ("win32", {}, "AppData/Local/drcnet/Cache"),
        ("win32", {"LOCALAPPDATA": "local"}, "local/drcnet/Cache"),
    ],
)
def test_the_cache_lies_where_the_platform_keeps_such(
    tmp_path, monkeypatch, platform, variables, expected
):
    monkeypatch.setattr(sys, "platform", platform)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder) if folder else "")
    assert settings.cache_dir() == tmp_path / expected


def test_a_tilde_is_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("DRCNET_CACHE", "~/weights")
    assert settings.cache_dir() == tmp_path / "weights"


@pytest.mark.parametrize(("size", "expected"), [(None, 1), ("3", 3), ("many", 1), ("-2", 1)])
def test_processes_are_counted_only_as_a_launcher_says(monkeypatch, size, expected):
    if size is not None:
        monkeypatch.setenv("WORLD_SIZE", size)
    assert settings.launched_processes() == expected


def test_who_set_a_policy_for_threads_keeps_it(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    settings.share_processors()
    assert settings.os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    assert "GOMP_SPINCOUNT" not in settings.os.environ


def test_threads_spin_briefly_and_then_sleep(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    settings.share_processors()
    assert settings.os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert settings.os.environ["GOMP_SPINCOUNT"] == "7"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.delenv("GOMP_SPINCOUNT")
    settings.share_processors()
    assert int(settings.os.environ["GOMP_SPINCOUNT"]) > 0


def test_a_system_without_glibc_is_left_alone(monkeypatch):
    def missing(_name):
        raise OSError("libc.so.6: cannot open shared object file")

    monkeypatch.setattr(settings.ctypes, "CDLL", missing)
    settings.keep_memory()
    monkeypatch.setattr(sys, "platform", "darwin")
    settings.keep_memory()


def test_what_is_compiled_stays_in_our_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(settings.os, "environ", {**settings.os.environ})
    settings.os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
    settings.keep_compiled()
    assert settings.os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "own/compiled")
    assert (tmp_path / "own/compiled").is_dir()
    settings.os.environ["TORCHINDUCTOR_CACHE_DIR"] = "theirs"
    settings.keep_compiled()
    assert settings.os.environ["TORCHINDUCTOR_CACHE_DIR"] == "theirs"


def test_a_cache_that_cannot_be_made_is_left_to_torch(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "file"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    settings.keep_compiled()
    assert "TORCHINDUCTOR_CACHE_DIR" not in settings.os.environ
