"""A SPAIR carried over to larger pixels, or made to multiply, with what it has learned."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.spair.config import SPAIRConfig
from drcnet_cli.networks.spair.network import SPAIR
from drcnet_cli.networks.spair.reshape import reshape

SMALL = SPAIRConfig(widths=(8, 12, 16), localisation_widths=(4, 6, 8))


def make(config: SPAIRConfig) -> SPAIR:
    torch.manual_seed(0)
    return SPAIR(config).eval()


def enlarge(x: Tensor, times: int) -> Tensor:
    return x.repeat_interleave(times, 2).repeat_interleave(times, 3)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 4), (1, 4), (2, 2)])
@pytest.mark.parametrize("multiply", [False, True])
def test_larger_pixels_compute_what_was_computed_for_the_smaller_picture(
    before: int, after: int, multiply: bool
) -> None:
    network = make(replace(SMALL, shrink=before, multiply=multiply))
    times = after // before
    larger = reshape(network, replace(network.config, shrink=after))
    x = torch.rand(2, 3, 32, 48).repeat_interleave(times, 2)
    small = F.avg_pool2d(x, times)
    mask = (torch.rand(2, 1, *small.shape[2:]) < 0.1).float()

    with torch.no_grad():
        logits, found = network.localisation(small)
        logits_larger, found_larger = larger.localisation(x)
        change = larger.restoration(x, enlarge(mask, times), found_larger)
        expected = network.restoration(small, mask, found)

    torch.testing.assert_close(logits_larger, enlarge(logits, times), atol=1e-5, rtol=0)
    if multiply:  # by a share of each pixel itself
        change = F.avg_pool2d(change, times)
    else:
        expected = enlarge(expected, times)
    torch.testing.assert_close(change, expected, atol=1e-5, rtol=0)


def test_multiplying_begins_as_adding_alone() -> None:
    network = make(SMALL)
    x, mask = torch.rand(1, 3, 32, 32), (torch.rand(1, 1, 32, 32) < 0.3).float()

    multiplying = reshape(network, replace(SMALL, multiply=True))

    with torch.no_grad():
        assert torch.equal(multiplying(x, mask), network(x, mask))


def test_a_share_follows_the_picture() -> None:
    network = make(replace(SMALL, multiply=True))
    layer = network.restoration.to_image
    torch.nn.init.zeros_(layer.weight)
    with torch.no_grad():
        layer.bias.zero_()  # type: ignore[union-attr]
        layer.bias[12:] = 0.5  # type: ignore[index] - the share, of 3 channels of 2 x 2 pixels
        x = torch.rand(1, 3, 16, 24)
        image = network(x, torch.ones(1, 1, 16, 24))

    torch.testing.assert_close(image, 1.5 * x)


@pytest.mark.parametrize(
    "values", [{"shrink": 1}, {"multiply": False}, {"widths": (8, 12, 18)}, {"modulation": False}]
)
def test_what_cannot_be_carried_over_is_refused(values: dict[str, Any]) -> None:
    network = make(replace(SMALL, multiply=True))

    with pytest.raises(UsageError, match="cannot become"):
        reshape(network, replace(network.config, **values))
