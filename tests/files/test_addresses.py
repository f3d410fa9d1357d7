"""Addresses as values: their parts, what lies below, and no secret shown."""

import pickle
from pathlib import Path, PurePosixPath

import pytest

from drcnet_cli.files.addresses import Address, is_address, place_of, without_secrets


@pytest.mark.parametrize(
    ("url", "name", "suffix", "path"),
    [
        ("s3://bucket/a/b c.PNG", "b c.PNG", ".PNG", "bucket/a/b c.PNG"),
        ("s3://bucket/what?.png", "what?.png", ".png", "bucket/what?.png"),
        ("s3://bucket/", "bucket", "", "bucket/"),
        ("https://host/a/b%20c.jpg?x=1&y=/z.png", "b c.jpg", ".jpg", "host/a/b%20c.jpg"),
        ("zip://in/a.png::s3://bucket/x.zip", "a.png", ".png", "in/a.png"),
        ("zip://::x.zip", "", "", ""),
    ],
)
def test_parts(url, name, suffix, path):
    address = Address(url)
    assert (address.name, address.suffix, address.path) == (name, suffix, path)


def test_what_lies_below():
    folder = Address("zip://in/::s3://bucket/x.zip")
    inner = folder / Path("sub/a.png")
    assert inner.url == "zip://in/sub/a.png::s3://bucket/x.zip"
    assert inner.parent.url == "zip://in/sub::s3://bucket/x.zip"
    assert inner.below(folder) == PurePosixPath("sub/a.png")
    assert inner.below(Address("zip://i::s3://bucket/x.zip")) is None
    assert inner.below(Address("zip://in::s3://bucket/y.zip")) is None
    assert inner.with_suffix(".jpg").name == "a.jpg"
    assert (Address("zip://::x.zip") / "a.png").url == "zip://a.png::x.zip"


def test_what_was_told_is_no_part_of_it():
    told = Address("s3://b/a.png").told(10, 20)
    assert told == Address("s3://b/a.png")
    assert len({told, Address("s3://b/a.png")}) == 1
    assert pickle.loads(pickle.dumps(told)).size == 10


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pass/w@host/a.png", "https://me:pass/w@host/a.png"),  # no user: a path
        ("https://me:pass@host/a.png", "https://host/a.png"),
        ("https://token@host/a.png?X-Amz-Signature=abc#x", "https://host/a.png?..."),
        ("zip://a.png::https://me:pass@host/x.zip?sig=1", "zip://a.png::https://host/x.zip?..."),
        ("ftp://me:pass@host/a.png", "ftp://host/a.png"),
        ("abfs://container@account/a.png", "abfs://container@account/a.png"),
        ("s3://b/a\x1b[31m.png", "s3://b/a\\x1b[31m.png"),
    ],
)
def test_no_secret_is_shown(url, shown):
    assert str(Address(url)) == shown
    assert without_secrets(f"failed: '{url}'") == f"failed: '{shown}'"


def test_what_is_an_address(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_address("s3://bucket/a.png")
    assert not is_address("C://a.png")
    assert not is_address("file:///a.png")
    assert place_of("in/a.png") == Path("in/a.png")
    Path("s3:/bucket").mkdir(parents=True)
    assert not is_address("s3://bucket")  # a folder of that very name
