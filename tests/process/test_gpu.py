"""What only a CUDA device can show: `pytest -m gpu`."""

import numpy as np
import pytest
import torch
from conftest import photograph

from drcnet_cli.api import load_model
from drcnet_cli.device import free_memory
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
