"""What only a CUDA device can show: `pytest -m gpu`."""

import numpy as np
import pytest
import torch
from conftest import photograph

from drcnet_cli.api import load_model
from drcnet_cli.device import free_memory
from drcnet_cli.engines.graphs import OFTEN, RecordedShapes, cuda_recorder
from drcnet_cli.engines.queues import queue_for
from drcnet_cli.restore.tiling import TileOptions

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def restored(device: str, dtype: str, pixels: np.ndarray, tiling: TileOptions) -> np.ndarray:
    return load_model("denoise", device, dtype).restorer(tiling).restore(pixels)


@pytest.mark.parametrize(("dtype", "distance"), [("float32", 1), ("bfloat16", 4), ("float16", 2)])
def test_the_device_restores_as_the_cpu_does(dtype, distance):
    pixels = photograph(200, 300)
    expected = restored("cpu", "float32", pixels, TileOptions())
    found = restored("cuda", dtype, pixels, TileOptions())
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= distance


def test_device_memory_does_not_grow_with_the_image():
    restorer = load_model("denoise", "cuda").restorer(TileOptions(64, 8, 4))
    peaks = []
    for side in (256, 2048):
        torch.cuda.reset_peak_memory_stats()
        restorer.restore(photograph(side, side))
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] <= peaks[0] * 1.05


def test_a_batch_that_does_not_fit_is_made_smaller():
    notes = []
    hoard = torch.empty(
        int(free_memory(torch.device("cuda")) * 0.97), dtype=torch.uint8, device="cuda"
    )
    network = load_model("denoise", "cuda", "float32")
    restorer = network.restorer(TileOptions(256, 32, 64), notify=notes.append)
    pixels = photograph(2000, 2000)
    result = restorer.restore(pixels)
    del hoard
    assert result.shape == pixels.shape
    assert all("Memory ran out" in text for text in notes)


def test_copies_arrive_whole_in_both_directions():
    queue = queue_for(torch.device("cuda", 0))
    sent = [queue.host((4, 3, 256, 256)).normal_() for _ in range(8)]
    assert all(values.is_pinned() for values in sent)
    late = [queue.fetch(queue.send(values) * 2) for values in sent]
    for values, found in zip(sent, late, strict=True):
        assert torch.equal(found(), values * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_recorded_network_computes_as_before(dtype):
    device = torch.device("cuda", 0)
    network = load_model("denoise", "cuda").network

    def run(batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cuda", dtype=dtype, enabled=dtype != torch.float32):
            return network(batch).float()

    record, made = cuda_recorder(device), []
    recorded = RecordedShapes(run, lambda *given: made.append(given) or record(*given))
    results = []
    for count in (2, 1, 2, 1, 2):
        x = torch.rand(count, 3, 64, 64, device=device)
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            results.append((recorded(x), run(x)))
    assert len(made) == 2 and OFTEN == 2
    for found, expected in results:  # after all replays: none wrote over what one gave
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    # Recording did not fall back in silence.
    assert len(recorded._replays) == 2


def test_a_network_that_waits_for_values_is_not_recorded_and_harms_nothing():
    def run(batch: torch.Tensor) -> torch.Tensor:
        return batch + 1 if bool((batch > 2).any()) else batch * 2

    recorded = RecordedShapes(run, cuda_recorder(torch.device("cuda", 0)))
    x = torch.rand(1, 3, 32, 32, device="cuda")
    for _ in range(3):
        assert torch.equal(recorded(x), x * 2)
    assert not recorded._replays
    assert torch.cuda.get_sync_debug_mode() == 0
