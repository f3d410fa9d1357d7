"""Servers that send too much, too slowly, something else, or us elsewhere."""

import time
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
from hostile_server import FILE_ADDRESS, HostileServer
from hub_server import REPO, HubServer
from huggingface_hub import constants
from weights_helpers import Shelf, content, entry

from drcnet_cli.errors import HashMismatchError, NetworkError, WeightsError
from drcnet_cli.weights import fetch, hub
from drcnet_cli.weights import store as files
from drcnet_cli.weights.hub import check_address, within
from drcnet_cli.weights.manifest import HubSource, Manifest
from drcnet_cli.weights.store import cached_path

DATA = content("good", 100_000)
LONGEST = 1.5  # seconds that a test's download may take before it must have given up


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(hub, "PATIENCE", LONGEST)
    monkeypatch.setattr(hub, "SLOWEST", 10**9)
    monkeypatch.setattr(hub, "_RETRY_WAITS", (0.01, 0.01))
    monkeypatch.setattr(files, "BUNDLED_DIR", tmp_path / "bundled")
    return Shelf(tmp_path)


@pytest.fixture
def written(monkeypatch):
    """Count the bytes that reach the disk."""
    sizes: list[int] = []
    plain = hub._Limited.write

    def write(self, data):
        taken = plain(self, data)
        sizes.append(self.tell())
        return taken

    monkeypatch.setattr(hub._Limited, "write", write)
    return sizes


def ask(server: HostileServer | HubServer, manifest: Manifest, monkeypatch) -> Path:
    address = partial(huggingface_hub.hf_hub_url, endpoint=server.url)
    monkeypatch.setattr(hub, "hf_hub_url", address)
    checkpoint = manifest.checkpoints[0]
    return hub.download(checkpoint, HubSource(REPO, "main", checkpoint.file))


WAYS = {
    "endless": "more than the 100000 bytes",
    "endless and announced": "more than the 100000 bytes",
    "endless in chunks": "more than the 100000 bytes",
    "longer": "more than the 100000 bytes",
    "compressed": "more than the 100000 bytes",
    "huge announced": "has 1000000000000000 bytes",
    "trickle": "too slow",
    "silence": "too slow|cannot be reached",
    "no answer": "too slow|cannot be reached",
    "slow headers": "too slow|cannot be reached",
    "shorter than said": "too slow|cannot be reached",
    "closes": "too slow|cannot be reached",
    "no http": "too slow|cannot be reached",
    # huggingface_hub before 1 takes an address without a host for one on the same host.
    "redirect to a file": f"{FILE_ADDRESS}|too slow",
    "redirect in circles": "cannot be reached|not followed|too slow",
    "get redirects to a file": "cannot be reached",
    "get redirects in circles": "cannot be reached|too slow",
    "other file": "sha256",
    "error page": "sent 33 of the 100000 bytes",
}


@pytest.mark.parametrize(("way", "sentence"), WAYS.items())
def test_a_hostile_server_gives_nothing_and_says_why(shelf, monkeypatch, written, way, sentence):
    manifest = shelf.write(entry("drcnet-x", DATA))
    started = time.monotonic()
    with HostileServer(DATA, way) as server:
        with pytest.raises(WeightsError, match=sentence) as caught:
            ask(server, manifest, monkeypatch)
        assert isinstance(caught.value, NetworkError | HashMismatchError)
    # A margin for busy machines; the point is that it ends.
    assert time.monotonic() - started < LONGEST + 10
    assert caught.value.exit_code == 3
    assert caught.value.message.isprintable()
    assert "drcnet weights import" in caught.value.hint
    assert max(written, default=0) <= len(DATA)
    # A beginning may wait for the next attempt; it is no larger either, and nothing reads it.
    assert set(shelf.cached_files()) <= {"download"}
    assert not cached_path(manifest.checkpoints[0]).exists()


def test_the_same_server_behaving_is_believed(shelf, monkeypatch):
    manifest = shelf.write(entry("drcnet-x", DATA))
    with HostileServer(DATA, "whole") as server:
        assert ask(server, manifest, monkeypatch).read_bytes() == DATA
    encodings = {headers.get("Accept-Encoding", "").lower() for _, _, headers in server.asked}
    assert encodings == {"identity"}


@pytest.mark.parametrize(
    ("asked", "answered", "followed"),
    [
        ("https://hub/a", "https://cdn/a", True),
        ("https://hub/a", "http://hub/a", False),
        ("https://hub/a", "file:///etc/passwd", False),
        ("https://hub/a", "ftp://hub/a", False),
        ("http://127.0.0.1/a", "http://127.0.0.1/b", True),
        ("http://127.0.0.1/a", "https://cdn/b", True),
        ("http://127.0.0.1/a", "FILE:///etc/passwd", False),
        ("http://127.0.0.1/a", "", False),
        ("http://127.0.0.1/a", "//elsewhere/b", False),
    ],
)
def test_which_redirects_are_followed(asked, answered, followed):
    if followed:
        return check_address(asked, answered)
    with pytest.raises(NetworkError, match="not followed"):
        check_address(asked, answered)


