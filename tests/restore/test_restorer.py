"""The restorer: the tiling contract's clauses that need a network, with networks made for them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from drcnet_cli.errors import MemoryExhaustedError, NonFiniteError, UsageError
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import TileOptions

INFO = CheckpointInfo(DRCNetConfig(width=4, depth=2), training_patch=64)
CPU = torch.device("cpu")


def restorer(network, *, tiling=None, **more) -> Restorer:
    return Restorer(network, INFO, device=CPU, tiling=tiling, **more)


def random_net() -> DRCNet:
    torch.manual_seed(3)
    return DRCNet(DRCNetConfig(width=4, depth=2, threshold=0.5))


def picture(height, width, channels=3, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == np.float32:
        return rng.random((height, width, channels), np.float32)
    return rng.integers(0, np.iinfo(dtype).max + 1, (height, width, channels), dtype)


class Recorder(nn.Module):
    """Does `change` to each batch and remembers the batches' shapes and memory needs."""

    def __init__(self, change=lambda x: x, room=None) -> None:
        super().__init__()
        self.change = change
        self.room = room
        self.shapes = []
        self.autocasts = []

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        self.autocasts.append(torch.is_autocast_enabled("cpu"))
        if self.room is not None and x.numel() > self.room:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return self.change(x)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([0, 16, 32, 64]),
    st.integers(0, 15),
    st.integers(1, 5),
    st.sampled_from([1, 3]),
    st.sampled_from([np.uint8, np.uint16]),
)
def test_identity_network_returns_every_picture(h, w, tile, overlap, batch, channels, dtype):
    pixels = picture(h, w, channels, dtype)
    tiling = TileOptions(tile, overlap if tile else 0, batch)
    restored = restorer(nn.Identity(), tiling=tiling).restore(pixels)
    assert restored.dtype == dtype
    assert np.array_equal(restored, pixels)


def test_tiles_are_equal_whatever_the_image():
    network = Recorder()
    restorer(network, tiling=TileOptions(32, 8, 3)).restore(picture(70, 45))
    assert {shape[1:] for shape in network.shapes} == {(3, 32, 32)}


def test_a_batch_of_tiles_equals_tiles_one_at_a_time():
    pixels = picture(100, 130, dtype=np.float32)
    one, many = (
        restorer(random_net(), tiling=TileOptions(32, 8, batch)).restore(pixels) for batch in (1, 7)
    )
    np.testing.assert_allclose(many, one, atol=1e-6, rtol=0)


def test_the_network_never_sees_more_than_a_batch():
    network = Recorder()
    restorer(network, tiling=TileOptions(32, 0, 4)).restore(picture(320, 320))
    assert max(np.prod(shape) for shape in network.shapes) <= 4 * 3 * 32 * 32


@pytest.mark.parametrize(("shape", "side"), [((20, 30), 64), ((100, 70), 104)])
def test_a_tile_far_beyond_the_image_is_not_computed(shape, side):
    network = Recorder()
    pixels = picture(*shape)
    assert np.array_equal(restorer(network, tiling=TileOptions(10**9, 8)).restore(pixels), pixels)
    assert network.shapes == [(1, 3, side, side)]


@pytest.mark.parametrize(("room", "side"), [(3 * 64 * 64, 64), (3 * 40 * 40, 32), (3 * 17**2, 16)])
def test_out_of_memory_shrinks_batch_then_tile_and_says_so_once(room, side):
    notes = []
    network = Recorder(room=room)
    pixels = picture(150, 150)
    restored = restorer(network, tiling=TileOptions(64, 16, 4), notify=notes.append).restore(pixels)
    assert np.array_equal(restored, pixels)
    fitting = {shape for shape in network.shapes if np.prod(shape) <= room}
    assert max(shape[2] for shape in fitting) == side
    assert len(notes) == len(set(notes))
    assert all("Memory ran out" in text for text in notes)
    failures = sum(np.prod(shape) > room for shape in network.shapes)
    assert failures == len(notes)  # nothing that failed is tried again


def test_out_of_memory_with_the_whole_image_still_blends():
    network = Recorder(room=3 * 64 * 64)
    pixels = picture(150, 90)
    restored = restorer(network, tiling=TileOptions(0)).restore(pixels)
    assert np.array_equal(restored, pixels)


def test_host_allocation_failures_count_as_out_of_memory():
    calls = []

    def fail_twice(x):
        calls.append(len(x))
        if len(calls) == 1:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        if len(calls) == 2:
            raise MemoryError
        return x

    restorer(Recorder(fail_twice), tiling=TileOptions(32, 0, 8)).restore(picture(128, 64))
    assert calls[:3] == [8, 4, 2]


def test_no_memory_at_all_is_a_typed_error():
    with pytest.raises(MemoryExhaustedError):
        restorer(Recorder(room=0), tiling=TileOptions(32)).restore(picture(50, 50))


def test_other_runtime_errors_are_not_swallowed():
    def broken(x):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        restorer(Recorder(broken)).restore(picture(16, 16))


def test_a_tile_that_overflows_is_redone_in_float32():
    notes = []

    def overflow(x):
        broken = x.clone()
        if torch.is_autocast_enabled("cpu"):
            broken[0] = torch.inf
        return broken

    pixels = picture(64, 64)
    made = restorer(
        Recorder(overflow), tiling=TileOptions(32, 0, 4), dtype=torch.bfloat16, notify=notes.append
    )
    for _ in range(3):
        assert np.array_equal(made.restore(pixels), pixels)
    assert len(notes) == 1  # four tiles in a batch, three images: said once
    assert "float32" in notes[0]


