"""The moving average of the weights, which restores better than any single step's weights."""

import copy

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of a network's weights, in a network of its own.

    `decay` is approached from below, `(1 + n) / (10 + n)` after n steps, so that the random weights
    of the beginning are soon forgotten. Decay 0 follows the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averages = [weight.data for weight in self.network.parameters()]
        weights = [weight.data for weight in network.parameters()]
        # One kernel for all, as torch's own optimisers and averages do it.
        torch._foreach_lerp_(averages, weights, 1 - decay)  # pyright: ignore
