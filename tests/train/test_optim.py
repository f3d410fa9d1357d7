"""Muon: orthogonal updates for matrices, Adam for the rest."""

import pytest
import torch
from torch import nn

from drcnet_cli.train.optim import Muon, orthogonal


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 16, 40), (3, 16, 144), (2, 64, 8)])
def test_singular_values_come_to_about_one(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape) * torch.tensor([1e-6, 1e3, 1.0])[: shape[0], None, None]
    values = torch.linalg.svdvals(orthogonal(matrices))
    # Square random matrices have some values near 0, which five rounds do not lift all the way.
    assert values.max() < 1.3
    assert values.median() > 0.6
    left, _, right = torch.linalg.svd(matrices[0], full_matrices=False)
    alike = (orthogonal(matrices)[0] * (left @ right)).sum() / min(shape[1:])
    assert alike > 0.6  # the directions are the matrix's own


def test_it_is_the_iteration_that_is_told():
    torch.manual_seed(0)
    x = torch.randn(2, 32, 288, dtype=torch.float64)
    exact = x / x.norm(dim=(1, 2), keepdim=True)
    for _ in range(5):
        square = exact @ exact.mT
        exact = 3.4445 * exact + (-4.7750 * square + 2.0315 * square @ square) @ exact
    assert (orthogonal(x) - exact).norm() < 0.03 * exact.norm()


def test_each_matrix_is_taken_by_itself():
    torch.manual_seed(0)
    matrices = torch.randn(2, 16, 40)
    alone = orthogonal(matrices[1:])
    assert torch.allclose(orthogonal(matrices)[1:], alone, atol=0.02)


def test_convolutions_are_matrices_and_the_rest_is_adam():
    torch.manual_seed(0)
    wide, narrow = nn.Conv2d(16, 16, 3), nn.Conv2d(16, 3, 3)
    ours = Muon([*wide.parameters(), *narrow.parameters()], lr=0.01, betas=(0.9, 0.95))
    before = [parameter.detach().clone() for parameter in wide.parameters()]
    reference = nn.Conv2d(16, 3, 3)
    reference.load_state_dict(narrow.state_dict())
    adam = torch.optim.Adam(reference.parameters(), lr=0.01, betas=(0.9, 0.95))
    for _ in range(3):
        for parameter in (*wide.parameters(), *narrow.parameters()):
            parameter.grad = torch.randn_like(parameter)
        for copy, parameter in zip(reference.parameters(), narrow.parameters(), strict=True):
            copy.grad = parameter.grad.clone()
        ours.step()
        adam.step()
    for copy, parameter in zip(reference.parameters(), narrow.parameters(), strict=True):
        assert torch.allclose(copy, parameter, atol=1e-6)
    change = (wide.weight - before[0]).flatten(1)
    # Three steps of 0.2 * lr each in root mean square, in directions drawn anew.
    assert 0.001 < change.square().mean().sqrt() < 0.2 * 0.01 * 3 * 1.2
    assert set(ours.state[wide.weight]) == {"momentum"}
    assert set(ours.state[wide.bias]) == {"step", "mean", "square"}


def test_it_minimises():
    torch.manual_seed(0)
    wanted = torch.randn(12, 20)
    weight = nn.Parameter(torch.zeros(12, 20))
    optimizer = Muon([weight], lr=0.2)
    for step in range(200):
        for group in optimizer.param_groups:
            group["lr"] = 0.2 * (1 - step / 200)
        optimizer.zero_grad()
        (weight - wanted).square().sum().backward()
        optimizer.step()
    assert (weight - wanted).abs().max() < 0.1
