"""Momentum contrast: the loss by loops, the queue's turn, the follower, and its state."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from drcnet_cli.train.contrast_queue import MomentumContrast, info_nce


class Means(nn.Module):
    """An encoder of the plainest kind: a linear map of the channels' means."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, 4)

    def forward(self, x):
        return None, self.linear(x.mean((2, 3)))


def units(count, seed):
    return F.normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_the_loss_by_loops():
    query, key, queue = units(3, 1), units(3, 2), units(5, 3)
    losses = []
    for one, own in zip(query.numpy().astype(float), key.numpy().astype(float), strict=True):
        scores = [np.exp(one @ own / 0.07)]
        scores += [np.exp(one @ other / 0.07) for other in queue.numpy().astype(float)]
        losses.append(-np.log(scores[0] / sum(scores)))
    assert info_nce(query, key, queue).item() == pytest.approx(np.mean(losses), rel=1e-5)


def test_scores_are_computed_in_float32():
    query, key, queue = units(3, 1).half(), units(3, 2).half(), units(5, 3).half()
    loss = info_nce(query, key, queue)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(info_nce(query.float(), key.float(), queue.float()).item())


def test_a_step_compares_with_the_queue_before_and_then_takes_the_keys_in():
    encoder = Means()
    contrast = MomentumContrast(encoder, 4, 6, seed=5)
    before = contrast.queue.clone()
    first, second = torch.rand(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    keys = F.normalize(encoder(second)[1].detach(), dim=1)
    query = encoder(first)[1]
    loss = contrast(query, second)
    expected = info_nce(F.normalize(query, dim=1), keys, before)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(contrast.queue, torch.cat([keys, before[4:]]))
    loss.backward()
    assert encoder.linear.weight.grad is not None
    assert all(weight.grad is None for weight in contrast.key_encoder.parameters())
    # The queue goes round: the next two places are the last, the other two the first again.
    contrast(query.detach(), first)
    others = F.normalize(encoder(first)[1].detach(), dim=1)
    torch.testing.assert_close(contrast.queue, torch.cat([others[2:], keys[2:], others[:2]]))
    assert contrast.pointer.item() == 2


def test_more_keys_than_places():
    contrast = MomentumContrast(Means(), 4, 3)
    crops = torch.rand(5, 3, 4, 4)
    contrast(torch.randn(5, 4), crops)
    keys = F.normalize(contrast.key_encoder(crops)[1], dim=1)
    assert {tuple(key.tolist()) for key in contrast.queue} == {
        tuple(key.tolist()) for key in keys[-3:]
    }


def test_the_key_encoder_follows_slowly():
    encoder, contrast = Means(1), MomentumContrast(Means(0), 4, 3, momentum=0.9)
    start = contrast.key_encoder.linear.weight.clone()
    for step in range(1, 4):
        contrast.follow(encoder)
        share = 0.9**step
        expected = share * start + (1 - share) * encoder.linear.weight
        torch.testing.assert_close(contrast.key_encoder.linear.weight, expected)


def test_state_goes_on_where_it_was():
    encoder, crops = Means(), torch.rand(4, 3, 4, 4)
    one = MomentumContrast(encoder, 4, 10, seed=1)
    one(torch.randn(4, 4), crops)
    other = MomentumContrast(Means(7), 4, 10, seed=2)
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    query = torch.randn(4, 4)
    for _ in range(3):
        torch.testing.assert_close(one(query, crops), other(query, crops), rtol=0, atol=0)
    assert torch.equal(one.queue, other.queue) and torch.equal(one.pointer, other.pointer)


def test_keys_of_all_processes_are_taken_in():
    contrast = MomentumContrast(Means(), 4, 8, gather=lambda keys: torch.cat([keys, -keys]))
    contrast(torch.randn(2, 4), torch.rand(2, 3, 4, 4))
    torch.testing.assert_close(contrast.queue[2:4], -contrast.queue[:2])
    assert contrast.pointer.item() == 4


def test_training_pulls_crops_of_one_picture_together():
    torch.manual_seed(0)
    encoder = Means()
    contrast = MomentumContrast(encoder, 4, 64, momentum=0.9)
    optimizer = torch.optim.Adam(encoder.parameters(), 0.02)
    losses = []
    for _ in range(150):
        color = torch.rand(8, 3, 1, 1)
        first, second = (color + 0.02 * torch.randn(8, 3, 4, 4) for _ in range(2))
        contrast.follow(encoder)
        loss = contrast(encoder(first)[1], second)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.6 * np.mean(losses[:5])
