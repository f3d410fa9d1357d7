"""FDR-Net's figure 8: the network's own features, distortions by level, and one picture."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training_helpers import photographs

from drcnet_cli.imageio.folder import read_rgb8
from drcnet_cli.networks.checkpoint import CheckpointInfo, save_checkpoint
from drcnet_cli.networks.fdrnet.config import FDRNetConfig
from drcnet_cli.networks.fdrnet.network import FDRNet

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import fdrnet_features as script  # noqa: E402


@pytest.fixture
def network():
    torch.manual_seed(0)
    return FDRNet(FDRNetConfig(channels=4, layers=2, phases=2, process_blocks=0, shrink=2)).eval()


@pytest.mark.parametrize("phase", [1, 2])
def test_features_are_those_that_the_network_computes(network, phase):
    image = np.random.default_rng(0).random((3, 12, 16), dtype=np.float32)
    before, after = script.disentangled(network, image, phase)
    with torch.inference_mode():
        found = network(torch.from_numpy(image)[None], return_features=True)[1]
    np.testing.assert_allclose(after, found[phase - 1][0].flatten(1).numpy(), atol=1e-5)
    assert before.shape == after.shape and not np.array_equal(before, after)


def test_distortions_grow_with_their_level():
    image = np.random.default_rng(0).random((3, 32, 32), dtype=np.float32)
    for kind in script.KINDS:
        changes = [
            np.abs(script.distort(image, kind, level, np.random.default_rng(0)) - image).mean()
            for level in (1, 5, 9)
        ]
        assert changes == sorted(changes) and changes[0] > 0, kind


def test_kinds_with_channels_of_their_own_are_told_from_kinds_that_share_them():
    strength = np.arange(1, 4, dtype=np.float32)[:, None]
    own = [strength * np.eye(3, 6, dtype=np.float32)[i] for i in range(3)]
    within, across = script.alike(own)
    assert within == pytest.approx(1) and across < 0
    assert script.alike([own[0]] * 3) == pytest.approx((1, 1))


def test_one_picture_is_drawn_and_the_figures_are_printed(network, tmp_path, monkeypatch, capsys):
    weights, out = tmp_path / "tiny.safetensors", tmp_path / "figure.png"
    save_checkpoint(weights, network.state_dict(), CheckpointInfo(network.config, arch="fdrnet"))
    clean = photographs(tmp_path / "clean", 2)
    call = ["script", str(clean), "--weights", str(weights), "--out", str(out), "--side", "33"]
    monkeypatch.setattr(sys, "argv", call)
    script.main()
    assert "before FDM" in capsys.readouterr().out
    shown = read_rgb8(out)
    assert shown.shape[1] > script.WIDTH and len(np.unique(shown)) > 20
    monkeypatch.setattr(sys, "argv", [*call, "--phase", "3"])
    with pytest.raises(SystemExit, match="phases 1 to 2"):
        script.main()
