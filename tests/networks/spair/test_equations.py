"""SPAIR's equations 1 to 5 against plain references: loops over pixels, gradients included."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from drcnet_cli.networks.spair.attention import SNL, gather
from drcnet_cli.networks.spair.network import EPSILON, modulate
from drcnet_cli.networks.spair.sparse import SLOPE, DenseBlock, sparse_block

SHARES = (0.0, 0.1, 0.5, 1.0)


def random_mask(height: int, width: int, share: float, seed: int = 0) -> Tensor:
    values = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    return (values < share).double()


def random_features(channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(1, channels, height, width, generator=generator, dtype=torch.float64)


def same_with_gradients(
    function: Callable[[Tensor], Tensor], reference: Callable[[Tensor], Tensor], x: Tensor
) -> None:
    """Compare results and gradients of a weighted sum of them."""
    results = []
    for each in (function, reference):
        source = x.clone().requires_grad_()
        result = each(source)
        weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).reshape(result.shape)
        # What no degraded pixel asked for depends on nothing.
        ((result * weights).sum() + 0 * source.sum()).backward()
        results.append((result.detach(), source.grad))
    for ours, plain in zip(*results, strict=True):
        assert torch.isfinite(ours).all()
        torch.testing.assert_close(ours, plain, atol=1e-9, rtol=1e-7)


def plain_modulation(x: Tensor, mask: Tensor) -> Tensor:
    """Eq. 1, channel by channel and pixel by pixel."""
    channels, height, width = x.shape[1:]
    spots = [(i, j) for i in range(height) for j in range(width)]
    bad = [spot for spot in spots if mask[0, 0][spot] == 1]
    good = [spot for spot in spots if mask[0, 0][spot] == 0]
    if not bad or not good:
        return x
    planes = []
    for plane in x[0]:
        means, deviations = [], []
        for group in (bad, good):
            mean = sum(plane[spot] for spot in group) / len(group)
            square = sum(plane[spot] ** 2 for spot in group) / len(group)
            means.append(mean)
            deviations.append((square - mean**2 + EPSILON) ** 0.5)
        values = [
            deviations[1] * (plane[spot] - means[0]) / deviations[0] + means[1]
            if mask[0, 0][spot] == 1
            else plane[spot]
            for spot in spots
        ]
        planes.append(torch.stack(values).reshape(height, width))
    return torch.stack(planes)[None]


def plain_sparse_conv(x: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Eq. 2: at each masked pixel the sum over the kernel's offsets, 0 elsewhere."""
    height, width = x.shape[2:]
    rows = []
    for i in range(height):
        row = []
        for j in range(width):
            total = bias * 0
            if mask[0, 0, i, j] == 1:
                total = bias
                for down in (-1, 0, 1):
                    for right in (-1, 0, 1):
                        if 0 <= i + down < height and 0 <= j + right < width:
                            kernel = weight[:, :, down + 1, right + 1]
                            total = total + kernel @ x[0, :, i + down, j + right]
            row.append(total)
        rows.append(torch.stack(row))
    return torch.stack(rows).permute(2, 0, 1)[None]


def plain_sc(block: DenseBlock, x: Tensor, mask: Tensor) -> Tensor:
    found = x
    for conv in block.convs:
        grown = plain_sparse_conv(found, mask, conv.weight, conv.bias)  # type: ignore[arg-type]
        found = torch.cat([found, F.leaky_relu(grown, SLOPE)], 1)
    return x + block.reduce(found) * mask


def plain_gathering(x: Tensor, mask: Tensor, fusion: Tensor) -> Tensor:
    """Eq. 3 to 5: for each degraded pixel softmax attention to the clean ones of each direction."""
    height, width = x.shape[2:]
    rows = []
    for i in range(height):
        row = []
        for j in range(width):
            total = x[0, :, i, j] * 0
            directions = (
                [(i, k) for k in range(j + 1, width)],
                [(i, k) for k in range(j)],
                [(k, j) for k in range(i + 1, height)],
                [(k, j) for k in range(i)],
            )
            for way, spots in enumerate(directions):
                clean = [spot for spot in spots if mask[0, 0][spot] == 0]
                if mask[0, 0, i, j] == 0 or not clean:
                    continue
                there = torch.stack([x[0, :, k, m] for k, m in clean])
                share = torch.softmax(there @ x[0, :, i, j], 0)
                total = total + fusion[0, way, i, j] * (share @ there)
            row.append(total)
        rows.append(torch.stack(row))
    return torch.stack(rows).permute(2, 0, 1)[None]


