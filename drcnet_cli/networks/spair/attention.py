"""SNL, attention of degraded pixels to the clean ones of their row and column (SPAIR eq. 3 to 5).

Scores exist for a few rows at a time, so that memory grows with a picture's rows and not with its
square. As for SC there are two forms: all pixels of a row ask, or the degraded ones alone.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drcnet_cli.networks.spair.sparse import ATTENTION_BELOW, pays

# Scores that exist at once, as numbers, by the device's type; those of one row always do. On a CPU
# they stay in the processor's cache.
_SCORES = {"cpu": 1 << 17}
_MOST_SCORES = 1 << 24  # on other devices


class SNL(nn.Module):
    """Region-guided sparse non-local module (section 3.2.3): two steps of attention.

    Eq. 5 sums five terms for four directions: four are meant. Fusion weights come from a 1x1
    convolution, and what is gathered is added to the pixel's features; both are ours, as is the
    identity that the convolution between the steps begins as.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fuse1 = nn.Conv2d(channels, 4, 1)
        self.between = nn.Conv2d(channels, channels, 1)
        self.fuse2 = nn.Conv2d(channels, 4, 1)
        nn.init.dirac_(self.between.weight)
        nn.init.zeros_(self.between.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Turn N x C x H x W into the same; where the mask (N x 1 x H x W) is 0 it stays."""
        sparse = pays(mask, ATTENTION_BELOW)
        x = x + gather(x, mask, self.fuse1(x), sparse=sparse)
        x = torch.lerp(x, self.between(x).to(x.dtype), mask.to(x.dtype))
        return x + gather(x, mask, self.fuse2(x), sparse=sparse)


def gather(x: Tensor, mask: Tensor, fusion: Tensor, *, sparse: bool) -> Tensor:
    """Return h of eq. 5 at degraded pixels, 0 at clean ones: N x C x H x W in the type of x.

    `fusion`: N x 4 x H x W, weights of what is found to the right, left, below and above. Dot
    products are computed in float32. A direction without any clean pixel adds nothing.
    """
    # At least float32: sums of products over channels overflow, or round, in half types.
    exact = torch.promote_types(x.dtype, torch.float32)
    degraded = mask.squeeze(1) > 0.5
    with torch.autocast(x.device.type, enabled=False):
        wide = x.to(exact).permute(0, 2, 3, 1)  # N x H x W x C
        ways = fusion.to(exact).permute(0, 2, 3, 1)
        ask = _ask_degraded if sparse else _ask_all
        across = ask(wide, degraded, ways[..., :2])
        tall, ways = wide.transpose(1, 2), ways.transpose(1, 2)
        down = ask(tall, degraded.transpose(1, 2), ways[..., 2:]).transpose(1, 2)
        found = (across + down) * degraded[..., None]
    return found.permute(0, 3, 1, 2).to(x.dtype)


def _at_once(x: Tensor) -> int:
    return _SCORES.get(x.device.type, _MOST_SCORES)


def _ask_all(x: Tensor, degraded: Tensor, ways: Tensor) -> Tensor:
    """Let every pixel of each row ask: N x H x W x C; ways N x H x W x 2."""
    shape, width = x.shape, x.shape[2]
    lines, ways, clean = x.flatten(0, 1), ways.flatten(0, 1), ~degraded.flatten(0, 1)
    place = torch.arange(width, device=x.device)
    step = max(1, _at_once(x) // width**2)
    parts = [
        _attend(lines[n : n + step], place.expand(1, -1), ways[n : n + step],
                lines[n : n + step], clean[n : n + step])
        for n in range(0, len(lines), step)
    ]  # fmt: skip
    return torch.cat(parts).reshape(shape)


def _ask_degraded(x: Tensor, degraded: Tensor, ways: Tensor) -> Tensor:
    """Let degraded pixels ask: rows without any are left out, and shorter lists are padded."""
    shape, width = x.shape, x.shape[2]
    lines, ways, degraded = x.flatten(0, 1), ways.flatten(0, 1), degraded.flatten(0, 1)
    counts = degraded.sum(1)
    found = torch.zeros_like(lines)
    # Rows with like numbers of degraded pixels together, so that little is padded.
    rows = counts.argsort()[int((counts == 0).sum()) :]
    while len(rows):
        # From the fullest row down, as many as may have their scores at once.
        most = int(counts[rows[-1]])
        some = rows[-max(1, _at_once(x) // (most * width)) :]
        some = some[counts[some] * 2 >= most]  # the others take less padding by themselves
        rows = rows[: len(rows) - len(some)]
        place = (
            degraded[some].to(torch.uint8).argsort(stable=True, dim=1, descending=True)[:, :most]
        )
        line = torch.arange(len(some), device=x.device)[:, None]
        own = lines[some]
        there = _attend(own[line, place], place, ways[some][line, place], own, ~degraded[some])
        found[some[:, None], place] = there * degraded[some][line, place][..., None]
    return found.reshape(shape)


def _attend(asking: Tensor, place: Tensor, ways: Tensor, line: Tensor, clean: Tensor) -> Tensor:
    """Return what R x Q pixels find in their rows: R x Q x C.

    `asking`: R x Q x C; `place`: where in their rows they stand, R (or 1) x Q; `ways`: R x Q x 2,
    weights of what lies ahead and behind; `line`: the rows, R x W x C; `clean`: R x W.
    """
    scores = asking @ line.transpose(1, 2)  # eq. 3, R x Q x W
    lowest = torch.finfo(scores.dtype).min
    scores = scores.masked_fill(~clean[:, None], lowest)
    # What stands at the asking pixel's own place is degraded, and neither ahead nor behind.
    ahead = torch.arange(line.shape[1], device=line.device) > place[..., None]
    until = clean.cumsum(1)
    passed = until.gather(1, place.expand(len(line), -1))
    # Where there is no clean pixel the softmax is of nothing, and has no weight.
    forth, back = ways.unbind(2)
    forth, back = forth * (until[:, -1:] > passed), back * (passed > 0)
    weights = scores.masked_fill(~ahead, lowest).softmax(2) * forth[..., None]
    weights = weights + scores.masked_fill(ahead, lowest).softmax(2) * back[..., None]
    return weights @ line  # eq. 4 and 5 in one: sums of the same features


class NonLocal(nn.Module):
    """Plain non-local attention over all pixels (Wang et al. 2018), for table 6's Net4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ask = nn.Conv2d(channels, channels // 2, 1)
        self.answer = nn.Conv2d(channels, 2 * (channels // 2), 1)
        self.back = nn.Conv2d(channels // 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Turn N x C x H x W into the same."""
        query = self.ask(x).flatten(2).transpose(1, 2)
        key, value = self.answer(x).flatten(2).transpose(1, 2).chunk(2, 2)
        found = F.scaled_dot_product_attention(
            query.contiguous(), key.contiguous(), value.contiguous(), scale=1.0
        )
        return x + self.back(found.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:]))
