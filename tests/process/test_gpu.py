"""What only a CUDA device can show: `pytest -m gpu`."""

import numpy as np
import pytest
import torch
from conftest import photograph

from drcnet_cli.api import load_model, make_restorer
from drcnet_cli.device import free_memory
from drcnet_cli.restore.restorer import Tiling

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def restored(device: str, dtype: str, pixels: np.ndarray, tiling: Tiling) -> np.ndarray:
    return make_restorer(load_model("denoise", device, dtype), tiling).restore(pixels)


@pytest.mark.parametrize(("dtype", "distance"), [("float32", 1), ("bfloat16", 4), ("float16", 2)])
def test_the_device_restores_as_the_cpu_does(dtype, distance):
    pixels = photograph(200, 300)
    expected = restored("cpu", "float32", pixels, Tiling())
    found = restored("cuda", dtype, pixels, Tiling())
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= distance


def test_device_memory_does_not_grow_with_the_image():
    restorer = make_restorer(load_model("denoise", "cuda"), Tiling(64, 8, 4))
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
    restorer = make_restorer(network, Tiling(256, 32, 64), notify=notes.append)
    pixels = photograph(2000, 2000)
    result = restorer.restore(pixels)
    del hoard
    assert result.shape == pixels.shape
    assert all("Memory ran out" in text for text in notes)
