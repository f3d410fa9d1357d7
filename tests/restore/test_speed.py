"""`drcnet benchmark`: what it counts, reports and refuses; no test says how many seconds."""

import json

import pytest
import torch

from drcnet_cli.api import load_model
from drcnet_cli.errors import ImageError
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.speed import PICTURE_MEGAPIXELS, PICTURES, count_flops, folder_speed


def test_json_has_every_figure_and_they_agree(drcnet, tiny_weights):
    done = drcnet("benchmark", "--weights", tiny_weights, "--seconds", 0, "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert (report["model"], report["device"]) == ("tiny", "cpu")
    assert [speed["side"] for speed in report["network"]] == [256, 64]
    for speed in report["network"]:
        assert speed["turns"] >= 3
        pixels = speed["batch"] * speed["side"] ** 2
        assert speed["megapixels_per_second"] == pytest.approx(pixels / speed["seconds"] / 1e6)
        assert 0 < speed["ceiling_share"] < 1
        assert speed["ceiling_gflops_per_second"] > speed["gflops_per_second"] > 0
    folder = report["restore"]
    assert folder["pictures"] >= PICTURES[0]
    assert folder["megapixels"] >= PICTURES[0] * PICTURE_MEGAPIXELS[0] * 0.9
    assert report["peak_megabytes"] > 50


def test_lines_for_people(drcnet, tiny_weights, tmp_path):
    options = ("--weights", tiny_weights, "--seconds", 0, "--dtype", "float32")
    done = drcnet("benchmark", *options)
    assert done.returncode == 0, done.stderr
    first, *_, folder, memory = done.stdout.splitlines()
    assert first.startswith("tiny: cpu, float32, ")
    assert folder.startswith("restore ")
    assert memory.startswith("peak memory ")
    assert "Measuring" in done.stderr
    assert not list(tmp_path.glob("*.jpg"))


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--device", "tpu"), 2),
        (("--task", "defog"), 2),
        (("--seconds", "-1"), 2),
        (("--model", "no-such-model"), 3),
    ],
)
def test_exit_codes(drcnet, options, code):
    done = drcnet("benchmark", *options)
    assert done.returncode == code
    assert done.stdout == ""


@pytest.mark.parametrize(("width", "gmacs"), [(64, 114.4), (16, 7.3)])
def test_operations_are_the_papers(width, gmacs):
    flops = count_flops(DRCNet(DRCNetConfig(width=width)), 8, 256)
    assert flops / 2e9 == pytest.approx(gmacs, rel=0.005)


def test_a_failed_picture_is_no_figure(tiny_weights):
    _, info = load_checkpoint(tiny_weights)
    broken = load_model(tiny_weights, "cpu").network
    with torch.no_grad():
        broken.to_residual.weight.fill_(float("nan"))
    restorer = Restorer(broken, info, device=torch.device("cpu"))
    with pytest.raises(ImageError, match="no picture's"):
        folder_speed(restorer, 0.01)
