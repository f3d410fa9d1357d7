"""Publishing: the real hub client uploads to a local hub; a download from there then succeeds."""

import hashlib
import json

import pytest
from hub_server import COMMIT, REPO, HubServer, committed_files
from weights_helpers import Shelf, content, entry

from drcnet_cli.weights.manifest import load_manifest
from drcnet_cli.weights.publish import model_card
from drcnet_cli.weights.store import cached_path

BUNDLED, LARGE = content("bundled", 100_000), content("large", 200_000)


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """Two checkpoints on this machine: one bundled, one in the cache."""
    shelf = Shelf(tmp_path)
    monkeypatch.setenv("DRCNET_CACHE", str(shelf.cache))
    manifest = shelf.write(
        entry("drcnet-a", BUNDLED, bundled=True), entry("drcnet-b", LARGE, default=False)
    )
    shelf.bundled.mkdir()
    (shelf.bundled / "drcnet-a.safetensors").write_bytes(BUNDLED)
    shelf.cache.mkdir()
    cached_path(manifest.by_name("drcnet-b")).write_bytes(LARGE)
    return shelf


@pytest.fixture
def hub():
    with HubServer() as server:
        yield server


def test_published_files_can_be_pulled_by_the_printed_entries(shelf, hub):
    result = shelf.run(
        "publish", REPO, "--private", "--json", endpoint=hub.url, HF_TOKEN="hf_write"
    )
    assert result.code == 0, result.err
    # Newer clients say "visibility", older ones "private".
    created = hub.created[0]
    assert created.get("visibility") == "private" or created.get("private") is True
    files = committed_files(hub)
    assert len(hub.commits) == 1
    assert set(files) == {
        "drcnet-a.safetensors",
        "drcnet-b.safetensors",
        "weights.json",
        "README.md",
    }
    assert files["drcnet-a.safetensors"] == BUNDLED
    assert files["drcnet-b.safetensors"] == LARGE
    assert files["weights.json"] == shelf.manifest_path.read_bytes()
    assert hashlib.sha256(LARGE).hexdigest() in files["README.md"].decode()

    report = json.loads(result.out)
    assert report["commit"] == COMMIT
    hub.files = files
    cached_path(load_manifest(shelf.manifest_path).by_name("drcnet-b")).unlink()
    source = report["hub"]["drcnet-b"]
    shelf.write(
        entry("drcnet-a", BUNDLED, bundled=True),
        entry("drcnet-b", LARGE, default=False, hub=source),
    )
    assert shelf.run("pull", "drcnet-b", endpoint=hub.url).code == 0


def test_plain_output_ends_with_the_commit(shelf, hub):
    result = shelf.run("publish", REPO, endpoint=hub.url, HF_TOKEN="hf_write")
    assert result.code == 0, result.err
    assert result.out.splitlines()[-1] == COMMIT
    assert "weights.json" in result.err


def test_dry_run_asks_nobody(shelf, hub):
    result = shelf.run("publish", REPO, "--dry-run", "--json", endpoint=hub.url)
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["commit"] is None
    assert report["files"]["drcnet-b.safetensors"] == len(LARGE)
    assert hub.seen == []


def test_damaged_file_is_not_uploaded(shelf, hub):
    (shelf.bundled / "drcnet-a.safetensors").write_bytes(BUNDLED[:-1])
    result = shelf.run("publish", REPO, endpoint=hub.url)
    assert result.code == 3
    assert "drcnet-a.safetensors" in result.err
    assert "drcnet weights import" in result.err
    assert hub.seen == []


def test_refused_upload_asks_for_a_token_that_may_write(shelf, hub):
    hub.fault = "forbidden"
    result = shelf.run("publish", REPO, endpoint=hub.url, HF_TOKEN="hf_read")
    assert result.code == 3
    assert "HTTP 403" in result.err
    assert "HF_TOKEN" in result.err
    assert "Traceback" not in result.err
    assert hub.commits == []


def test_wrong_repository_name_is_a_usage_error(shelf, hub):
    result = shelf.run("publish", "no-owner", endpoint=hub.url)
    assert result.code == 2
    assert "OWNER/NAME" in result.err


def test_model_card_states_licence_and_scores(shelf):
    score = {
        "dataset": "CBSD68",
        "metric": "PSNR",
        "value": 31.14,
        "input_value": 20.2,
        "command": "drcnet eval",
    }
    card = model_card(shelf.write(entry("drcnet-a", BUNDLED, licence="research", scores=[score])))
    assert card.startswith("---\nlicense: other\n")
    assert "* Licence: research" in card
    assert "| CBSD68 | PSNR | 20.2 | 31.14 | `drcnet eval` |" in card
