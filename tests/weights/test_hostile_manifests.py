"""Manifests as they might come from anywhere: refused in one sentence, or harmless."""

import json
import random
from pathlib import Path

import pytest
from campaign import hostile_files as hostile

from drcnet_cli import settings
from drcnet_cli.errors import WeightsError
from drcnet_cli.text import shorten
from drcnet_cli.weights.manifest import load_manifest
from drcnet_cli.weights.store import BUNDLED_DIR, bundled_path, cached_path

OWN = json.loads((Path(__file__).parents[2] / "weights.json").read_text(encoding="utf-8"))
HUB = {"repo": "someone/checkpoints", "revision": "a" * 40, "filename": "x.safetensors"}


@pytest.fixture
def read(tmp_path):
    """Return a function that reads a manifest given as text, bytes or JSON value."""

    def read(content):
        text = content if isinstance(content, (str, bytes)) else json.dumps(content)
        path = tmp_path / "weights.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
        return load_manifest(path)

    return read


def changed(**values):
    document = json.loads(json.dumps(OWN))
    document["checkpoints"][0] |= values
    return document


OUTSIDE = [
    "../../x.safetensors", "/etc/x.safetensors", "..\\x.safetensors", "C:\\x.safetensors",
    "a/b.safetensors", "a\0.safetensors", "a.safetensors\n", "..safetensors", ".safetensors",
    "a" * 300 + ".safetensors", "~/x.safetensors", "x.safetensors/..", "x.safetensors:stream",
    "-\u202egnp.safetensors", "ｅ.safetensors", "",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_file_name_stays_a_file_name(read, name):
    for document in (changed(file=name), changed(hub=HUB | {"filename": name})):
        with pytest.raises(WeightsError, match="a plain file name"):
            read(document)


@pytest.mark.parametrize(
    "repo", ["../..", "a/b/c", "a", "https://x/y", "a/..", "a\n/b", "/b", "a/"]
)
def test_a_repository_stays_a_repository(read, repo):
    with pytest.raises(WeightsError, match="owner/name"):
        read(changed(hub=HUB | {"repo": repo}))


@pytest.mark.parametrize("size", [-1, 0, 2**36 + 1, 10**30, 1e9, "1", None, [1], True])
def test_sizes_that_cannot_be(read, size):
    with pytest.raises(WeightsError, match="bytes must be a whole number of at least 1 and"):
        read(changed(bytes=size))
    assert read(changed(bytes=2**36)).checkpoints[0].bytes == 2**36


@pytest.mark.parametrize("patch", [7, 65537, 10**30])
def test_patches_that_cannot_be(read, patch):
    with pytest.raises(WeightsError, match="training_patch"):
        read(changed(training_patch=patch))
    for good in (8, 65536):
        assert read(changed(training_patch=good)).checkpoints[0].training_patch == good


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, True, "1"])
def test_numbers_that_are_none(read, value):
    score = {"dataset": "d", "metric": "m", "value": value, "input_value": None, "command": "c"}
    with pytest.raises(WeightsError, match="value must be a number"):
        read(changed(scores=[score]))
    config = OWN["checkpoints"][0]["config"] | {"threshold": value}
    with pytest.raises(WeightsError, match="threshold must be a number"):
        read(changed(config=config))


@pytest.mark.parametrize("text", ["\x1b[2J", "a\0", "\ud800", "\u202eabc", "x" * 10_001, "\x9b2J"])
def test_texts_that_would_act_on_a_terminal(read, text):
    for name in ("licence", "training_data", "training_recipe"):
        with pytest.raises(WeightsError, match=f"{name} must be text"):
            read(changed(**{name: text}))
    assert read(changed(licence="Größe\nzwei")).checkpoints[0].licence == "Größe\nzwei"


@pytest.mark.parametrize(
    "content",
    [
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"schema_version": ' + "1" * 5000 + "}",
        b"\xff\xfe{\x00}\x00",
        b"",
        b"\0" * 1000,
        json.dumps(OWN)[:-1] + ', "checkpoints": []}',
        json.dumps(OWN).replace('"name":', '"name": "x", "name":', 1),
    ],
    ids=["deep list", "deep object", "long number", "utf-16", "empty", "zeros", "key twice",
         "inner key twice"],
)  # fmt: skip
def test_what_is_no_manifest_at_all(read, content):
    with pytest.raises(WeightsError, match="cannot be read") as caught:
        read(content)
    assert "weights.json" in caught.value.message


def test_errors_stay_short_and_printable(read):
    for document in (changed(**{"\x1b" * 10**5: 1}), changed(name="a" * 10**6),
                     changed(file=["x"] * 10**5), [1] * 10**5):  # fmt: skip
        with pytest.raises(WeightsError) as caught:
            read(document)
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 300


@pytest.mark.parametrize("block", range(4))
def test_random_changes_are_refused_or_harmless(read, block):
    for number in range(block * 50, block * 50 + 50):
        text = hostile.odd_json(OWN, random.Random(number))
        try:
            manifest = read(text)
        except WeightsError as error:
            assert error.message.isprintable(), number
            assert error.exit_code == 3
            continue
        for item in manifest.checkpoints:
            assert cached_path(item).resolve().parent == settings.cache_dir().resolve()
            assert bundled_path(item).resolve().parent == BUNDLED_DIR.resolve()


def test_brief_never_fails_and_never_grows():
    loop: list = []
    loop.append(loop)
    for value in ("x" * 10**7, "\x1b\n\ud800", 10**5000, -(10**5000), loop, {"a": [1] * 10**5},
                  b"\0" * 10**6, float("nan"), tuple(range(10**5))):  # fmt: skip
        assert len(shorten(value)) < 120
        assert shorten(value).isprintable()
    assert shorten("short") == "'short'"
    assert shorten(-12) == "-12"
