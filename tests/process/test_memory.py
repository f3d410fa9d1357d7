"""Peak memory on large pictures: `pytest -m slow`, some minutes."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import command, environment, photograph
from PIL import Image

MEASURE = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], capture_output=True).returncode
unit = 1 if sys.platform == "darwin" else 1024
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_hundred_megapixels_take_less_than_two_and_a_half_gigabytes(tmp_path, suffix):
    source = tmp_path / f"in{suffix}"
    Image.fromarray(np.tile(photograph(1042, 1500), (8, 8, 1))).save(source)
    call = command("restore", "--task", "denoise", source, tmp_path / f"out{suffix}")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *call],
        capture_output=True,
        text=True,
        env=environment(tmp_path),
        timeout=3000,
    )
    code, peak = map(int, done.stdout.split())
    assert code == 0
    assert (tmp_path / f"out{suffix}").exists()
    assert peak < 2.5e9
