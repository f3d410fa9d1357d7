"""FDR-Net: normalisation against plain loops, its inverse, sizes, number types, configuration."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.fdrnet.config import FDRNetConfig
from drcnet_cli.networks.fdrnet.network import LEAST_OFFSET, DivisiveNorm, FDRNet

TINY = {"channels": 6, "layers": 2, "phases": 2, "process_blocks": 1, "auxiliary_blocks": 1}
HALVES = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])


def network(seed=0, **changes):
    torch.manual_seed(seed)
    return FDRNet(FDRNetConfig(**{**TINY, **changes})).eval()


def norm(channels=4, seed=0):
    """Build a normalisation whose weights and offsets are all different, some of them negative."""
    torch.manual_seed(seed)
    found = DivisiveNorm(channels)
    torch.nn.init.normal_(found.weight_root, std=0.4)
    torch.nn.init.normal_(found.offset_root)
    return found


def plain_root(found, x):
    """Compute eq. 4's root pixel by pixel in float64."""
    weight = found.weight_root.detach().double().numpy() ** 2  # [i, j] is the paper's w_ji
    offset = found.offset_root.detach().double().numpy() ** 2 + LEAST_OFFSET
    x, root = x.double().numpy(), np.zeros(x.shape)
    for n, i, row, column in np.ndindex(*x.shape):
        total = offset[i]
        for j in range(x.shape[1]):
            total += weight[i, j] * x[n, j, row, column] ** 2
        root[n, i, row, column] = total**0.5
    return root


def test_normalisation_and_eq_7_are_what_plain_loops_say():
    found, x = norm(), torch.randn(2, 4, 3, 5)
    root = plain_root(found, x)
    with torch.inference_mode():
        np.testing.assert_allclose(found(x), x.numpy() / root, rtol=1e-5)
        np.testing.assert_allclose(found.inverse(x), x.numpy() * root, rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 99), size=st.floats(0.01, 2))
def test_the_inverse_takes_the_normalisation_back(seed, size):
    found = norm(seed=seed)
    with torch.no_grad():
        found.offset_root.fill_(1)
    x = size * torch.randn(1, 4, 5, 5)
    with torch.inference_mode():
        torch.testing.assert_close(found.inverse(found(x), rounds=2000), x, atol=1e-5, rtol=1e-4)


@HALVES
@pytest.mark.parametrize("size", [1e-8, 1e-3, 1.0, 6e4])
def test_half_precision_neither_overflows_nor_divides_by_zero(dtype, size):
    """In float16 the square of anything above 255 is infinite, and of what is below 2e-4 zero."""
    found = norm(8)
    x = (size * torch.randn(1, 8, 6, 6)).clamp(-6e4, 6e4).to(dtype)
    with torch.inference_mode(), torch.autocast("cpu", dtype=dtype):
        y, exact = found(x), found(x.float())
        assert y.dtype == dtype and torch.isfinite(y).all()
        torch.testing.assert_close(y.float(), exact, rtol=1e-2, atol=1e-6)
        assert torch.isfinite(found.inverse(x.float())).all()


@HALVES
def test_the_network_in_autocast_is_near_float32(dtype):
    net, x = network(input_skip=True), torch.rand(1, 3, 17, 12)
    with torch.inference_mode():
        exact = net(x)
        with torch.autocast("cpu", dtype=dtype):
            torch.testing.assert_close(net(x).float(), exact, atol=0.05, rtol=0.05)


def test_sizes_of_the_paper():
    def millions(**changes):
        with torch.device("meta"):
            net = FDRNet(FDRNetConfig(**changes))
        return sum(weight.numel() for weight in net.parameters()) / 1e6

    assert 1.62 < millions() < 1.70
    assert millions() - millions(disentangle=False) == pytest.approx(0.04, abs=0.01)
    assert millions(auxiliary=False) == pytest.approx(1.21, abs=0.02)
    for changes in ({"layers": 1}, {"layers": 5}, {"channels": 16}, {"channels": 64}):
        assert millions(**changes) > 0.3


@settings(deadline=None, max_examples=30)
@given(
    shrink=st.sampled_from([1, 2, 4]),
    height=st.integers(1, 21),
    width=st.integers(1, 21),
    seed=st.integers(0, 9),
)
def test_any_size_and_batch_mates_change_nothing(shrink, height, width, seed):
    net = network(seed, shrink=shrink)
    x = torch.rand(3, 3, height, width)
    with torch.inference_mode():
        image = net(x)
        alone = torch.cat([net(one[None]) for one in x])
    assert image.shape == x.shape
    torch.testing.assert_close(image, alone, atol=1e-5, rtol=1e-5)


def test_the_picture_itself_is_added_where_asked_for():
    plain, skipping = network(), network(input_skip=True)
    x = torch.rand(1, 3, 8, 9)
    with torch.inference_mode():
        torch.testing.assert_close(skipping(x), plain(x) + x)
        skipping.begin_at_input()
        assert torch.equal(skipping(x), x)


@pytest.mark.parametrize(
    "changes",
    [{}, {"auxiliary": False}, {"disentangle": False}, {"process_blocks": 0}, {"layers": 1}],
    ids=str,
)
def test_every_weight_learns_and_features_are_of_each_phase(changes):
    net = network(**changes).train()
    image, features = net(torch.rand(2, 3, 16, 16), return_features=True)
    assert [feature.shape for feature in features] == [(2, 6, 16, 16)] * 2
    image.square().mean().backward()
    for name, weight in net.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_features_that_the_loss_sees_are_normalised():
    """They are bounded by the weights of the normalisation, however strong the picture is."""
    net = network()
    last = net.phases[0].lower.disentangle[-1].norm
    bound = last.weight_root.diagonal().abs().reciprocal()[:, None, None]
    with torch.inference_mode():
        _, features = net(1e4 * torch.rand(1, 3, 16, 16), return_features=True)
    assert (features[0].abs() <= bound * 1.001).all()


def test_it_compiles_in_bfloat16_with_gradients():
    net = network(shrink=2).train()
    model = torch.compile(net, dynamic=False, backend="aot_eager")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image, features = model(torch.rand(1, 3, 16, 16), return_features=True)
    (image.float().mean() + features[0].float().square().mean()).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in net.parameters())


def test_configuration_round_trip():
    config = FDRNetConfig(**TINY, shrink=2, disentangle=False)
    assert FDRNetConfig.from_dict(config.to_dict()) == config
    assert FDRNetConfig.from_dict({}) == FDRNetConfig()
    assert config.multiple == 2


@pytest.mark.parametrize(
    "values",
    [
        {"channels": 3},
        {"channels": 10**30},
        {"channels": True},
        {"channels": 32.0},
        {"layers": 0},
        {"layers": 17},
        {"phases": "5"},
        {"process_blocks": -1},
        {"auxiliary_blocks": 0},
        {"auxiliary": 1},
        {"shrink": 3},
        {"shrink": [2]},
        {"width": 16},
    ],
)
def test_impossible_configurations(values):
    with pytest.raises(CheckpointFormatError):
        FDRNetConfig.from_dict(values)
