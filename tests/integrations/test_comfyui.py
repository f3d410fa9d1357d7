"""The node of ComfyUI, called as it calls it, without it: the same numbers as from Python."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import photograph

from drcnet_cli import load_model, restore_image
from drcnet_cli.errors import DrcnetError, UsageError
from drcnet_cli.tasks import TASKS

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui" / "__init__.py"
SPANDREL = "drcnet_cli.integrations.spandrel"


def load_node(name="comfyui_drcnet", **modules):
    """Load the folder as ComfyUI loads a custom node, where these modules are."""
    spec = importlib.util.spec_from_file_location(
        name, FOLDER, submodule_search_locations=[str(FOLDER.parent)]
    )
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, SPANDREL, modules.get("spandrel"))
        patch.setitem(sys.modules, "folder_paths", modules.get("folder_paths"))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def node():
    return load_node().NODE_CLASS_MAPPINGS["RestoreWithDrcnet"]


def call(node, image, **inputs):
    """Call the node with the defaults of its inputs, as a workflow does."""
    declared = node.INPUT_TYPES()["required"]
    given = {
        name: (kind[0] if isinstance(kind, list) else None)
        if "default" not in more
        else more["default"]
        for name, (kind, *rest) in declared.items()
        for more in [rest[0] if rest else {}]
        if name != "image"
    }
    return getattr(node(), node.FUNCTION)(image=image, **{**given, **inputs})[0]


def batch(count=2, height=45, width=61):
    pictures = [photograph(height, width, seed) for seed in range(count)]
    return torch.from_numpy(np.stack(pictures).astype(np.float32) / 255)


def by_api(image, model, **options):
    return np.stack([restore_image(picture, model=model, **options) for picture in image.numpy()])


def test_a_batch_of_odd_sizes_is_as_from_python(node, tiny_weights):
    image = batch()
    result = call(node, image, weights=str(tiny_weights), strength=0.5, tile="128", overlap=16)
    expected = by_api(image, tiny_weights, strength=0.5, tile=128, overlap=16)
    assert result.shape == image.shape and result.dtype == torch.float32
    assert np.array_equal(result.numpy(), expected)
    assert not np.array_equal(expected, image.numpy())


def test_a_task_takes_its_checkpoint(node):
    image = batch(1, 21, 19)
    assert np.array_equal(call(node, image).numpy(), by_api(image, "drcnet-s-denoise"))
    named = call(node, image, checkpoint="drcnet-s-derain", tile="whole picture")
    assert np.array_equal(named.numpy(), by_api(image, "drcnet-s-derain", tile=0))


def test_alpha_stays_and_the_input_too(node, tiny_weights):
    image = torch.cat([batch(), torch.rand(2, 45, 61, 1)], 3)
    before = image.clone()
    result = call(node, image, weights=str(tiny_weights))
    assert torch.equal(image, before) and torch.equal(result[..., 3], image[..., 3])
    assert torch.equal(result[..., :3], call(node, image[..., :3], weights=str(tiny_weights)))


def test_values_beyond_the_range_are_clipped(node, tiny_weights):
    image = batch() * 1.5 - 0.2
    clipped = call(node, image.clamp(0, 1), weights=str(tiny_weights))
    assert torch.equal(call(node, image, weights=str(tiny_weights)), clipped)


def test_a_mask_says_where_to_mend(node):
    image = batch(2, 40, 48)
    mask = torch.zeros(1, 40, 48)
    mask[:, 10:20, 10:20] = 1
    result = call(node, image, task="raindrop", mask=mask)
    restorer = load_model("spair-s-raindrop").restorer()
    told = (mask[0, ..., None].numpy() * 255).astype(np.uint8)
    expected = [restorer.restore_with_mask(picture, told)[0] for picture in image.numpy()]
    assert np.array_equal(result.numpy(), np.stack(expected))
    changed = (result != image).any(0).any(-1)
    assert changed[10:20, 10:20].any() and not changed[30:, 30:].any()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"task": "raindrop", "mask": torch.zeros(1, 8, 9)}, "mask is of 1 x 9 x 8 pixels, and"),
        ({"mask": torch.zeros(1, 45, 61)}, "does not tell where the damage is"),
        ({"weights": "no.safetensors"}, r"no\.safetensors"),
        ({"weights": str(FOLDER)}, "is not a"),
        ({"tile": "128", "overlap": 200}, "overlap"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(node, inputs, message):
    with pytest.raises(DrcnetError, match=message):
        call(node, batch(), **inputs)


def test_the_bar_moves_to_its_end(monkeypatch, node, tiny_weights):
    told = []

    class ProgressBar:
        def __init__(self, total):
            told.append((0, total))

        def update_absolute(self, value, total):
            told.append((value, total))

    utils = types.SimpleNamespace(ProgressBar=ProgressBar)
    monkeypatch.setitem(sys.modules, "comfy", types.SimpleNamespace(utils=utils))
    monkeypatch.setitem(sys.modules, "comfy.utils", utils)
    call(node, batch(3), weights=str(tiny_weights))
    values = [value for value, _ in told]
    assert values == sorted(values) and len(set(values)) >= 4 and told[-1] == (1000, 1000)


def test_inputs_are_declared_as_comfyui_reads_them(node):
    inputs = node.INPUT_TYPES()
    assert inputs["required"]["image"] == ("IMAGE",) and inputs["optional"]["mask"][0] == "MASK"
    assert inputs["required"]["task"][0] == list(TASKS)
    assert "spair-s-raindrop" in inputs["required"]["checkpoint"][0]
    assert (node.RETURN_TYPES, node.CATEGORY) == (("IMAGE",), "image/restoration")


def test_without_drcnet_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "drcnet_cli.errors", None)
    with pytest.raises(ImportError, match=f"{sys.executable} -m pip install drcnet"):
        load_node("alone")


def test_comfyuis_own_loader_knows_the_checkpoints_in_its_folder(tiny_weights):
    told = []

    def install(*checkpoints):
        if checkpoints and "other" in str(checkpoints[0]):
            raise UsageError("another program's")
        told.append(checkpoints)

    names = ["other.safetensors", "x.pth", "tiny.safetensors"]
    paths = types.SimpleNamespace(
        get_filename_list=lambda kind: names if kind == "upscale_models" else [],
        get_full_path=lambda kind, name: str(tiny_weights.with_name(name)),
    )
    load_node("again", spandrel=types.SimpleNamespace(install=install), folder_paths=paths)
    assert told == [(), (str(tiny_weights),)]
