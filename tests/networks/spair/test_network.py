"""SPAIR's network: its switches, its masks, its sizes, its memory."""

import subprocess
import sys
from typing import Any

import pytest
import torch

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.networks.spair.config import SPAIRConfig
from drcnet_cli.networks.spair.network import SPAIR, around

SMALL: dict[str, Any] = {"widths": (8, 12, 16), "localisation_widths": (4, 6, 8)}
OFF = {"modulation": False, "sparse_convolution": False, "sparse_non_local": False}
# Table 6, each row by what it switches.
ROWS: dict[str, dict[str, bool]] = {
    "Net1": OFF,
    "Net2": {**OFF, "modulation": True},
    "Net3": {"sparse_non_local": False},
    "Net4": {"sparse_non_local": False, "non_local": True},
    "SPAIR": {},
}


def make(**values: Any) -> SPAIR:
    torch.manual_seed(0)
    return SPAIR(SPAIRConfig(**{**SMALL, **values}))


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_every_row_of_table_6_restores_and_learns(row: str, share: float) -> None:
    network = make(**ROWS[row])
    x, mask = torch.rand(2, 3, 21, 34), (torch.rand(2, 1, 21, 34) < share).float()

    image = network(x, mask)
    image.square().mean().backward()

    assert image.shape == x.shape
    assert torch.isfinite(image).all()
    learned = {name for name, weight in network.named_parameters() if weight.grad is not None}
    expected = {name for name, _ in network.named_parameters() if name.startswith("restoration")}
    assert learned == expected
    assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)


@pytest.mark.parametrize("row", ROWS)
def test_the_mask_matters_to_guided_rows_alone(row: str) -> None:
    network = make(**ROWS[row]).eval()
    x = torch.rand(1, 3, 32, 32)
    masks = torch.zeros(2, 1, 32, 32)
    masks[1, :, 8:20, 8:20] = 1

    one, two = (network(x, mask[None]) for mask in masks)

    assert torch.equal(one, two) == (row == "Net1")


def test_a_network_without_modulation_differs_only_by_its_weights_for_it() -> None:
    names = set(make().state_dict()) - set(make(modulation=False).state_dict())

    assert names
    assert all(name.startswith("restoration.modulators.") for name in names)


def test_sparse_and_dense_inference_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make().eval()
    x, mask = torch.rand(2, 3, 48, 40), (torch.rand(2, 1, 48, 40) < 0.01).float()
    results = []
    for limit in (0.0, 2.0):
        for name in ("sparse.SPARSE_BELOW", "attention.ATTENTION_BELOW"):
            monkeypatch.setattr(f"drcnet_cli.networks.spair.{name}", {"cpu": limit})
        with torch.no_grad():
            results.append(network(x, mask))

    torch.testing.assert_close(*results, atol=1e-5, rtol=0)


def test_only_masked_leaves_the_rest_exactly() -> None:
    network = make(only_masked=True).eval()
    x, mask = torch.rand(3, 3, 48, 48), torch.zeros(3, 1, 48, 48)
    mask[1, :, 10:14, 10:14] = 1
    mask[2] = 1

    with torch.no_grad():
        image = network(x, mask)
    with torch.enable_grad():
        learned = network(x, mask)

    assert torch.equal(image[0], x[0])
    far = around(mask[1:2]).expand(1, 3, -1, -1)[0] == 0
    assert torch.equal(image[1][far], x[1][far])
    assert not torch.equal(image[1][:, 10:14, 10:14], x[1][:, 10:14, 10:14])
    torch.testing.assert_close(image, learned.detach(), atol=1e-5, rtol=0)


def test_around_is_one_on_the_mask_and_zero_far_away() -> None:
    mask = torch.zeros(1, 1, 40, 40)
    mask[..., 20, 20] = 1

    weight = around(mask)[0, 0]

    assert weight[20, 20] == 1
    assert weight[20, 29:].max() == 0
    assert (weight[20, 20:].diff() <= 0).all()


def test_the_networks_own_mask_is_that_of_its_logits() -> None:
    network = make().eval()
    x = torch.rand(1, 3, 19, 30)

    image, mask = network(x, return_mask=True)

    torch.testing.assert_close(mask, network(x, localise_only=True).sigmoid())
    torch.testing.assert_close(image, network(x, (mask >= 0.5).float()))


def test_localisation_learns_by_its_logits() -> None:
    network = make()

    network(torch.rand(1, 3, 16, 16), localise_only=True).sum().backward()

    learned = {name for name, weight in network.named_parameters() if weight.grad is not None}
    assert learned == {n for n, _ in network.named_parameters() if n.startswith("localisation")}


def test_it_begins_by_changing_nothing() -> None:
    network = make()
    network.begin_at_input()
    x = torch.rand(1, 3, 20, 20)

    assert torch.equal(network(x), x)


def test_a_batch_does_not_change_a_picture() -> None:
    network = make().eval()
    x = torch.rand(3, 3, 32, 32)

    with torch.no_grad():
        together = network(x)
        alone = torch.cat([network(item[None]) for item in x])

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_the_default_fits_a_bundled_checkpoint() -> None:
    with torch.device("meta"):
        count = sum(weight.numel() for weight in SPAIR().parameters())

    assert 2 * count < 4e6  # bytes, in float16


@pytest.mark.parametrize(
    "values",
    [
        {"widths": (8,), "localisation_widths": (4,)},
        {"widths": (8, 9)},
        {"localisation_widths": (4, 6)},
        {"mask_threshold": 0.0},
        {"shrink": 3},
        {"non_local": True},
    ],
)
def test_impossible_configurations_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CheckpointFormatError):
        SPAIRConfig(**{**SMALL, **values})


_MEMORY = """
import resource, torch
from drcnet_cli.networks.spair.attention import SNL
torch.set_num_threads(1)
attention, x = SNL(16).eval(), torch.rand(1, 16, {0}, {0})
mask = (torch.rand(1, 1, {0}, {0}) < {1}).float()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with torch.inference_mode():
    attention(x, mask)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss")
@pytest.mark.parametrize("share", [0.02, pytest.param(0.6, marks=pytest.mark.slow)])
def test_attention_of_a_megapixel_takes_less_than_2_gb(share: float) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY.format(1000, share)], capture_output=True, check=True
    )

    assert int(done.stdout) < 1.5e6  # KiB; scores of all rows at once would take 4 GB
