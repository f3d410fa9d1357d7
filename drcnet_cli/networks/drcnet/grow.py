"""A network made wider without changing what it computes, to be trained on from there.

Every channel is doubled: the copies lie side by side, so that halves of channels (the normalised
one, the parts of a concatenation) stay what they were. What makes a channel (outputs, biases,
normalisation) is copied; what reads one shares each of its weights out between the two copies at
random, so that the copies get gradients that differ and do not stay copies for ever. A channel's
own statistics, and the mean and the maximum over channels, are those of before.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.drcnet import MAX_WIDTH
from drcnet_cli.networks.drcnet.network import DRCNet

# Standard deviation of a copy's share of a weight around one half: the two shares' squares add up
# to 1 on average, so that weights keep their size.
_SPREAD = 0.5


def grow(network: DRCNet, width: int, seed: int = 0) -> DRCNet:
    """Return a network of `width` channels that computes the same; the same width is a copy.

    `seed` decides how weights are shared out. Raises UsageError if `width` is no doubling of the
    network's, however often doubled, or if its block is not DFR.
    """
    network.config.refuse_other_blocks("cannot grow", "Leave --width out")
    before = network.config.width
    times, rest = divmod(width, before)
    if rest or times < 1 or times & (times - 1) or width > MAX_WIDTH:
        raise UsageError(
            f"A network of width {before} cannot grow to {width}.",
            f"It can be doubled, once or more often: --width {min(2 * before, MAX_WIDTH)}",
        )
    rng = torch.Generator().manual_seed(seed)
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    # Only shapes are asked of these: no memory, and no random numbers of torch's own.
    with torch.device("meta"):
        wider = DRCNet(network.config)
        while wider.config.width < width:
            wider = DRCNet(replace(wider.config, width=2 * wider.config.width))
            state = _double(state, wider, rng)
    wider.load_state_dict(state, assign=True)
    return wider.train(network.training)


def _double(state: dict[str, Tensor], wider: DRCNet, rng: torch.Generator) -> dict[str, Tensor]:
    """Return the state dict of a network half as wide as `wider` as one of its shapes."""
    doubled = {}
    for name, wanted in wider.state_dict().items():
        module, _, _ = name.rpartition(".")
        # A transposed convolution's weight has its inputs first.
        transposed = isinstance(wider.get_submodule(module), nn.ConvTranspose2d)
        value, inputs = state[name], 0 if transposed else 1
        for axis in range(min(2, value.ndim)):
            if wanted.shape[axis] == value.shape[axis]:
                continue  # red, green and blue, and the maps over all channels, are what they are
            value = value.repeat_interleave(2, axis)
            if axis == inputs and wanted.ndim > 1:
                value = value * _shares(wanted.shape, axis, value, rng)
        doubled[name] = value
    return doubled


def _shares(shape: torch.Size, axis: int, value: Tensor, rng: torch.Generator) -> Tensor:
    """Draw each weight's share for the copies side by side along `axis`; two add up to 1."""
    drawn = [*value.shape]
    drawn[axis] = shape[axis] // 2
    first = 0.5 + _SPREAD * torch.randn(drawn, generator=rng, device="cpu")
    both = torch.stack([first, 1 - first], axis + 1)
    return both.flatten(axis, axis + 1).to(value)
