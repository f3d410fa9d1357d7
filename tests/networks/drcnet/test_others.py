"""What stands in the place of the DFR module: against slow plain references, and what it lacks."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from drcnet_cli.engines.onnx_model import build_onnx
from drcnet_cli.errors import UsageError
from drcnet_cli.networks import NETWORKS
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.drcnet import BLOCKS, DFR, DRCNetConfig
from drcnet_cli.networks.drcnet.condconv import CondConv
from drcnet_cli.networks.drcnet.ddf import DecoupledDynamicFilter
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.networks.drcnet.sact import SACT
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.setup import _network_config
from drcnet_cli.weights.manifest import _config

OTHERS = [block for block in BLOCKS if block != DFR]


def small_net(block: str, **changes) -> DRCNet:
    torch.manual_seed(0)
    return DRCNet(DRCNetConfig(**{"width": 4, "depth": 3, "block": block, **changes})).eval()


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_condconv_is_the_mixture_of_its_experts_results():
    torch.manual_seed(0)
    layer, x = CondConv(3, 5), torch.randn(2, 3, 6, 7)
    for picture, out in zip(x, layer(x), strict=True):
        expected = torch.zeros(5, 6, 7)
        for number, expert in enumerate(layer.experts):
            logit = layer.route.bias[number].item()
            for channel in range(3):
                mean = sum(picture[channel].flatten().tolist()) / 42
                logit += layer.route.weight[number, channel].item() * mean
            expected += sigmoid(logit) * expert(picture[None])[0]
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def normalised(filters: list[float]) -> list[float]:
    mean = sum(filters) / 9
    deviation = math.sqrt(sum((value - mean) ** 2 for value in filters) / 8)
    return [(value - mean) / deviation for value in filters]


def test_ddf_is_the_product_of_two_filters_at_each_value():
    torch.manual_seed(0)
    layer, x = DecoupledDynamicFilter(6), torch.randn(2, 6, 4, 5)
    with torch.no_grad():
        out, spatial = layer(x), layer.spatial(x)
        hidden = layer.squeeze(x.mean((2, 3))).clamp(min=0)
        channels = layer.channel(hidden).reshape(2, 6, 9)
    for n, c, row, column in [(0, 0, 0, 0), (0, 5, 3, 4), (1, 2, 1, 2), (1, 3, 0, 3), (0, 1, 2, 0)]:
        of_pixel = normalised(spatial[n, :, row, column].tolist())
        of_channel = normalised(channels[n, c].tolist())
        expected = 0.0
        for tap in range(9):
            y, z = row + tap // 3 - 1, column + tap % 3 - 1
            if 0 <= y < 4 and 0 <= z < 5:
                scale = math.sqrt(2) / 3 * layer.deviation[c, tap].item()
                expected += of_pixel[tap] * of_channel[tap] * scale * x[n, c, y, z].item()
        assert out[n, c, row, column].item() == pytest.approx(expected, abs=1e-5)


def sact_reference(block: SACT, x: Tensor) -> tuple[Tensor, set[int]]:
    """Go through the units pixel by pixel; also after which units pixels halted."""
    state = block.units[0](x)
    _, _, height, width = state.shape
    places = [(row, column) for row in range(height) for column in range(width)]
    total, out, halted = dict.fromkeys(places, 0.0), torch.zeros_like(state), {}
    for number in range(len(block.units)):
        last = number == len(block.units) - 1
        if number:
            added, state = block.units[number](state), state.clone()
            for row, column in places:
                if (row, column) not in halted:
                    state[:, :, row, column] += added[:, :, row, column]
        scores = None if last else block.scores[number]
        for row, column in places:
            if (row, column) in halted:
                continue
            score = 1.0
            if scores is not None:
                window = F.pad(state, (1, 1, 1, 1))[:, :, row : row + 3, column : column + 3]
                logit = (scores.local.weight * window).sum() + scores.local.bias
                logit = logit + (scores.whole.weight[0] * state[0].mean((1, 2))).sum()
                score = sigmoid(logit.item())
            halts = total[row, column] + score >= 0.99
            weight = 1 - total[row, column] if halts else score
            out[:, :, row, column] += weight * state[:, :, row, column]
            total[row, column] += weight
            if halts:
                halted[row, column] = number
    return out, set(halted.values())


def test_sact_stops_each_pixel_by_itself():
    torch.manual_seed(0)
    block, x = SACT(3, 4), 2 * torch.randn(1, 3, 5, 4)
    with torch.no_grad():
        for score in block.scores:
            score.local.bias.fill_(-0.5)
            score.local.weight.mul_(3)
        expected, stops = sact_reference(block, x)
        assert len(stops) > 2  # pixels halt at different units
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("block", OTHERS)
def test_another_block_trains_is_saved_and_restores(block, tmp_path):
    net = small_net(block)
    x = torch.rand(2, 3, 13, 18)
    for image in net(x, return_stages=True):
        image.square().mean().backward(retain_graph=True)
    for name, weight in net.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name
    with torch.inference_mode():
        alone = torch.cat([net(x[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(net(x), alone, atol=1e-5, rtol=0)  # whatever its batch mates
    info = CheckpointInfo(net.config, training_patch=16)
    save_checkpoint(tmp_path / "net.safetensors", net.state_dict(), info, dtype=torch.float32)
    loaded, info = load_checkpoint(tmp_path / "net.safetensors")
    assert info.config == net.config and block in net.config.summary
    restorer = Restorer(loaded, info, device=torch.device("cpu"), dtype=torch.float32)
    with torch.inference_mode():  # the quick form for CPUs is the network itself
        torch.testing.assert_close(restorer.compute(x, torch.float32), net(x), atol=1e-5, rtol=0)
        torch.testing.assert_close(restorer.compute(x, torch.bfloat16), net(x), atol=0.1, rtol=0)


@pytest.mark.parametrize("block", OTHERS)
def test_features_of_another_block_are_limited(block):
    net = small_net(block, feature_limit=1)
    x = 100 * torch.randn(1, 4, 8, 8)
    assert net.encoder1.blocks[0](x).abs().max() == 1


def test_what_another_block_lacks_is_one_sentence():
    net = small_net("res")
    with pytest.raises(UsageError, match="whose block is res has no ONNX form"):
        build_onnx(net, CheckpointInfo(net.config))
    grow = NETWORKS["drcnet"].grow
    with pytest.raises(UsageError, match="whose block is res cannot grow"):
        grow(net, 8, 0)


def test_dfr_needs_no_mention_and_any_other_does():
    assert "block" not in DRCNetConfig().to_dict()
    values = DRCNetConfig(block="ddf").to_dict()
    assert values["block"] == "ddf" and DRCNetConfig.from_dict(values).block == "ddf"
    assert _config("drcnet", values, "here") == values  # of a manifest


def test_training_takes_a_block_by_its_name():
    drcnet = NETWORKS["drcnet"]
    shape = _network_config(TrainConfig(set=("block=sact",)), drcnet)
    assert isinstance(shape, DRCNetConfig) and shape.block == "sact"
    with pytest.raises(UsageError, match="block 'resblock' is not one of dfr, res, sact"):
        _network_config(TrainConfig(set=("block=resblock",)), drcnet)
    with pytest.raises(UsageError, match="--set cannot be"):
        _network_config(TrainConfig(set=("block=",)), drcnet)


def test_sizes_beside_the_papers():
    sizes = {}
    for block in BLOCKS:
        with torch.device("meta"):
            net = DRCNet(DRCNetConfig(block=block))
        sizes[block] = round(sum(weight.numel() for weight in net.parameters()) / 1e6, 1)
    # The paper's, of all but res: 18.9, 103.1, 165.7, 87.4 M.
    assert sizes == {"dfr": 19.0, "res": 22.1, "sact": 97.4, "condconv": 163.7, "ddf": 16.6}
