"""Dense blocks, and the same computed at degraded pixels alone (SPAIR eq. 2).

Two forms of one arithmetic. The dense one convolves everything and masks; the sparse one gathers
the neighbourhoods of the masked pixels, multiplies matrices and scatters the results. Which is
faster goes by the share of masked pixels: measured by benchmarks/spair_sparse.py.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.networks.layers import conv3x3

SLOPE = 0.2  # of every leaky ReLU; ours
LAYERS = 6  # of an SC (section 3.2.2)
# Share of masked pixels below which gathering them is faster, by the device's type: on a CPU as
# measured; on a GPU, where nobody has, from far below that.
SPARSE_BELOW = {"cpu": 0.3, "cuda": 0.05}
ATTENTION_BELOW = {"cpu": 0.5, "cuda": 0.05}


def pays(mask: Tensor, below: Mapping[str, float]) -> bool:
    """Tell whether computing masked pixels alone is faster; mask: N x 1 x H x W of zeros and ones.

    `below`: the share of masked pixels up to which it is. Never where gradients are wanted:
    training takes the dense form, whose steps are all alike.
    """
    if torch.is_grad_enabled() or mask.device.type not in below:
        return False
    return float(mask.mean(dtype=torch.float32)) < below[mask.device.type]


class DenseBlock(nn.Module):
    """Densely connected 3x3 convolutions, then a 1x1 to the channels that came in; what came in is
    added (ours: without it clean pixels would have no features behind an SC).

    With a mask it is the paper's SC. Printed, eq. 2 asks for the mask at a q that is not defined:
    taken here as the neighbour, the first layer would see no clean pixel, and what follows needs
    their features. So every layer's output is kept at masked pixels only, and neighbours count as
    they are: features of the block's input everywhere, those of layers before where they were kept.
    """

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        growth = channels // 2
        self.convs = nn.ModuleList(
            conv3x3(channels + number * growth, growth) for number in range(layers)
        )
        self.reduce = nn.Conv2d(channels + layers * growth, channels, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Turn N x channels x H x W into the same; with a mask (N x 1 x H x W) only where it is 1.

        Masked in another way, clean pixels come out exactly as they came in.
        """
        if mask is not None and pays(mask, SPARSE_BELOW):
            return sparse_block(x, mask, list(self.convs), self.reduce)
        return self.dense(x, mask)

    def dense(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Compute everything, and keep what is masked."""
        found = x
        for conv in self.convs:
            grown = F.leaky_relu(conv(found), SLOPE)
            found = torch.cat([found, grown if mask is None else grown * mask], 1)
        reduced = self.reduce(found)
        return x + (reduced if mask is None else reduced * mask)


def sparse_block(x: Tensor, mask: Tensor, convs: Sequence[nn.Module], reduce: nn.Module) -> Tensor:
    """Compute what `DenseBlock.dense` does at masked pixels alone.

    A layer's input is the block's and the layers' before. Each of these is gathered once, and its
    part in all later layers computed by one product.
    """
    batch, channels, height, width = x.shape
    places = mask.flatten().nonzero().squeeze(1)
    if not len(places):
        return x
    neighbours = _neighbours(places, height, width, batch * height * width)
    # Of a layer's results only the masked ones are kept: numbered alone, and one row of zeros.
    compact = places.new_full((batch * height * width + 1,), len(places))
    compact[places] = torch.arange(len(places), device=places.device)
    kept_neighbours = compact[neighbours]

    wide = x.permute(0, 2, 3, 1).reshape(-1, channels)
    sources = F.pad(wide, (0, 0, 0, 1))
    weights, biases = _together(convs, x.dtype)
    growth = weights[0].shape[0]
    point = reduce.weight.flatten(1).to(x.dtype)  # type: ignore[union-attr,operator]
    total = F.linear(wide[places], point[:, :channels], reduce.bias.to(x.dtype))  # type: ignore[union-attr,operator]
    rows = sources[neighbours].flatten(1)
    pending = F.linear(rows, _part(weights, 0, channels), biases)
    for number in range(len(convs)):
        grown = F.leaky_relu(pending[:, :growth], SLOPE)
        first = channels + number * growth
        total += F.linear(grown, point[:, first : first + growth])
        pending = pending[:, growth:]
        if number + 1 < len(convs):
            rows = F.pad(grown, (0, 0, 0, 1))[kept_neighbours].flatten(1)
            part = _part(weights[number + 1 :], first, first + growth)
            pending = pending + F.linear(rows, part)
    result = wide.clone()
    result[places] += total
    return result.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


def _neighbours(places: Tensor, height: int, width: int, outside: int) -> Tensor:
    """Number the 3 x 3 pixels around each place, row by row: P x 9; `outside` for those outside."""
    across = places % width
    down = places.div(width, rounding_mode="floor") % height
    taps = torch.arange(9, device=places.device)
    steps_down, steps_across = taps.div(3, rounding_mode="floor") - 1, taps % 3 - 1
    new_down, new_across = down[:, None] + steps_down, across[:, None] + steps_across
    inside = (new_down >= 0) & (new_down < height) & (new_across >= 0) & (new_across < width)
    found = places[:, None] + steps_down * width + steps_across
    return torch.where(inside, found, outside)


def _together(convs: Sequence[nn.Module], dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
    """Return each layer's weights as growth x 9 x channels, and all biases in a row."""
    weights = [conv.weight.to(dtype).flatten(2).transpose(1, 2) for conv in convs]  # type: ignore[union-attr,operator]
    return weights, torch.cat([conv.bias.to(dtype) for conv in convs])  # type: ignore[union-attr,operator]


def _part(weights: Sequence[Tensor], first: int, last: int) -> Tensor:
    """Return the weights of channels first..last in all layers, growths in a row x 9 channels."""
    return torch.cat([weight[:, :, first:last].flatten(1) for weight in weights])
