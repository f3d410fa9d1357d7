"""What a device with queues of its own computes through, on the CPU: ahead, blended there.

`LateQueue` reads what it is to bring back as late as a device might, so that what is written over
too early shows.
"""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from drcnet_cli.engines.queues import CudaQueue, DeviceQueue, queue_for
from drcnet_cli.errors import MemoryExhaustedError, NonFiniteError
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.restore.device_blender import DeviceBlender
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.restore.tiling import RowBlender, TileOptions, plan_tiles, published_tiles

INFO = CheckpointInfo(DRCNetConfig(width=4, depth=2), training_patch=64)
CPU = torch.device("cpu")


class LateQueue(DeviceQueue):
    overlaps = True

    def fetch(self, values):
        return lambda: values.clone()


class Network(nn.Module):
    """Does `change` to each batch; remembers shapes, and has room for so many values."""

    def __init__(self, change=lambda x: 1 - x, room=None):
        super().__init__()
        self.change, self.room, self.shapes = change, room, []

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        if self.room is not None and x.numel() > self.room:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return self.change(x)


@pytest.fixture
def late(monkeypatch):
    monkeypatch.setattr("drcnet_cli.restore.restorer.queue_for", LateQueue)


def restorer(network=None, tiling=None, **more) -> Restorer:
    return Restorer(network or Network(), INFO, device=CPU, tiling=tiling, **more)


def picture(height, width, dtype=np.uint8):
    values = np.random.default_rng(0).random((height, width, 3), np.float32)
    return values if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


def test_only_cuda_overlaps():
    assert type(queue_for(CPU)) is DeviceQueue and not DeviceQueue.overlaps
    assert CudaQueue.overlaps


PLANS = {
    "overlapping": plan_tiles(150, 170, 64, 20),
    "side by side": plan_tiles(128, 192, 64, 0),
    "one tile beyond the picture": plan_tiles(20, 30, 64, 8),
    "averages": published_tiles(100, 130, 64),
    "a row of tiles": plan_tiles(40, 300, 64, 16),
    "a column of tiles": plan_tiles(300, 40, 64, 16),
}


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_blending_on_the_device_is_blending(plan, channels):
    tiles = torch.rand(len(plan), channels, plan.tile_height, plan.tile_width)
    expected, found = [], []
    rows = RowBlender(plan, lambda top, rows: expected.append((top, rows.copy())), channels)
    for tile in tiles.numpy():
        rows.add(tile)
    device = DeviceBlender(
        plan, lambda top, rows: found.append((top, rows)), LateQueue(CPU), channels
    )
    for some in tiles.split(3):
        device.add(some)
    device.close()
    assert [top for top, _ in found] == [top for top, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-6, rtol=0)


def test_rows_go_out_while_tiles_come_in_and_two_bands_are_held():
    plan = plan_tiles(64 * 20, 64, 64, 0)
    kept: list[weakref.ref] = []
    done, most = [], 0

    class Counting(LateQueue):
        def fetch(self, values):
            kept.append(weakref.ref(values))
            return super().fetch(values)

    device = DeviceBlender(plan, lambda top, _: done.append(top), Counting(CPU))
    for number in range(len(plan)):
        device.add(torch.rand(1, 3, 64, 64))
        gc.collect()
        most = max(most, sum(ref() is not None for ref in kept))
        assert len(done) == number
    assert most <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("tiling", [TileOptions(32, 8, 3), TileOptions(32, 8, 1), TileOptions(0)])
def test_it_restores_as_the_plain_path_does(tiling, dtype, monkeypatch):
    pixels = picture(100, 130, dtype)
    expected = restorer(tiling=tiling).restore(pixels)
    monkeypatch.setattr("drcnet_cli.restore.restorer.queue_for", LateQueue)
    network, shares = Network(), []
    found = restorer(network, tiling).restore(pixels, shares.append)
    distance = np.abs(found.astype(np.float64) - expected)
    assert distance.max() <= (1e-6 if dtype == np.float32 else 1)
    assert sum(shares) == pytest.approx(1)
    assert sum(shape[0] for shape in network.shapes) == len(plan_tiles(100, 130, 32, 8)) or (
        tiling.tile == 0
    )


def test_a_batch_is_begun_before_the_last_one_is_completed(monkeypatch):
    events = []

    class Telling(LateQueue):
        def fetch(self, values):
            if values.dtype == torch.bool:  # which tiles are no pictures
                number = sum(event.startswith("begun") for event in events)
                events.append(f"begun {number}")
                return lambda: events.append(f"completed {number}") or values
            return super().fetch(values)

    monkeypatch.setattr("drcnet_cli.restore.restorer.queue_for", Telling)
    restorer(tiling=TileOptions(32, 0, 2)).restore(picture(96, 64))
    assert events == ["begun 0", "begun 1", "completed 0", "begun 2", "completed 1", "completed 2"]


@pytest.mark.parametrize(("room", "side"), [(3 * 64 * 64, 64), (3 * 40 * 40, 32), (3 * 17**2, 16)])
def test_out_of_memory_shrinks_batch_then_tile(room, side, late):
    notes, network, pixels = [], Network(room=room), picture(150, 150)
    made = restorer(network, TileOptions(64, 16, 4), notify=notes.append)
    assert np.abs(made.restore(pixels).astype(int) - (255 - pixels)).max() <= 1
    fitting = [shape for shape in network.shapes if np.prod(shape) <= room]
    assert max(shape[2] for shape in fitting) == side
    assert len(notes) == len(network.shapes) - len(fitting)
    with pytest.raises(MemoryExhaustedError):
        restorer(Network(room=0), TileOptions(32)).restore(pixels)


def test_memory_that_runs_out_on_completion_is_made_up_for(late):
    # Where a batch overflows it is redone in float32, for which there may be no room.
    pixels, notes = picture(96, 96), []

    def change(x):
        if torch.is_autocast_enabled("cpu"):
            return x * torch.inf
        if len(x) > 1:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return 1 - x

    made = restorer(
        Network(change), TileOptions(32, 0, 4), dtype=torch.bfloat16, notify=notes.append
    )
    assert np.array_equal(made.restore(pixels), 255 - pixels)
    assert sum("Memory ran out" in note for note in notes) == 2  # 4, 2, 1 at once


def test_tiles_that_are_no_pictures_are_found_late_and_stay_or_raise(late):
    pixels = picture(64, 64, np.float32)
    pixels[:32, :32] = 0

    def explode(x):
        wild = (x == 0).flatten(1).all(1)
        return torch.where(wild[:, None, None, None], x + 1e10, 1 - x)

    made = restorer(Network(explode), TileOptions(32, 0, 2))
    restored = made.restore(pixels)
    assert made.tiles_left == 1
    assert np.array_equal(restored[:32, :32], pixels[:32, :32])
    assert np.array_equal(restored[32:], 1 - pixels[32:])
    with pytest.raises(NonFiniteError):
        restorer(Network(lambda x: x * torch.nan)).restore(pixels)
