"""Networks for tests of what computes them otherwise."""

import re

import torch

from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet


def network(seed: int = 0, **changes) -> DRCNet:
    """Make a network whose response maps lie on both sides of the threshold."""
    torch.manual_seed(seed)
    net = DRCNet(DRCNetConfig(**{"width": 4, "threshold": 0.5, **changes})).eval()
    for name, values in net.named_parameters():
        if re.search(r"norm\.(weight|bias)$", name):
            torch.nn.init.uniform_(values, 0.5, 1.5)
    return net
