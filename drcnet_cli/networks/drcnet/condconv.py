"""CondConv (Yang, Bender, Le, Ngiam, NeurIPS 2019): a convolution mixed anew for each picture."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.networks.layers import conv3x3

# CondConv's paper has 8 to 32; with 16 DRCNet comes nearest to the size that its table 4 gives.
EXPERTS = 16


class CondConv(nn.Module):
    """A 3x3 convolution whose weights are a mixture of EXPERTS, decided by the whole picture.

    N x channels_in x H x W -> N x channels_out x H x W. The shares are sigmoids of a linear
    function of the channels' means; they need not add up to 1.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(conv3x3(channels_in, channels_out) for _ in range(EXPERTS))
        self.route = nn.Linear(channels_in, EXPERTS)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the weights first and convolve once, which is the same as the mixture of results."""
        batch, _, height, width = x.shape
        shares = torch.sigmoid(self.route(x.mean((2, 3))))  # N x E
        weights, biases = (
            torch.stack([expert.get_parameter(name) for expert in self.experts])
            for name in ("weight", "bias")
        )
        kernels = torch.einsum("ne,eoihw->noihw", shares, weights)
        bias = (shares @ biases.to(shares.dtype)).flatten()
        # Each picture is a group of channels of one convolution.
        out = F.conv2d(x.reshape(1, -1, height, width), kernels.flatten(0, 1), bias, 1, 1, 1, batch)
        return out.reshape(batch, -1, height, width)
