"""Checkpoint files: found in order, always verified; downloads by the real hub client."""

import hashlib
import json
import socket
import sys
import time
from pathlib import Path

import pytest
from hub_server import COMMIT, PAGE, REPO, HubServer
from typer.testing import CliRunner
from weights_helpers import Shelf, content, entry, finish

from drcnet_cli.cli import weights as command
from drcnet_cli.errors import HashMismatchError, UsageError, WeightsError
from drcnet_cli.weights import fetch, manifest
from drcnet_cli.weights import store as files
from drcnet_cli.weights.manifest import HubSource
from drcnet_cli.weights.store import cached_path, describe_file

NAME = "drcnet-x"
FILE = f"{NAME}.safetensors"
DATA = content("good")
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A manifest with one denoising checkpoint that is nowhere yet."""
    shelf = Shelf(tmp_path)
    shelf.write(entry(NAME, DATA))
    monkeypatch.setenv("DRCNET_CACHE", str(shelf.cache))
    monkeypatch.delenv("DRCNET_HUB_REPO", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(manifest, "PACKAGED_MANIFEST", shelf.manifest_path)
    monkeypatch.setattr(files, "BUNDLED_DIR", shelf.bundled)
    return shelf


@pytest.fixture
def hub():
    with HubServer({FILE: DATA}) as server:
        yield server


def only_checkpoint():
    return manifest.load_manifest().checkpoints[0]


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def pull(shelf, hub, *extra, **environment):
    """Run `drcnet weights pull` against a hub whose repository is named on the command line."""
    named = ("--hub-repo", REPO)
    return shelf.run("pull", NAME, *named, *extra, endpoint=hub.url, **environment)


def assert_cached(shelf, result, data=DATA):
    target = cached_path(only_checkpoint())
    assert result.code == 0, result.err
    assert result.out == f"{target}\n"
    assert target.read_bytes() == data
    # Nothing staged stays behind.
    assert shelf.cached_files() == [target.name]


def assert_refused(shelf, result, *words):
    """Exit code 3, one error with a hint and without a traceback, and no usable file left."""
    assert result.code == 3, result.err
    assert result.out == ""
    assert "Traceback" not in result.err
    assert f"drcnet weights import {FILE}" in result.err
    for word in words:
        assert word in result.err
    assert shelf.cached_files() == []


# Resolution, without a network


def test_explicit_file_is_taken_as_it_is(shelf, tmp_path):
    own = put(tmp_path / "own.safetensors", b"anything")
    found = fetch.resolve(str(own))
    assert (found.path, found.checkpoint) == (own, None)
    assert fetch.resolve(own, task="derain").path == own


@pytest.mark.parametrize("given", ["none.safetensors", "folder/none", Path("none")])
def test_missing_explicit_file(shelf, given):
    with pytest.raises(WeightsError, match="does not exist"):
        fetch.resolve(given)


def test_folder_is_no_checkpoint(shelf, tmp_path):
    with pytest.raises(WeightsError, match="is a folder"):
        fetch.resolve(tmp_path)


def test_bundled_goes_before_cached(shelf):
    shelf.write(entry(NAME, DATA, bundled=True))
    put(cached_path(only_checkpoint()), DATA)
    bundled = put(shelf.bundled / FILE, DATA)
    for argument, task in ((NAME, None), ("denoise", None), (None, "denoise"), (NAME, "denoise")):
        found = fetch.resolve(argument, task=task)
        assert found.path == bundled
        assert found.checkpoint == only_checkpoint()
    bundled.unlink()
    assert fetch.resolve(NAME).path == cached_path(only_checkpoint())


def test_damaged_bundled_file_is_never_used(shelf):
    shelf.write(entry(NAME, DATA, bundled=True))
    put(shelf.bundled / FILE, DATA[:-1] + b"?")
    with pytest.raises(HashMismatchError, match=SHA256) as caught:
        fetch.resolve(NAME)
    assert str(shelf.bundled) in caught.value.message


def test_contradicting_arguments(shelf):
    with pytest.raises(UsageError, match="made for denoise, not for derain"):
        fetch.resolve(NAME, task="derain")
    with pytest.raises(UsageError, match="Neither"):
        fetch.resolve()
    with pytest.raises(WeightsError, match="no checkpoint named 'drcnet-y'"):
        fetch.resolve("drcnet-y")


def test_two_versions_do_not_share_a_cache_place(shelf):
    first = cached_path(only_checkpoint())
    shelf.write(entry(NAME, content("other")))
    assert cached_path(only_checkpoint()) != first


def test_damaged_cached_file_is_named_with_both_hashes(shelf):
    damaged = put(cached_path(only_checkpoint()), b"x" * len(DATA))
    with pytest.raises(HashMismatchError) as caught:
        fetch.resolve(NAME, offline=True)
    for word in (SHA256, hashlib.sha256(b"x" * len(DATA)).hexdigest(), str(damaged)):
        assert word in caught.value.message


def test_nowhere_to_get_it_from(shelf):
    with pytest.raises(WeightsError, match="no hub repository is known") as caught:
        fetch.resolve(NAME)
    assert "--hub-repo" in caught.value.hint
    assert f"drcnet weights import {FILE}" in caught.value.hint


def test_offline_from_option_and_environment(shelf, monkeypatch):
    with pytest.raises(WeightsError, match="offline mode"):
        fetch.resolve(NAME, hub_repo=REPO, offline=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="offline mode"):
        fetch.resolve(NAME, hub_repo=REPO)


def test_which_repository_is_asked(shelf, monkeypatch):
    listed = {"repo": "listed/repo", "revision": COMMIT, "filename": "renamed.safetensors"}
    shelf.write(entry(NAME, DATA, hub=listed))
    checkpoint = only_checkpoint()
    assert fetch.hub_source(checkpoint) == HubSource(**listed)
    assert fetch.hub_source(checkpoint, "listed/repo") == HubSource(**listed)
    monkeypatch.setenv("DRCNET_HUB_REPO", "env/repo")
    assert fetch.hub_source(checkpoint) == HubSource("env/repo", "main", "renamed.safetensors")
    assert fetch.hub_source(checkpoint, "arg/repo") == HubSource(
        "arg/repo", "main", "renamed.safetensors"
    )


# Import and verify


def test_import_by_content_whatever_the_name(shelf, tmp_path):
    source = put(tmp_path / "ünknown name.bin", DATA)
    found = fetch.import_file(source)
    assert found.path == cached_path(only_checkpoint())
    assert found.path.read_bytes() == source.read_bytes() == DATA
    assert fetch.resolve(NAME, offline=True).path == found.path
    assert fetch.import_file(source) == found


def test_import_replaces_a_damaged_file(shelf, tmp_path):
    put(cached_path(only_checkpoint()), DATA[:-1])
    fetch.import_file(put(tmp_path / "a.bin", DATA))
    assert cached_path(only_checkpoint()).read_bytes() == DATA


def test_import_of_an_unknown_file_names_its_hash_and_the_known(shelf, tmp_path):
    source = put(tmp_path / "other.safetensors", b"other")
    with pytest.raises(WeightsError) as caught:
        fetch.import_file(source)
    assert hashlib.sha256(b"other").hexdigest() in caught.value.message
    assert f"{NAME} {SHA256}" in caught.value.message
    assert f"--weights {source}" in caught.value.hint
    assert shelf.cached_files() == []


def test_unusable_cache_is_one_sentence(shelf, tmp_path, monkeypatch):
    source = put(tmp_path / "a.bin", DATA)
    monkeypatch.setenv("DRCNET_CACHE", str(put(tmp_path / "a file", b"")))
    with pytest.raises(WeightsError, match="cannot be used") as caught:
        fetch.import_file(source)
    assert "DRCNET_CACHE" in caught.value.hint


def test_describe_file(tmp_path):
    digest = describe_file(put(tmp_path / "a", DATA))
    assert (digest.bytes, digest.sha256) == (len(DATA), SHA256)
    with pytest.raises(WeightsError, match="cannot be read"):
        describe_file(tmp_path)


def weights(*arguments):
    return CliRunner().invoke(command.app, list(arguments))


def test_verify_reports_and_exits_with_3_when_damaged(shelf):
    shelf.write(entry(NAME, DATA, bundled=True), entry("drcnet-y", b"y" * 9, default=False))
    put(shelf.bundled / FILE, DATA)
    cached = put(cached_path(manifest.load_manifest().by_name("drcnet-y")), b"y" * 9)
    result = weights("verify", "--json")
    assert result.exit_code == 0
    assert [(r["name"], r["place"], r["state"]) for r in json.loads(result.stdout)] == [
        (NAME, "bundled", "ok"),
        ("drcnet-y", "cache", "ok"),
    ]
    cached.write_bytes(b"z" * 9)
    result = weights("verify")
    assert result.exit_code == 3
    assert "damaged" in result.stdout
    cached.unlink()
    assert weights("verify").exit_code == 0
    (shelf.bundled / FILE).unlink()
    assert weights("verify").exit_code == 3


def test_list_says_where_each_one_is(shelf):
    def where(*arguments):
        return json.loads(weights("list", "--json", *arguments).stdout)[0]["where"]

    assert where() == "not available"
    assert where("--hub-repo", REPO) == "hub"
    put(cached_path(only_checkpoint()), DATA)
    assert where() == "cached"
    shelf.write(entry(NAME, DATA, bundled=True))
    put(shelf.bundled / FILE, DATA)
    assert where() == "bundled"
    table = weights("list").stdout
    assert NAME in table
    assert "0.3 MB" in table


def test_path_prints_a_path_and_downloads_nothing(shelf):
    result = weights("path", NAME)
    assert isinstance(result.exception, WeightsError)
    put(cached_path(only_checkpoint()), DATA)
    assert weights("path", "denoise").stdout == f"{cached_path(only_checkpoint())}\n"


def test_import_command_prints_the_place(shelf, tmp_path):
    result = weights("import", "--quiet", str(put(tmp_path / "a.bin", DATA)))
    assert result.stdout == f"{cached_path(only_checkpoint())}\n"


def test_pull_wants_names_or_all(shelf):
    assert isinstance(weights("pull").exception, UsageError)
    assert isinstance(weights("pull", NAME, "--all").exception, UsageError)
    put(cached_path(only_checkpoint()), DATA)
    assert json.loads(weights("pull", "--all", "--json").stdout) == {
        NAME: str(cached_path(only_checkpoint()))
    }


# Downloads: the real client in a process of its own, against a local hub


def test_whole_download_then_none_at_all(shelf, hub):
    assert_cached(shelf, pull(shelf, hub, HF_TOKEN="hf_secret"))
    assert {item.headers["authorization"] for item in map(lower_keys, hub.seen)} == {
        "Bearer hf_secret"
    }
    asked = len(hub.seen)
    assert_cached(shelf, pull(shelf, hub, "--offline"))
    assert len(hub.seen) == asked


def lower_keys(item):
    item.headers = {name.lower(): value for name, value in item.headers.items()}
    return item


def test_pinned_revision_of_the_manifest(shelf, hub):
    pinned = {"repo": REPO, "revision": COMMIT, "filename": FILE}
    shelf.write(entry(NAME, DATA, hub=pinned))
    assert_cached(shelf, shelf.run("pull", NAME, endpoint=hub.url))
    assert all(f"/resolve/{COMMIT}/" in item.path for item in hub.seen)


def test_cut_off_download_is_resumed(shelf, hub):
    # The client writes, and so can keep, whole blocks of 10 MiB: a small file would start anew.
    block, large = 10 * 2**20, DATA * 80
    hub.files[FILE], hub.fault = large, "cut once"
    shelf.write(entry(NAME, large))
    assert_cached(shelf, pull(shelf, hub), large)
    gets = list(map(lower_keys, hub.requests("GET")))
    assert [(item.status, item.headers.get("range")) for item in gets] == [
        (200, None),
        (206, f"bytes={block}-"),
    ]


def test_small_cut_off_download_ends_whole(shelf, hub):
    hub.fault = "cut once"
    assert_cached(shelf, pull(shelf, hub))


def test_passing_failure_is_tried_again(shelf, hub):
    hub.fault = "error once"
    assert_cached(shelf, pull(shelf, hub))


def test_answer_shorter_than_announced(shelf, hub):
    hub.fault = "short"
    result = pull(shelf, hub)
    assert_refused(shelf, result, REPO, f"sent {len(DATA) // 2} of the {len(DATA)} bytes")
    hub.fault = ""
    assert_cached(shelf, pull(shelf, hub))


def test_truncated_on_the_server(shelf, hub):
    hub.files[FILE] = DATA[:1000]
    found = hashlib.sha256(DATA[:1000]).hexdigest()
    source = f"{hub.url}/{REPO}/resolve/main/{FILE}"
    assert_refused(shelf, pull(shelf, hub), SHA256, found, source, "(1000 bytes)")


def test_wrong_content_of_the_right_size_then_the_right_one(shelf, hub):
    wrong = content("bad")
    hub.files[FILE] = wrong
    result = pull(shelf, hub)
    assert_refused(shelf, result, SHA256, hashlib.sha256(wrong).hexdigest(), REPO, str(shelf.cache))
    hub.files[FILE] = DATA
    assert_cached(shelf, pull(shelf, hub))


def test_web_page_in_place_of_the_file(shelf, hub):
    # Of the announced size, so that only its content gives it away.
    page = PAGE.ljust(len(DATA))
    hub.files[FILE] = page
    assert_refused(shelf, pull(shelf, hub), "web page", hashlib.sha256(page).hexdigest())
    hub.fault = "body is a web page"
    assert_refused(shelf, pull(shelf, hub))


def test_damaged_cached_file_is_downloaded_again(shelf, hub):
    put(cached_path(only_checkpoint()), b"damaged")
    assert_cached(shelf, pull(shelf, hub))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("web page", ["not as a hub"]),
        ("error 500", ["HTTP 500"]),
    ],
)
def test_server_that_does_not_deliver(shelf, hub, fault, words):
    hub.fault = fault
    assert_refused(shelf, pull(shelf, hub), *words)
    assert hub.requests("GET") == []


@pytest.mark.parametrize("fault", ["gated", "forbidden"])
def test_refused_access_asks_for_a_token(shelf, hub, fault):
    hub.fault = fault
    result = pull(shelf, hub)
    assert result.code == 3
    assert REPO in result.err
    assert "HF_TOKEN" in result.err
    assert shelf.cached_files() == []


def test_private_repository_needs_the_token(shelf, hub):
    hub.private = True
    assert_refused(shelf, pull(shelf, hub), "private", "HF_TOKEN")
    assert_cached(shelf, pull(shelf, hub, HF_TOKEN="hf_secret"))


def test_missing_repository_revision_and_file(shelf, hub):
    result = shelf.run("pull", NAME, "--hub-repo", "no/body", endpoint=hub.url)
    assert_refused(shelf, result, "no repository no/body")
    del hub.files[FILE]
    assert_refused(shelf, pull(shelf, hub), f"has no {FILE}")
    pinned = {"repo": REPO, "revision": "d" * 40, "filename": FILE}
    shelf.write(entry(NAME, DATA, hub=pinned))
    result = shelf.run("pull", NAME, endpoint=hub.url)
    assert_refused(shelf, result, f"no revision {'d' * 40}")


def test_no_network_fails_soon(shelf):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
    result = shelf.run("pull", NAME, "--hub-repo", REPO, endpoint=closed)
    assert_refused(shelf, result, closed, "cannot be reached")


def test_offline_variable_is_honoured(shelf, hub):
    assert_refused(shelf, pull(shelf, hub, HF_HUB_OFFLINE="1"), "offline mode")
    assert hub.seen == []


def test_two_processes_at_once(shelf, hub):
    # Long enough for both to have asked before either has the file.
    hub.delay = 1.0
    arguments = ("pull", NAME, "--hub-repo", REPO, "--quiet")
    both = [shelf.start(*arguments, endpoint=hub.url) for _ in range(2)]
    for process in both:
        assert_cached(shelf, finish(process))
    assert len(hub.requests("GET")) == 1


def test_unusable_cache_for_a_download(shelf, hub, tmp_path):
    result = pull(shelf, hub, DRCNET_CACHE=str(put(tmp_path / "a file", b"")))
    assert result.code == 3
    assert "cannot be used" in result.err
    assert "DRCNET_CACHE" in result.err
    assert "Traceback" not in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL there")
def test_a_killed_download_leaves_nothing_and_is_done_by_the_next(shelf, hub):
    hub.pace = 400_000  # bytes a second, of 300,000
    for count in (1, 2, 3):
        process = shelf.start("pull", NAME, "--hub-repo", REPO, endpoint=hub.url)
        deadline = time.monotonic() + 60
        while len(hub.requests("GET")) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        process.kill()
        process.communicate()
        assert not cached_path(only_checkpoint()).exists()
        # Those of the kills before are gone: the client never goes on with them.
        assert len(list(shelf.cache.rglob("*.incomplete"))) <= 1
    hub.pace = 0
    assert_cached(shelf, pull(shelf, hub))
    asked = len(hub.seen)
    assert_cached(shelf, pull(shelf, hub))
    assert len(hub.seen) == asked