def test_values_that_stay_non_finite_are_a_typed_error():
    with pytest.raises(NonFiniteError):
        restorer(Recorder(lambda x: x * torch.nan)).restore(picture(16, 16))


def test_a_tile_that_the_network_makes_no_picture_of_stays_as_it_was():
    pixels = picture(64, 64, dtype=np.float32)
    pixels[:32, :32] = 0

    def explode(x):
        wild = (x == 0).flatten(1).all(1)
        return torch.where(wild[:, None, None, None], x + 1e10, 1 - x)

    made = restorer(Recorder(explode), tiling=TileOptions(32, 0, 4))
    restored = made.restore(pixels)
    assert made.tiles_left == 1
    assert made.remark().startswith("1 tile was left as in the input")
    assert np.array_equal(restored[:32, :32], pixels[:32, :32])
    assert np.array_equal(restored[32:], 1 - pixels[32:])
    made.restore(pixels[32:])
    assert made.tiles_left == 0 and not made.remark()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e10])
def test_a_network_that_fails_on_plain_gray_too_is_a_typed_error(value):
    with pytest.raises(NonFiniteError):
        restorer(Recorder(lambda x: x + value)).restore(picture(16, 16))


def test_a_coarse_bfloat16_falls_back_to_float32():
    def coarse(x):
        return x + 0.01 if torch.is_autocast_enabled("cpu") else x

    pixels = picture(64, 64)
    made = restorer(Recorder(coarse), dtype=torch.bfloat16, check_dtype=True)
    assert np.array_equal(made.restore(pixels), pixels)
    assert made.dtype == torch.float32
    starved = restorer(Recorder(coarse, room=3 * 32**2), dtype=torch.bfloat16, check_dtype=True)
    assert np.array_equal(starved.restore(pixels), pixels)
    assert starved.dtype == torch.float32  # checked although the first try ran out of memory
    kept = restorer(Recorder(), dtype=torch.bfloat16, check_dtype=True)
    kept.restore(pixels)
    assert kept.dtype == torch.bfloat16


def test_ensemble_averages_a_picture_and_its_mirror_images():
    pixels = picture(40, 40, dtype=np.float32)
    net = random_net().eval()
    made = restorer(net, tiling=TileOptions(0), ensemble=True).restore(pixels)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    views = []
    with torch.inference_mode():
        for axes in itertools.product(*[(None, axis) for axis in (2, 3)]):
            flipped = [axis for axis in axes if axis is not None]
            views.append(net(x.flip(flipped)).flip(flipped))
    expected = torch.stack(views).mean(0).clamp(0, 1)[0].permute(1, 2, 0)
    np.testing.assert_allclose(made, expected.numpy(), atol=1e-5)


def test_gray_stays_gray():
    made = restorer(Recorder(lambda x: x * 0.5)).restore(picture(20, 20, channels=1))
    assert made.shape == (20, 20, 1)


def test_progress_adds_up_to_the_image():
    shares = []
    made = restorer(nn.Identity(), tiling=TileOptions(32, 8, 3))
    made.restore(picture(100, 70), shares.append)
    assert sum(shares) == pytest.approx(1)
    assert len(shares) > 1


def test_a_batch_below_one_is_refused():
    with pytest.raises(UsageError):
        restorer(nn.Identity(), tiling=TileOptions(batch=0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_gray_in_three_channels_stays_gray_whatever_the_network(dtype):
    tint = torch.tensor([0.2, 0.0, -0.1]).reshape(3, 1, 1)
    gray = picture(40, 50, 1, dtype).repeat(3, axis=2)
    restored = restorer(Recorder(lambda x: x + tint)).restore(gray)
    assert restored.shape == gray.shape
    assert restored.dtype == dtype
    assert (restored == restored[..., :1]).all()
    coloured = gray.copy()
    coloured[0, 0, 0] = 0
    coloured[0, 0, 1] = 1
    tinted = restorer(Recorder(lambda x: x + tint)).restore(coloured)
    assert not (tinted == tinted[..., :1]).all()


class Negative(nn.Module):
    def forward(self, x):
        return 1 - x


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_strength_blends_the_result_with_the_input(dtype):
    pixels = picture(40, 50, dtype=dtype)
    full = restorer(Negative()).restore(pixels)
    assert np.array_equal(restorer(Negative(), strength=1.0).restore(pixels), full)
    none = restorer(Negative(), strength=0.0, tiling=TileOptions(32, 8))
    assert np.array_equal(none.restore(pixels), pixels)
    quarter = restorer(Negative(), strength=0.25, tiling=TileOptions(32, 8)).restore(pixels)
    expected = 0.75 * pixels.astype(float) + 0.25 * full.astype(float)
    assert np.abs(quarter - expected).max() <= (1e-6 if dtype == np.float32 else 1)


def test_strength_is_told_and_checked():
    assert "strength 0.5" in restorer(Negative(), strength=0.5).facts().description
    assert "strength" not in restorer(Negative()).facts().description
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="strength"):
            restorer(Negative(), strength=wrong)
