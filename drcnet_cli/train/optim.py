"""What moves the weights, and the moving average of them.

Muon: momentum whose matrices are made orthogonal (Jordan et al. 2024), with Adam for the rest. A
convolution's weight is taken as the matrix of its output channels by everything else. Updates
are scaled to the size that Adam's typically have (Liu et al. 2025, "Muon is scalable for LLM
training", section 2.2), so that one learning rate serves both.
"""

import copy
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
_EPS = 1e-8
_ADAM_SIZE = 0.2  # root mean square of Adam's updates
_SMALLEST = 8  # narrower matrices, such as a convolution from or to an image, are Adam's
# Jordan's quintic: singular values of the sum end up within 0.7 to 1.2 after five rounds.
_QUINTIC, _ROUNDS = (3.4445, -4.7750, 2.0315), 5


class Muon(torch.optim.Optimizer):
    """Muon for weights that are matrices, Adam (with `betas`) for biases, norms and narrow ones."""

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__(list(params), defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Change each parameter that has a gradient."""
        for group in self.param_groups:
            with_gradient = [weight for weight in group["params"] if weight.grad is not None]
            if group["weight_decay"]:
                for weight in with_gradient:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
            by_shape: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for weight in with_gradient:
                if is_matrix(weight):
                    rows = weight.shape[0]
                    by_shape[rows, weight.numel() // rows].append(weight)
                else:
                    self._adam(weight, group)
            for weights in by_shape.values():
                self._muon(weights, group)

    def _muon(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """Change weights of one shape; their matrices go through the products together."""
        directions = []
        for weight in weights:
            state, gradient = self.state[weight], cast(Tensor, weight.grad)
            if not state:
                state["momentum"] = torch.zeros_like(weight)
            momentum = state["momentum"].lerp_(gradient, 1 - MOMENTUM)
            directions.append(gradient.lerp(momentum, MOMENTUM).flatten(1))  # Nesterov's
        updates = orthogonal(torch.stack(directions))
        size = _ADAM_SIZE * max(updates.shape[1:]) ** 0.5
        for weight, update in zip(weights, updates, strict=True):
            weight.add_(update.view(weight.shape), alpha=-group["lr"] * size)

    def _adam(self, weight: Tensor, group: dict[str, Any]) -> None:
        first, second = group["betas"]
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros(())
            state["mean"] = torch.zeros_like(weight)
            state["square"] = torch.zeros_like(weight)
        state["step"] += 1
        mean = state["mean"].lerp_(weight.grad, 1 - first)
        square = state["square"].mul_(second).addcmul_(weight.grad, weight.grad, value=1 - second)
        step = float(state["step"])
        spread = (square / (1 - second**step)).sqrt_().add_(_EPS)
        weight.addcdiv_(mean, spread, value=-group["lr"] / (1 - first**step))


def is_matrix(weight: Tensor) -> bool:
    """Tell whether a weight is Muon's, and not Adam's."""
    rows = weight.shape[0]
    return weight.ndim > 1 and min(rows, weight.numel() // rows) >= _SMALLEST


def orthogonal(matrices: Tensor) -> Tensor:
    """Bring the singular values of N x rows x columns matrices to about 1, in bfloat16.

    A Newton-Schulz iteration; returns float32.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.float().norm(dim=(1, 2), keepdim=True) + 1e-7).bfloat16()
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        square = x @ x.mT
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, factor, x, beta=a)
    return (x.mT if tall else x).float()


class WeightAverage:
    """Exponential moving average of a network's weights, in a network of its own.

    What it keeps beside weights, as the running statistics of batch normalisation, is averaged with
    them. It restores better than any single step's weights. `decay` is approached from below,
    `(1 + n) / (10 + n)` after n steps, so that the random weights of the beginning are soon
    forgotten. Decay 0 follows the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after `step` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        averages, weights = _numbers(self.network), _numbers(network)
        # One kernel for all, as torch's own optimisers and averages do it.
        torch._foreach_lerp_(averages, weights, 1 - decay)  # pyright: ignore


def _numbers(network: nn.Module) -> list[Tensor]:
    """List a network's weights and floating-point buffers."""
    kept = [*network.parameters(), *network.buffers()]
    return [value.data for value in kept if value.is_floating_point()]