def test_the_token_stays_with_its_own_host(shelf, monkeypatch):
    manifest = shelf.write(entry("drcnet-x", DATA))
    monkeypatch.setattr(hub, "build_hf_headers", lambda **_: {"authorization": "Bearer secret"})
    with HostileServer(DATA, "whole") as elsewhere, HostileServer(DATA, "whole") as server:
        plain = hub.get_hf_file_metadata

        def moved(url):
            found = plain(url)
            object.__setattr__(found, "location", f"{elsewhere.url}/there")
            return found

        monkeypatch.setattr(hub, "get_hf_file_metadata", moved)
        ask(server, manifest, monkeypatch)
    names = {name.lower() for _, _, headers in elsewhere.asked for name in headers}
    assert elsewhere.asked
    assert "authorization" not in names


def test_what_is_no_repository_is_one_sentence(shelf):
    checkpoint = shelf.write(entry("drcnet-x", DATA)).checkpoints[0]
    with pytest.raises(NetworkError, match="'a//b' is not a repository name"):
        hub.download(checkpoint, HubSource("a//b", "main", checkpoint.file))


def test_what_takes_too_long_is_left_and_errors_arrive():
    with pytest.raises(NetworkError, match="too slow"):
        within(0.05, lambda: time.sleep(0.5), "It")
    assert within(5, lambda: 3, "It") == 3
    with pytest.raises(ValueError, match="mine"):
        within(5, lambda: int("mine"), "It")


def test_a_beginning_that_is_too_long_is_dropped(tmp_path):
    part = tmp_path / "part"
    part.write_bytes(bytes(500))
    with HostileServer(DATA[:300], "whole") as server:
        hub.transfer(f"{server.url}/x", {}, part, 300, 300)
    assert part.read_bytes() == DATA[:300]


def test_a_beginning_from_an_earlier_call_is_gone_on_from(shelf, monkeypatch):
    manifest = shelf.write(entry("drcnet-x", DATA))
    checkpoint = manifest.checkpoints[0]
    staged = shelf.cache / "hub" / checkpoint.sha256[:16] / "download"
    staged.parent.mkdir(parents=True)
    staged.write_bytes(DATA[:60_000])
    with HubServer({checkpoint.file: DATA}) as server:
        assert ask(server, manifest, monkeypatch).read_bytes() == DATA
    ranges = [seen.headers.get("range") or seen.headers.get("Range") for seen in server.seen]
    assert ranges[-1] == "bytes=60000-"


# Entries of the cache that are not what they seem


@pytest.fixture
def entry_path(shelf):
    shelf.write(entry("drcnet-x", DATA))
    path = cached_path(manifest_of(shelf).checkpoints[0])
    path.parent.mkdir(parents=True)
    return path


def manifest_of(shelf) -> Manifest:
    from drcnet_cli.weights.manifest import load_manifest

    return load_manifest(shelf.manifest_path)


@pytest.mark.parametrize("kind", ["other file", "dangling", "circle", "device"])
def test_a_link_in_the_cache_is_verified_and_then_replaced(shelf, entry_path, tmp_path, kind):
    other = tmp_path / "precious"
    other.write_bytes(b"precious")
    target = {"other file": other, "dangling": tmp_path / "no", "circle": entry_path,
              "device": Path("/dev/zero")}[kind]  # fmt: skip
    entry_path.symlink_to(target)
    manifest = manifest_of(shelf)
    with pytest.raises(WeightsError):
        fetch.resolve("drcnet-x", offline=True, manifest=manifest)
    good = tmp_path / "good"
    good.write_bytes(DATA)
    assert fetch.import_file(good, manifest).path == entry_path
    assert not entry_path.is_symlink()
    assert entry_path.read_bytes() == DATA
    assert other.read_bytes() == b"precious"
    assert not (tmp_path / "no").exists()


def test_a_folder_in_the_place_of_a_cache_entry_is_named(shelf, entry_path, tmp_path, monkeypatch):
    entry_path.mkdir()
    good = tmp_path / "good"
    good.write_bytes(DATA)
    manifest = manifest_of(shelf)
    with pytest.raises(WeightsError, match="no hub repository"):
        fetch.resolve("drcnet-x", manifest=manifest)
    with pytest.raises(WeightsError, match="cache|folder"):
        fetch.import_file(good, manifest)
    with (
        HostileServer(DATA, "whole") as server,
        pytest.raises(WeightsError, match="cannot be used"),
    ):
        ask(server, manifest, monkeypatch)
    assert list(entry_path.iterdir()) == []
