"""weights.json: the schema and the typed reader agree, and both refuse what is wrong."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.errors import UsageError, WeightsError
from drcnet_cli.networks import NETWORKS
from drcnet_cli.tasks import TASKS
from drcnet_cli.weights import manifest as module
from drcnet_cli.weights.manifest import load_manifest, parse_manifest

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "drcnet_cli/weights/schema.json").read_text(encoding="utf-8"))
DOCUMENT = json.loads((ROOT / "weights.json").read_text(encoding="utf-8"))

HUB = {"repo": "someone/checkpoints", "revision": "a" * 40, "filename": "x.safetensors"}
SCORE = {"dataset": "D", "metric": "PSNR", "value": 30, "input_value": None, "command": "c"}


def entry(**changes):
    """One valid checkpoint, changed."""
    config = {
        "width": 16,
        "depth": 4,
        "threshold": 0.75,
        "delta": 1e-6,
        "filter_levels": [0, 1, 2, 3],
        "spatial_filter": True,
        "energy_attention": True,
        "identity_branch": True,
    }
    return {
        "name": "drcnet-s-derain",
        "task": "derain",
        "config": config,
        "file": "drcnet-s-derain.safetensors",
        "bytes": 10,
        "sha256": "0" * 64,
        "training_patch": 64,
        "training_data": "data",
        "training_recipe": "recipe",
        "licence": "licence",
        "default": True,
        "scores": [SCORE],
        "bundled": False,
        "hub": HUB,
    } | changes


def document(*entries):
    return {"schema_version": 1, "checkpoints": list(entries)}


def is_schema_valid(value):
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(value)


def test_own_manifest_follows_the_schema_and_loads():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(DOCUMENT, SCHEMA)
    manifest = load_manifest(ROOT / "weights.json")
    assert list(manifest.names) == [item["name"] for item in DOCUMENT["checkpoints"]]
    assert {"drcnet-s-denoise", "drcnet-s-derain"} <= set(manifest.names)


def test_values_arrive_typed():
    manifest = parse_manifest(document(entry()), Path("weights.json"))
    checkpoint = manifest.checkpoints[0]
    assert checkpoint.config["filter_levels"] == [0, 1, 2, 3]
    assert checkpoint.scores[0].value == 30.0
    assert checkpoint.scores[0].input_value is None
    assert checkpoint.hub is not None
    assert checkpoint.hub.revision == "a" * 40
    assert manifest.by_sha256("0" * 64) is checkpoint
    assert manifest.by_sha256("1" * 64) is None


WRONG = [
    ("name", "No Capitals"),
    ("name", "slash/name"),
    ("task", "defrost"),
    ("file", "../outside.safetensors"),
    ("file", "/etc/outside.safetensors"),
    ("file", "folder\\outside.safetensors"),
    ("file", ".hidden.safetensors"),
    ("file", "x" * 120 + ".safetensors"),
    ("name", "x" * 101),
    ("bytes", 2**36 + 1),
    ("training_patch", 65537),
    ("file", "pickle.pth"),
    ("bytes", 0),
    ("bytes", "10"),
    ("bytes", True),
    ("sha256", "0" * 63),
    ("sha256", "A" * 64),
    ("training_patch", 0),
    ("training_data", " "),
    ("licence", ""),
    ("default", "yes"),
    ("bundled", None),
    ("scores", {}),
    ("scores", [{"dataset": "D"}]),
    ("scores", [SCORE | {"value": "high"}]),
    ("config", {"width": 16}),
    ("config", entry()["config"] | {"filter_levels": [-1]}),
    ("config", entry()["config"] | {"identity_branch": 1}),
    ("config", entry()["config"] | {"widht": 16}),
    ("hub", {"repo": "someone/checkpoints"}),
    ("hub", HUB | {"revision": "main"}),
    ("hub", HUB | {"repo": "nobody"}),
    ("hub", HUB | {"filename": "a/../../b.safetensors"}),
    ("extra", 1),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_schema_and_reader_refuse_the_same(key, value):
    assert is_schema_valid(document(entry()))
    broken = document(entry(**{key: value}))
    assert not is_schema_valid(broken)
    with pytest.raises(WeightsError, match=r"weights\.json, checkpoint 1") as caught:
        parse_manifest(broken, Path("weights.json"))
    assert key in caught.value.message


@pytest.mark.parametrize(
    "place", ["", "checkpoints.0", "checkpoints.0.config", "checkpoints.0.scores.0",
              "checkpoints.0.hub"]
)  # fmt: skip
def test_a_field_that_nobody_knows_is_named(place):
    value = copy.deepcopy(document(entry()))
    inner = value
    for step in filter(None, place.split(".")):
        inner = inner[int(step)] if step.isdigit() else inner[step]
    inner["licnce"] = "a typing slip"
    assert not is_schema_valid(value)
    with pytest.raises(WeightsError, match="unknown field 'licnce'"):
        parse_manifest(value, Path("weights.json"))


@pytest.mark.parametrize(
    ("key", "smallest"), [("bytes", 1), ("training_patch", 8), ("width", 2), ("depth", 1)]
)
def test_the_smallest_number_is_allowed_and_none_below(key, smallest):
    def changed(value):
        config = entry()["config"]
        return document(
            entry(**({"config": config | {key: value}} if key in config else {key: value}))
        )

    assert is_schema_valid(changed(smallest))
    parse_manifest(changed(smallest), Path("weights.json"))
    with pytest.raises(WeightsError, match=f"{key} must be a whole number of at least {smallest} "):
        parse_manifest(changed(smallest - 1), Path("weights.json"))


AIRNET = {
    "features": 24, "groups": 2, "blocks": 3, "encoder_widths": [16, 32, 64], "deformable": True,
    "modulation": True, "shrink": 2, "input_skip": True,
}  # fmt: skip


def test_another_networks_entry_has_its_own_configuration():
    value = document(entry(arch="airnet", config=AIRNET))
    jsonschema.validate(value, SCHEMA)
    (checkpoint,) = parse_manifest(value, Path("weights.json")).checkpoints
    assert (checkpoint.arch, checkpoint.config) == ("airnet", AIRNET)
    for same in (document(entry()), document(entry(arch="drcnet"))):
        assert is_schema_valid(same)
        assert parse_manifest(same, Path("w")).checkpoints[0].arch == "drcnet"


@pytest.mark.parametrize(
    ("arch", "config"),
    [
        ("unet", AIRNET),
        (["airnet"], AIRNET),
        (None, AIRNET),
        ("drcnet", AIRNET),
        ("airnet", entry()["config"]),
        ("airnet", {}),
        ("airnet", AIRNET | {"features": 0}),
        ("airnet", AIRNET | {"features": "24"}),
        ("airnet", AIRNET | {"deformable": 1}),
        ("airnet", AIRNET | {"encoder_widths": [16, "32", 64]}),
        ("airnet", AIRNET | {"width": 16}),
    ],
)
def test_schema_and_reader_refuse_the_same_of_another_network(arch, config):
    value = document(entry(arch=arch, config=config))
    assert not is_schema_valid(value)
    with pytest.raises(WeightsError, match=r"weights\.json, checkpoint 1"):
        parse_manifest(value, Path("weights.json"))


def test_the_schema_knows_the_networks_and_tasks_that_there_are():
    properties = SCHEMA["$defs"]["checkpoint"]["properties"]
    assert properties["arch"]["enum"] == list(NETWORKS)
    assert properties["task"]["enum"] == list(TASKS)


def test_the_second_entry_is_called_the_second():
    second = entry(name="b", file="b.safetensors", sha256="1" * 64, default=False)
    broken = [SCORE, SCORE | {"value": "high"}]
    with pytest.raises(WeightsError, match=r"checkpoint 2 \(b\), scores, item 2: value"):
        parse_manifest(document(entry(), second | {"scores": broken}), Path("w"))
    with pytest.raises(WeightsError, match="checkpoint 2: name"):
        parse_manifest(document(entry(), second | {"name": ""}), Path("w"))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=4,
)


@settings(deadline=None, max_examples=200)
@given(key=st.sampled_from(sorted(entry())), value=JSON_VALUES)
def test_reader_is_at_least_as_strict_as_the_schema(key, value):
    changed = document(entry(**{key: value}))
    try:
        parse_manifest(changed, Path("weights.json"))
    except WeightsError:
        return
    jsonschema.validate(changed, SCHEMA)


@pytest.mark.parametrize("key", sorted(entry()))
def test_each_field_is_required(key):
    lacking = entry()
    del lacking[key]
    assert not is_schema_valid(document(lacking))
    with pytest.raises(WeightsError, match=f"{key} must be"):
        parse_manifest(document(lacking), Path("weights.json"))


@pytest.mark.parametrize(
    "value", [[], {}, {"schema_version": 2, "checkpoints": []}, {"schema_version": 1}]
)
def test_wrong_outer_shape(value):
    assert not is_schema_valid(value)
    with pytest.raises(WeightsError):
        parse_manifest(value, Path("weights.json"))


def test_names_files_and_hashes_are_unique():
    first = entry()
    other = {"name": "b", "file": "b.safetensors", "sha256": "1" * 64, "default": False}
    parse_manifest(document(first, entry(**other)), Path("w"))
    for key in ("name", "file", "sha256"):
        with pytest.raises(WeightsError, match=f"same {key}"):
            parse_manifest(document(first, entry(**(other | {key: first[key]}))), Path("w"))


@pytest.mark.parametrize("defaults", [(True, True), (False, False)])
def test_one_default_per_task(defaults):
    entries = [
        entry(name=f"c{i}", file=f"c{i}.safetensors", sha256=str(i) * 64, default=default)
        for i, default in enumerate(defaults)
    ]
    with pytest.raises(WeightsError, match="exactly one default"):
        parse_manifest(document(*entries), Path("w"))


def test_a_name_finds_its_checkpoint():
    names = ["drcnet-s-a1", "drcnet-s-a2", "drcnet-s-a3"]
    entries = [
        entry(name=name, file=f"{name}.safetensors", sha256=str(i) * 64, default=not i)
        for i, name in enumerate(names)
    ]
    manifest = parse_manifest(document(*entries), Path("w"))
    assert [manifest.by_name(name).name for name in names] == names == list(manifest.names)
    # Two guesses help, three are a list.
    with pytest.raises(WeightsError, match=r"Did you mean \S+ or \S+\?") as caught:
        manifest.by_name("drcnet-s-a4")
    assert caught.value.message.count("drcnet-s-a") == 3


def test_unknown_name_suggests_and_lists():
    manifest = parse_manifest(document(entry()), Path("w"))
    with pytest.raises(WeightsError, match="Did you mean drcnet-s-derain") as caught:
        manifest.by_name("drcnet-s-drain")
    assert "drcnet-s-derain" in caught.value.hint
    assert caught.value.exit_code == 3
    with pytest.raises(WeightsError) as caught:
        manifest.by_name("zzz")
    assert "Did you mean" not in caught.value.message
    assert "drcnet-s-derain" in caught.value.hint


def test_task_without_checkpoint_says_how_to_give_one():
    manifest = parse_manifest(document(entry()), Path("w"))
    assert manifest.default_for("derain").name == "drcnet-s-derain"
    with pytest.raises(WeightsError, match=r"deblur is bundled") as caught:
        manifest.default_for("deblur")
    assert "--weights FILE" in caught.value.hint
    with pytest.raises(UsageError, match="no task 'defrost'"):
        manifest.default_for("defrost")


def test_an_effort_finds_its_checkpoint():
    big = entry(name="big", file="big.safetensors", sha256="b" * 64, default=False, effort="best")
    manifest = parse_manifest(document(big, entry()), Path("w"))
    assert manifest.with_effort("derain", "best").name == "big"
    assert manifest.with_effort("derain", "fast").name == entry()["name"]
    with pytest.raises(UsageError, match="no effort 'most'"):
        manifest.with_effort("derain", "most")
    with pytest.raises(UsageError, match="no task 'repaint'"):
        manifest.with_effort("repaint", "best")
    alone = parse_manifest(document(entry()), Path("w"))
    with pytest.raises(WeightsError, match="no best checkpoint for derain") as caught:
        alone.with_effort("derain", "best")
    assert "--effort" in caught.value.hint


@pytest.mark.parametrize("effort", ["most", "", None, 1, ["best"]])
def test_unknown_efforts_are_refused(effort):
    value = document(entry(effort=effort))
    assert not is_schema_valid(value)
    with pytest.raises(WeightsError, match="effort must be one of fast, best"):
        parse_manifest(value, Path("w"))


def limits(value):
    return document(entry(config=entry()["config"] | {"feature_limit": value}))


@pytest.mark.parametrize("value", [64, 64.5, [8, 128, 1024, 4096]])
def test_limits_on_features_are_read(value):
    assert is_schema_valid(limits(value))
    assert parse_manifest(limits(value), Path("w")).checkpoints[0].config["feature_limit"] == value


@pytest.mark.parametrize("value", ["64", None, [8, 0.5], [-8], [True]])
def test_limits_on_features_that_are_none_are_refused(value):
    assert not is_schema_valid(limits(value))
    with pytest.raises(WeightsError, match="feature_limit must be"):
        parse_manifest(limits(value), Path("w"))


def test_a_block_is_a_word():
    for value, fine in (("res", True), (3, False), ("", False)):
        entries = document(entry(config=entry()["config"] | {"block": value}))
        assert is_schema_valid(entries) == fine
        if fine:
            assert parse_manifest(entries, Path("w")).checkpoints[0].config["block"] == value
            continue
        with pytest.raises(WeightsError, match="block must be"):
            parse_manifest(entries, Path("w"))


def test_packaged_manifest_goes_before_the_source_tree(tmp_path, monkeypatch):
    packaged = tmp_path / "weights.json"
    monkeypatch.setattr(module, "PACKAGED_MANIFEST", packaged)
    assert load_manifest().path == ROOT / "weights.json"
    packaged.write_text(json.dumps(document(entry())), encoding="utf-8")
    assert load_manifest().path == packaged
    monkeypatch.setattr(module, "PACKAGED_MANIFEST", tmp_path / "none")
    monkeypatch.setattr(module, "SOURCE_MANIFEST", tmp_path / "neither")
    with pytest.raises(WeightsError, match="does not exist"):
        load_manifest()


def test_unreadable_json_names_the_file(tmp_path):
    path = tmp_path / "weights.json"
    path.write_text('{"schema_version": 1,', encoding="utf-8")
    with pytest.raises(WeightsError, match="cannot be read") as caught:
        load_manifest(path)
    assert str(path) in caught.value.message


def test_reading_changes_nothing():
    value = document(entry())
    before = copy.deepcopy(value)
    parse_manifest(value, Path("w"))
    assert value == before
