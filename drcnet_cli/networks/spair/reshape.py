"""A SPAIR made to work on larger pixels, or to multiply, with what it has learned so far.

On pixels twice as large it computes for a picture what it computed for the picture at half its
size, each pixel of that the mean of four, and changes the four alike: training goes on from there.
"""

from dataclasses import replace

import torch
from torch import Tensor

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.spair.config import SPAIRConfig
from drcnet_cli.networks.spair.network import SPAIR

_IN = ("localisation.encoder.stem.weight", "restoration.encoder.stem.weight")
_OUT = tuple(
    f"{layer}.{kind}"
    for layer in ("localisation.to_mask", "restoration.to_image")
    for kind in ("weight", "bias")
)


def reshape(network: SPAIR, config: SPAIRConfig) -> SPAIR:
    """Return a SPAIR of `config`, its weights made of those of `network`.

    Raises UsageError where more differs than a larger `shrink`, `multiply` switched on, and what
    has no weights (`mask_threshold`, `only_masked`).
    """
    before = network.config
    free = {
        name: getattr(config, name)
        for name in ("shrink", "multiply", "mask_threshold", "only_masked")
    }
    times, rest = divmod(config.shrink, before.shrink)
    if replace(before, **free) != config or rest or config.multiply < before.multiply:
        raise UsageError(
            "This SPAIR cannot become one of other widths or parts, or of smaller pixels.",
            "With --init, --set may say shrink, multiply, mask_threshold and only_masked",
        )
    state = dict(network.state_dict())
    for name in _IN:
        state[name] = _enlarge(state[name], 1, before.shrink, times) / times**2
    for name in _OUT:
        state[name] = _enlarge(state[name], 0, before.shrink, times)
    if config.multiply > before.multiply:
        for name in _OUT[2:]:
            state[name] = torch.cat([state[name], torch.zeros_like(state[name])])
    changed = SPAIR(config)
    changed.load_state_dict(state)
    return changed.train(network.training)


def _enlarge(weight: Tensor, axis: int, side: int, times: int) -> Tensor:
    """Repeat each of the side x side channels along `axis` that are one pixel's for times^2."""
    pixels = weight.unflatten(axis, (-1, side, side))
    pixels = pixels.repeat_interleave(times, axis + 1).repeat_interleave(times, axis + 2)
    return pixels.flatten(axis, axis + 2).clone()