@pytest.mark.parametrize("share", SHARES)
def test_modulation_is_equation_1(share: float) -> None:
    x, mask = random_features(3, 5, 6), random_mask(5, 6, share)

    same_with_gradients(lambda y: modulate(y, mask), lambda y: plain_modulation(y, mask), x)


def test_modulated_pixels_have_the_clean_ones_statistics() -> None:
    x, mask = random_features(2, 20, 20) * 3 + 5, random_mask(20, 20, 0.4)
    x = torch.where(mask == 1, x * 0.2 - 9, x)

    moved = modulate(x, mask)

    bad, good = moved[0, :, mask[0, 0] == 1], moved[0, :, mask[0, 0] == 0]
    torch.testing.assert_close(bad.mean(1), good.mean(1))
    torch.testing.assert_close(bad.std(1), good.std(1), rtol=0.02, atol=0)
    assert torch.equal(good, x[0, :, mask[0, 0] == 0])


@pytest.mark.parametrize("share", SHARES)
def test_sparse_convolutions_are_equation_2(share: float) -> None:
    torch.manual_seed(0)
    block = DenseBlock(4, 3).double()
    x, mask = random_features(4, 5, 6), random_mask(5, 6, share)

    same_with_gradients(lambda y: block(y, mask), lambda y: plain_sc(block, y, mask), x)


@pytest.mark.parametrize("share", SHARES)
def test_sparse_convolutions_of_gathered_pixels_are_the_same(share: float) -> None:
    torch.manual_seed(0)
    block = DenseBlock(6, 6)
    x = torch.randn(2, 6, 17, 13)
    mask = torch.cat([random_mask(17, 13, share, seed).float() for seed in (1, 2)])

    found = sparse_block(x, mask, list(block.convs), block.reduce)

    torch.testing.assert_close(found, block.dense(x, mask), atol=1e-5, rtol=0)


@pytest.mark.parametrize("share", SHARES)
def test_attention_is_equations_3_to_5(share: float) -> None:
    x, mask, fusion = random_features(4, 6, 5), random_mask(6, 5, share), random_features(4, 6, 5)
    fusion = fusion.flip(3)

    for sparse in (False, True):
        same_with_gradients(
            lambda y, sparse=sparse: gather(y, mask, fusion, sparse=sparse),
            lambda y: plain_gathering(y, mask, fusion),
            x,
        )


@pytest.mark.parametrize("share", SHARES)
def test_two_steps_of_attention_leave_clean_pixels_as_they_are(share: float) -> None:
    torch.manual_seed(0)
    attention = SNL(6).double()
    torch.nn.init.normal_(attention.between.weight)
    x, mask = random_features(6, 7, 9), random_mask(7, 9, share)

    def plain(y: Tensor) -> Tensor:
        y = y + plain_gathering(y, mask, attention.fuse1(y))
        y = torch.where(mask == 1, attention.between(y), y)
        return y + plain_gathering(y, mask, attention.fuse2(y))

    same_with_gradients(lambda y: attention(y, mask), plain, x)
    assert torch.equal(attention(x, mask)[0, :, mask[0, 0] == 0], x[0, :, mask[0, 0] == 0])


def test_attention_in_parts_is_that_of_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    x, mask = random_features(4, 12, 15), random_mask(12, 15, 0.3)
    fusion = random_features(4, 12, 15)
    whole = [gather(x, mask, fusion, sparse=sparse) for sparse in (False, True)]

    monkeypatch.setattr("drcnet_cli.networks.spair.attention._SCORES", {"cpu": 30})

    for sparse, expected in zip((False, True), whole, strict=True):
        torch.testing.assert_close(gather(x, mask, fusion, sparse=sparse), expected)
