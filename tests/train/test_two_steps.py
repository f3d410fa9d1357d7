"""Training SPAIR: where the damage is first, then what was there; masks; and the seam between."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from training_helpers import Killed, photographs, stop_at, tiny

from drcnet_cli.datasets.pairs import match_folders, match_masks
from drcnet_cli.degrade.folder import PairPlan, make_pairs
from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.networks.spair.reshape import reshape
from drcnet_cli.train import loop
from drcnet_cli.train.data import open_data
from drcnet_cli.train.loop import Training, train
from drcnet_cli.train.samples import damage_mask
from drcnet_cli.train.state import STATE_NAME

SHAPE = ["widths=[4,4]", "localisation_widths=[2,4]"]
SPAIR = {
    "network": "spair", "task": "raindrop", "degrade": "", "set": SHAPE, "patches": "16x2",
    "localise_first": 0.4,
}  # fmt: skip


def spair(clean, out, /, **settings):
    return tiny(clean, out, **{**SPAIR, **settings})


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="module")
def pairs(clean, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRCNET_CACHE", str(folder / ".cache"))
        make_pairs(clean, folder, PairPlan("raindrop", seed=1))
    return folder


@pytest.mark.parametrize("step", [3, 4, 6])  # before the seam, at it, and after it
def test_a_run_cut_off_and_resumed_ends_as_an_undisturbed_one(clean, tmp_path, monkeypatch, step):
    settings = {"steps": 10, "save_every": "2"}
    train(spair(clean, tmp_path / "whole", **settings))
    stop_at(monkeypatch, step, Killed)
    with pytest.raises(Killed):
        train(spair(clean, tmp_path / "cut", **settings))
    assert train(spair(clean, tmp_path / "cut", **settings)).step == 10
    one, other = (load_file(tmp_path / name / STATE_NAME) for name in ("whole", "cut"))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_a_run_from_a_file_goes_on_by_the_same_command(clean, tmp_path):
    train(spair(clean, tmp_path / "first", steps=2))
    # The file decides the network: nobody names it.
    file = str(tmp_path / "first" / "final.safetensors")
    begun = {"network": "drcnet", "width": 0, "depth": 0, "set": [], "init": file}
    train(spair(clean, tmp_path / "second", steps=2, **begun))
    assert train(spair(clean, tmp_path / "second", steps=4, **begun)).step == 4
    with pytest.raises(UsageError, match="network was 'spair'"):
        train(spair(clean, tmp_path / "second", steps=4, **{**begun, "network": "airnet"}))


def test_one_learns_after_the_other(clean, tmp_path):
    run = Training(spair(clean, tmp_path, steps=10, lr_min=1e-4, warmup=0.0), loop.NoListener())
    network, average = run.parts.network, run.parts.average.network
    before = {name: value.clone() for name, value in network.named_parameters()}
    changed, rates, averages = [], [], []
    plain = run._after_step

    def after_step(phase, rate):
        plain(phase, rate)
        now = dict(network.named_parameters())
        changed.append({n.partition(".")[0] for n, v in now.items() if not before[n].equal(v)})
        before.update({name: value.clone() for name, value in now.items()})
        rates.append(rate)
        averages.append(average.localisation.state_dict()["to_mask.weight"].clone())

    run._after_step = after_step
    run.run()

    # At the seam the localisation takes its average, with the restoration's first step.
    both = {"localisation", "restoration"}
    assert changed == [{"localisation"}] * 4 + [both] + [{"restoration"}] * 5
    assert torch.equal(network.localisation.to_mask.weight, averages[3])
    assert torch.equal(averages[3], averages[-1])
    # Each step has the whole of the schedule.
    assert rates[0] == rates[4] == max(rates)
    assert rates[3] < rates[4] and rates[9] < rates[4]
    exported, info = load_checkpoint(tmp_path / "final.safetensors")
    assert info.arch == "spair"
    assert info.provenance["contrast"]["kind"] == "localisation, then restoration"


def test_the_first_row_of_table_6_has_one_step(clean, tmp_path):
    off = ["modulation=false", "sparse_convolution=false", "sparse_non_local=false"]
    run = Training(spair(clean, tmp_path, steps=2, set=[*SHAPE, *off]), loop.NoListener())
    begun = run.parts.network.restoration.to_image.weight.clone()
    run.run()
    assert not torch.equal(begun, run.parts.network.restoration.to_image.weight)


def test_it_finds_shadows_and_mends_there(clean, tmp_path):
    config = spair(
        clean, tmp_path, steps=240, lr=1e-2, patches="32x4", degrade="shadow-hard", ema=0.9,
        set=["widths=[8,8]", "localisation_widths=[8,8]"], val_side=40, unusual=0.0, vary=False,
    )  # fmt: skip
    run = Training(config, loop.NoListener())
    result = run.run()
    assert result.psnr is not None and result.input_psnr is not None
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["event"] == "step"]
    for first, last in ((0, 96), (96, 240)):
        assert np.mean(losses[last - 20 : last]) < 0.9 * np.mean(losses[first : first + 20])


def test_masks_come_from_the_degradation_the_data_or_the_difference(clean, pairs):
    drawn = open_data(spair(clean, "out", steps=1)).source
    degraded, original, mask = drawn.masked(3, 32, 0.1)
    again = drawn.sample(3, 32)
    assert np.array_equal(degraded, again[0]) and np.array_equal(original, again[1])
    assert mask.shape == degraded.shape
    assert set(np.unique(mask)) <= {0, 1}

    settings = {"clean": (), "lq": str(pairs / "lq"), "gt": str(pairs / "gt"), "steps": 1}
    own = open_data(spair(clean, "out", masks=str(pairs / "mask"), **settings)).source
    without = open_data(spair(clean, "out", **settings)).source
    stored = [np.asarray(Image.open(path)) for path in sorted((pairs / "mask").iterdir())]
    degraded, original, mask = own.masked(0, 16, 0.1)
    assert any(
        np.array_equal(mask[0], turned[top : top + 16, left : left + 16] > 127)
        for picture in stored
        for turned in eight(picture[..., 0])
        for top in range(turned.shape[0] - 15)
        for left in range(turned.shape[1] - 15)
    )
    found = without.masked(0, 16, 0.1)
    assert np.array_equal(found[2][0], np.abs(degraded - original).max(0) >= 0.1)


def eight(picture):
    turned = [np.rot90(picture, quarters) for quarters in range(4)]
    return [*turned, *(item[:, ::-1] for item in turned)]


def test_a_mask_by_difference_takes_the_worst_channel():
    clean = np.zeros((3, 1, 3), np.float32)
    degraded = clean.copy()
    degraded[1, 0] = [0.05, 0.1, 0.3]
    expected = [[[0, 1, 1]]] * 3
    assert damage_mask(degraded, clean, None, 0.1).tolist() == expected


def test_a_missing_mask_is_named(pairs, tmp_path):
    (tmp_path / "00.png").write_bytes((pairs / "mask" / "00.png").read_bytes())
    with pytest.raises(UsageError, match=r"7 pairs have no mask.*: 01.png, 02.png"):
        match_masks(match_folders(pairs / "lq", pairs / "gt"), tmp_path)


def test_another_networks_contrast_is_refused(clean, tmp_path):
    with pytest.raises(UsageError, match="SPAIR has none"):
        train(spair(clean, tmp_path, steps=1, contrastive="intra"))


def test_set_carries_a_checkpoint_over_to_larger_pixels(clean, tmp_path):
    train(spair(clean, tmp_path / "small", steps=4))
    begun = str(tmp_path / "small/final.safetensors")
    asked = ("shrink=4", "multiply=true")
    settings = {
        "init": begun, "set": asked, "width": 0, "depth": 0, "localise_first": 0.0,
        "steps": 1, "lr": 1e-12, "lr_min": 1e-12,
    }  # fmt: skip
    train(spair(clean, tmp_path / "large", **settings))
    before, after = (
        load_checkpoint(tmp_path / f"{n}/final.safetensors")[0] for n in ("small", "large")
    )
    expected = reshape(before, replace(before.config, shrink=4, multiply=True))
    assert after.config == expected.config
    for one, other in zip(expected.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
    # Going on needs the same words, and works.
    assert train(spair(clean, tmp_path / "large", **settings | {"steps": 2})).step == 2


def test_set_is_refused_where_a_network_cannot_change(clean, tmp_path, tiny_weights):
    config = tiny(
        clean, tmp_path, init=str(tiny_weights), width=0, depth=0, steps=1, set=("delta=2.0",)
    )
    with pytest.raises(UsageError, match="DRCNet cannot change its configuration"):
        train(config)
