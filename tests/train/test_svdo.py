"""SVDO and the objective of FDR-Net: values of known matrices, gradients, meeting eigenvalues."""

import pytest
import torch
from training_helpers import photographs, tiny

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.train.loop import train
from drcnet_cli.train.svdo import mean_svdo, svdo

SHAPE = ["channels=8", "layers=1", "phases=1", "process_blocks=0", "auxiliary_blocks=1"]
FDRNET = {"network": "fdrnet", "task": "hybrid", "degrade": "hybrid", "set": SHAPE}


def with_eigenvalues(values, pixels=64, seed=0):
    """Make features 1 x C x 8 x 8 of which F F^T / pixels has these eigenvalues."""
    torch.manual_seed(seed)
    channels = len(values)
    left = torch.linalg.qr(torch.randn(channels, channels, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(pixels, channels, dtype=torch.float64))[0]
    strengths = (torch.tensor(values, dtype=torch.float64) * pixels).sqrt()
    return (left * strengths @ right.mT).reshape(1, channels, 8, 8)


def test_it_is_the_squared_difference_of_the_outer_eigenvalues():
    features = torch.cat([with_eigenvalues([5, 2, 1]), with_eigenvalues([3, 3, 3])])
    torch.testing.assert_close(svdo(features).item(), ((5 - 1) ** 2 + 0) / 2)
    singular = torch.linalg.svdvals(features.flatten(2)) ** 2 / 64
    expected = (singular[:, 0] - singular[:, -1]).square().mean()
    torch.testing.assert_close(svdo(features), expected)
    both = mean_svdo([features, 2 * features])
    torch.testing.assert_close(both, (1 + 16) / 2 * svdo(features))


def test_the_area_of_a_patch_changes_nothing():
    features = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(svdo(features.repeat(1, 1, 2, 3)), svdo(features))


@pytest.mark.parametrize("values", [[5.0, 2.0, 1.0], [4.0, 2.0, 2.0 - 1e-6]], ids=str)
def test_its_gradient_is_that_of_differences(values):
    features = with_eigenvalues(values).requires_grad_()
    assert torch.autograd.gradcheck(svdo, features, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("values", [[2.0, 2.0, 2.0], [3.0, 3.0, 1.0], [3.0, 1.0, 1.0]], ids=str)
def test_its_gradient_is_finite_where_eigenvalues_meet(values):
    features = with_eigenvalues(values).float().requires_grad_()
    svdo(features).backward()
    assert features.grad is not None and torch.isfinite(features.grad).all()
    # Along its gradient it falls, as it should.
    assert svdo(features - 1e-3 * features.grad) <= svdo(features) + 1e-6


@pytest.mark.parametrize("features", [torch.zeros(2, 4, 3, 3), torch.ones(1, 4, 1, 1)])
def test_features_of_less_rank_than_channels(features):
    features = features.requires_grad_()
    svdo(features).backward()
    assert features.grad is not None and torch.isfinite(features.grad).all()


def test_what_is_not_finite_gives_nan_and_no_error():
    features = torch.zeros(1, 4, 3, 3)
    features[0, 1, 1, 1] = torch.inf
    assert svdo(features).isnan()


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


def test_it_trains_and_goes_on(clean, tmp_path):
    settings = {**FDRNET, "patches": "16x2"}
    assert train(tiny(clean, tmp_path, steps=2, **settings)).step == 2
    assert train(tiny(clean, tmp_path, steps=3, **settings)).step == 3
    info = load_checkpoint(tmp_path / "final.safetensors")[1]
    assert (info.arch, info.task) == ("fdrnet", "hybrid")
    assert info.provenance["contrast"] == {"kind": "SVDO", "alpha": 1e-5}


def test_the_loss_falls(clean, tmp_path):
    shape = [*SHAPE, "input_skip=true"]
    config = tiny(
        clean, tmp_path, **{**FDRNET, "degrade": "gaussian-50", "set": shape}, steps=60,
        patches="16x4", lr=5e-3,
    )  # fmt: skip
    result = train(config)
    assert result.psnr is not None and result.input_psnr is not None
    assert result.psnr > result.input_psnr + 1


def test_another_networks_contrast_is_refused(clean, tmp_path):
    with pytest.raises(UsageError, match="SVDO"):
        train(tiny(clean, tmp_path, **FDRNET, steps=1, contrastive="intra"))
