"""Conversion of the released code's checkpoints, and what it refuses."""

import os
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from drcnet_cli.cli.convert import convert
from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.networks.checkpoint import load_checkpoint, read_info
from drcnet_cli.networks.convert import convert_file, read_released
from drcnet_cli.networks.drcnet.released import convert_state, sniff_size

GOLDEN = Path(__file__).parents[2] / "golden" / "drcnet_wf8_depth4_sf2-3.pth"


@pytest.fixture(scope="module")
def released():
    return read_released(GOLDEN)


def save(content, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_size_is_read_from_the_tensors(released):
    assert sniff_size(released) == (8, 4)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"params": state},
        lambda state: {"params_ema": state, "params": {"other": torch.zeros(1)}},
        lambda state: {"state_dict": state},
        lambda state: {"params": {f"module.{name}": value for name, value in state.items()}},
    ],
    ids=["bare", "params", "ema first", "state_dict", "module prefix"],
)
def test_known_containers_are_read(released, wrap, tmp_path):
    found = read_released(save(wrap(released), tmp_path / "x.pth"))
    assert found.keys() == released.keys()
    assert all(torch.equal(found[name], released[name]) for name in released)


def test_unused_normalisation_weights_are_dropped(released):
    config, state = convert_state(released, filter_levels=(2, 3))
    assert config.filter_levels == (2, 3)
    kept = {name for name in state if ".norm." in name}
    assert {name.split(".")[2] for name in kept} == {"2", "3"}


def test_levels_beyond_the_depth_are_clipped(released):
    assert convert_state(released, filter_levels=(0, 4))[0].filter_levels == (0, 1, 2, 3)


def test_a_converted_file_loads_with_its_provenance(tmp_path):
    out = tmp_path / "net.safetensors"
    convert_file(GOLDEN, out, task="derain", training_patch=96, provenance={"licence": "MIT"})
    net, info = load_checkpoint(out)
    assert (info.name, info.task, info.training_patch) == ("net", "derain", 96)
    assert info.provenance["licence"] == "MIT"
    assert info.provenance["converted_from"] == GOLDEN.name
    assert len(info.provenance["source_sha256"]) == 64
    assert (net.config.threshold, net.config.delta) == (0.8, 1e-4)


def test_float16_on_disk_is_half_the_size(tmp_path):
    convert_file(GOLDEN, tmp_path / "half.safetensors", half=True)
    convert_file(GOLDEN, tmp_path / "full.safetensors")
    half, full = (tmp_path / f"{name}.safetensors" for name in ("half", "full"))
    assert half.stat().st_size < 0.6 * full.stat().st_size


class Evil:
    """Leaves a file behind if a pickle of it is executed."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_code_in_a_pickle_is_not_executed(tmp_path):
    marker = tmp_path / "executed"
    path = save({"params": Evil(marker)}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointFormatError, match="evil.pth"):
        read_released(path)
    assert not marker.exists()


def broken(kind: str, released, path: Path) -> Path:
    whole = GOLDEN.read_bytes()
    state = dict(released)
    if kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "a list":
        save([torch.zeros(1)], path)
    elif kind == "another network":
        save({"params": {"conv.weight": torch.zeros(3)}}, path)
    elif kind == "a missing tensor":
        del state["last.bias"]
        save({"params": state}, path)
    elif kind == "an extra tensor":
        save({"params": {**state, "extra.weight": torch.zeros(3)}}, path)
    elif kind == "a wrong shape":
        save({"params": {**state, "last.bias": torch.zeros(4)}}, path)
    elif kind == "NaN":
        save({"params": {**state, "last.bias": torch.full((3,), torch.nan)}}, path)
    return path


@pytest.mark.parametrize(
    "kind",
    ["text", "empty", "truncated", "a list", "another network", "a missing tensor",
     "an extra tensor", "a wrong shape", "NaN", "no file"],
)  # fmt: skip
def test_anything_else_is_refused_and_nothing_written(kind, released, tmp_path):
    source = broken(kind, released, tmp_path / "in.pth")
    out = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointFormatError) as caught:
        convert_file(source, out)
    assert caught.value.exit_code == 3
    assert [path.name for path in tmp_path.iterdir() if path != source] == []


def test_an_output_is_not_replaced_unasked(tmp_path):
    out = tmp_path / "out.safetensors"
    out.write_text("precious")
    with pytest.raises(UsageError, match="overwrite"):
        convert_file(GOLDEN, out)
    assert out.read_text() == "precious"
    convert_file(GOLDEN, out, overwrite=True)
    assert read_info(out).config.width == 8


def test_a_refusal_names_the_file(released, tmp_path):
    source = broken("another network", released, tmp_path / "in.pth")
    with pytest.raises(CheckpointFormatError, match=r"in\.pth"):
        convert_file(source, tmp_path / "out.safetensors")


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        convert_file(GOLDEN, tmp_path / "file" / "out.safetensors")


def test_a_patch_that_could_not_be_loaded_is_not_written(tmp_path):
    out = tmp_path / "out.safetensors"
    with pytest.raises(CheckpointFormatError, match="training_patch"):
        convert_file(GOLDEN, out, training_patch=4)
    assert not out.exists()


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"out\.safetensors"):
        convert_file(GOLDEN, tmp_path / "out.pth")


def run_convert(*arguments):
    app = typer.Typer()
    app.command()(convert)
    return CliRunner().invoke(app, [str(GOLDEN), *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--filter-levels", "3"), "cannot be '3'"),
        (("--filter-levels", "3:2"), "cannot be '3:2'"),
        (("--filter-levels", "a:b"), "cannot be 'a:b'"),
        (("--provenance", "licence"), "needs KEY=TEXT"),
        (("--provenance", "=MIT"), "needs KEY=TEXT"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_is_written(
    arguments, said, tmp_path
):
    result = run_convert(tmp_path / "net.safetensors", *arguments)
    assert isinstance(result.exception, UsageError)
    assert said in result.exception.message
    assert list(tmp_path.iterdir()) == []


def test_facts_and_precision_reach_the_file(tmp_path):
    target = tmp_path / "net.safetensors"
    result = run_convert(target, "--provenance", "licence=MIT = free")
    assert result.exit_code == 0, result.output
    assert f"Wrote {target}: width 8, depth 4." in result.output
    assert read_info(target).provenance["licence"] == "MIT = free"
    half = tmp_path / "half.safetensors"
    assert run_convert(half, "--half").exit_code == 0
    assert half.stat().st_size < 0.6 * target.stat().st_size
