import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_helpers import photographs, tiny, write_picture

from drcnet_cli.errors import DrcnetError, NonFiniteError, UsageError, WeightsError
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.train.data import open_data
from drcnet_cli.train.loop import Training, train
from drcnet_cli.train.objective import TwoStageObjective
from drcnet_cli.train.optim import WeightAverage
from drcnet_cli.train.resume import state_to_resume
from drcnet_cli.train.state import load_state


class Ear:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.notes, self.snapshots = [], []

    def note(self, text):
        self.notes.append(text)

    def progress(self, snapshot):
        self.snapshots.append(snapshot)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("clean"))


def log(out, event):
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def test_a_short_training_improves_a_noisy_validation_set(clean, tmp_path):
    config = tiny(
        clean, tmp_path, width=8, patches="32x4", steps=60, lr=3e-3, lr_min=1e-4, workers=1,
        holdout=0.3, name="mine", licence="CC0", validate_every="30",
    )  # fmt: skip
    ear = Ear()
    result = train(config, ear)
    assert result.psnr is not None
    assert result.input_psnr is not None
    assert result.psnr > result.input_psnr + 1
    assert result.best is not None
    assert result.best >= result.psnr
    assert [line["step"] for line in log(tmp_path, "validation")] == [30, 60]
    assert [s.step for s in ear.snapshots][-1] == 60

    network, info = load_checkpoint(tmp_path / "final.safetensors")
    assert (info.name, info.task, info.training_patch) == ("mine", "denoise", 32)
    assert info.provenance["steps"] == 60
    assert info.provenance["samples"] == 240
    assert info.provenance["licence"] == "CC0"
    assert info.provenance["scores"]["validation_psnr"] == result.psnr
    assert info.provenance["settings"]["lr"] == 3e-3
    assert str(clean) not in json.dumps(info.provenance)  # folders by their last name alone
    assert str(tmp_path) not in json.dumps(info.provenance)
    assert network.config == DRCNetConfig(8, 2, feature_limit=64.0)
    assert (tmp_path / "best.safetensors").is_file()


def test_the_same_configuration_gives_the_same_weights(clean, tmp_path):
    for name in ("a", "b"):
        train(tiny(clean, tmp_path / name, steps=4))
    first, second = (load_checkpoint(tmp_path / n / "final.safetensors")[0] for n in "ab")
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    train(tiny(clean, tmp_path / "c", steps=4, seed=1))
    other = load_checkpoint(tmp_path / "c/final.safetensors")[0]
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


def losses(out):
    return [line["loss"] for line in log(out, "step")]


def test_accumulated_batches_are_one_large_batch(clean, tmp_path):
    train(tiny(clean, tmp_path / "one", steps=4, patches="16x4"))
    train(tiny(clean, tmp_path / "two", steps=4, patches="16x2", accumulate=2))
    assert losses(tmp_path / "one") == pytest.approx(losses(tmp_path / "two"), abs=1e-5)


def test_phases_follow_one_another(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=6, patches="16x2:0.5,24x1:0.5", workers=1))
    steps = log(tmp_path, "step")
    assert [(s["patch"], s["batch"]) for s in steps] == [(16, 2)] * 3 + [(24, 1)] * 3
    info = load_checkpoint(tmp_path / "final.safetensors")[1]
    assert info.training_patch == 24
    assert info.provenance["samples"] == 9


def test_a_run_that_ends_in_the_opening_says_what_it_was_trained_on(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=3, patches="16x2@2,24x1:0.5,32x1:0.5"))
    assert [s["patch"] for s in log(tmp_path, "step")] == [16, 16, 32]
    train(tiny(clean, tmp_path / "short", steps=3, patches="16x2@100,32x1"))
    # Tiles of 32 pixels would be new to this network.
    assert load_checkpoint(tmp_path / "short/best.safetensors")[1].training_patch == 16
    assert load_checkpoint(tmp_path / "short/final.safetensors")[1].training_patch == 16


def test_a_budget_of_minutes_is_kept(clean, tmp_path):
    result = train(tiny(clean, tmp_path, minutes=0.03))
    assert 1.8 <= result.elapsed < 6
    assert result.step > 1
    rates = [line["learning_rate"] for line in log(tmp_path, "step")]
    assert rates[-1] < 0.2 * max(rates)


def test_bfloat16_trains_on_the_cpu(clean, tmp_path):
    train(tiny(clean, tmp_path, steps=2, dtype="bfloat16"))
    assert all(np.isfinite(losses(tmp_path)))


def test_non_finite_gradients_are_skipped_and_counted(clean, tmp_path, monkeypatch):
    spoiled = {2, 3}
    plain = TwoStageObjective.__call__

    def objective(self, model, degraded, clean):
        loss = plain(self, model, degraded, clean)
        calls.append(1)
        return loss * float("nan") if len(calls) in spoiled else loss

    calls = []
    monkeypatch.setattr(TwoStageObjective, "__call__", objective)
    result = train(tiny(clean, tmp_path, steps=5))
    assert (result.step, result.skipped) == (5, 2)
    assert [line["loss"] is None for line in log(tmp_path, "step")] == [0, 1, 1, 0, 0]
    network = load_checkpoint(tmp_path / "final.safetensors")[0]
    assert all(torch.isfinite(weight).all() for weight in network.parameters())


def test_many_non_finite_gradients_in_a_row_stop_the_run(clean, tmp_path, monkeypatch):
    def objective(self, model, degraded, clean):
        return model(degraded).mean() * float("inf")

    monkeypatch.setattr(TwoStageObjective, "__call__", objective)
    with pytest.raises(DrcnetError, match="20 steps"):
        train(tiny(clean, tmp_path, steps=100))
    assert not (tmp_path / "final.safetensors").exists()


def test_training_starts_from_a_checkpoint(clean, tmp_path, tiny_weights):
    config = tiny(
        clean, tmp_path, steps=1, init=str(tiny_weights), width=0, depth=0, lr=1e-12, lr_min=1e-12
    )
    train(config)
    start = load_checkpoint(tiny_weights)[0]
    end, info = load_checkpoint(tmp_path / "final.safetensors")
    # The checkpoint decides the network, but for the limit on its features.
    assert info.config == replace(start.config, feature_limit=64.0)
    for one, other in zip(start.parameters(), end.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)


def test_a_known_checkpoint_is_begun_with_by_its_name(clean, tmp_path):
    named = {"init": "drcnet-s-denoise", "width": 0, "depth": 0}
    for steps in (1, 2):  # the same command goes on
        assert train(tiny(clean, tmp_path, steps=steps, **named)).step == steps
    _, info = load_checkpoint(tmp_path / "final.safetensors")
    assert info.provenance["settings"]["init"] == "drcnet-s-denoise"
    with pytest.raises(WeightsError, match="no checkpoint named 'drcnet-s-denoize'"):
        train(tiny(clean, tmp_path / "new", steps=1, init="drcnet-s-denoize"))


def test_a_run_that_goes_on_says_that_init_is_not_used(clean, tmp_path, tiny_weights):
    settings = {"init": str(tiny_weights), "width": 0, "depth": 0}
    for steps, said in ((1, 0), (2, 1)):
        ear = Ear()
        train(tiny(clean, tmp_path, steps=steps, **settings), ear)
        assert sum(f"--init {tiny_weights} is not used" in note for note in ear.notes) == said


@pytest.mark.parametrize("begun", [True, False])
def test_a_network_for_any_damage_must_tell_what_is_wrong(clean, tmp_path, tiny_weights, begun):
    network = {"init": str(tiny_weights), "width": 0, "depth": 0} if begun else {}
    with pytest.raises(UsageError, match="--task auto .* and DRCNet cannot") as error:
        train(tiny(clean, tmp_path, task="auto", degrade="", steps=1, **network))
    assert "add --network airnet" in error.value.hint.lower()
    assert not list(tmp_path.iterdir())


def test_a_new_network_starts_as_the_identity(clean, tmp_path):
    training = Training(tiny(clean, tmp_path, steps=1), Ear())
    x = torch.rand(1, 3, 16, 16)
    for image in training.parts.network(x, return_stages=True):
        torch.testing.assert_close(image, x)


def test_own_pairs_are_trained_on(tmp_path):
    for number in range(6):
        write_picture(tmp_path / f"lq/{number}.png", number + 50)
        write_picture(tmp_path / f"gt/{number}.png", number)
    write_picture(tmp_path / "lq/alone.png", 1)
    config = tiny(
        tmp_path, tmp_path / "out", steps=2, clean=(), lq=str(tmp_path / "lq"),
        gt=str(tmp_path / "gt"), degrade="",
    )  # fmt: skip
    ear = Ear()
    result = train(config, ear)
    assert result.step == 2
    assert any("alone.png" in note for note in ear.notes)
    info = load_checkpoint(tmp_path / "out/final.safetensors")[1]
    data = info.provenance["data"]
    assert data["training_pairs"] + data["held_pairs"] == 6


def test_without_held_pictures_best_is_final(clean, tmp_path):
    result = train(tiny(clean, tmp_path, steps=1, holdout=0.0))
    assert result.psnr is None
    assert (tmp_path / "best.safetensors").is_file()
    assert (tmp_path / "final.safetensors").is_file()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "budget"),
        ({"clean": ()}, "needs data"),
        ({"clean": (), "lq": "x"}, "both --lq"),
        ({"lq": "x", "gt": "y"}, "cannot be combined"),
        ({"clean": (), "data_root": "x"}, "published data sets"),
        ({"task": "gopro", "clean": ()}, "Where is GoPro"),
        ({"task": "gopro", "clean": (), "data_root": "nowhere"}, "GoPro is not in"),
        ({"clean": ("nowhere",)}, "no pictures in nowhere"),
        ({"degrade": "snow"}, "snow"),
        ({"width": 3}, "width 3"),
        ({"seed": 2**32}, "below 4294967296"),
        ({"clean": (), "lq": "x", "gt": "y"}, "--degrade is for clean photographs"),
        ({"clean": (), "lq": "x", "gt": "y", "degrade": "", "streaks": "s"}, "--streaks is for"),
        ({"streaks": "s"}, "--streaks is for rain, and gaussian has none"),
        ({"task": "gopro"}, "--task gopro is GoPro, and --clean would take its place"),
    ],
)
def test_runs_that_cannot_start_say_so(clean, tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        train(tiny(clean, tmp_path / "out", **{"steps": 1, **settings}))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("task", "kind", "said"),
    [("derain", "gaussian", 1), ("derain", "rain+gaussian", 0), ("auto", "gaussian,haze", 0)],
)
def test_a_degradation_of_another_task_is_said(clean, tmp_path, task, kind, said):
    notes = open_data(tiny(clean, tmp_path, task=task, degrade=kind)).notes
    assert sum(f"is not what {task} undoes" in note for note in notes) == said


def test_masks_are_for_networks_that_find_damage(tmp_path):
    for side in ("lq", "gt", "masks"):
        photographs(tmp_path / side, 4)
    folders = {side: str(tmp_path / side) for side in ("lq", "gt", "masks")}
    with pytest.raises(UsageError, match="--masks is .* and DRCNet cannot") as error:
        train(tiny(tmp_path, tmp_path / "out", clean=(), degrade="", steps=1, **folders))
    assert error.value.hint == "Add --network spair"


def test_tensorboard_gets_the_figures(clean, tmp_path):
    pytest.importorskip("tensorboard")
    train(tiny(clean, tmp_path, steps=2, tensorboard=True))
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"step/loss" in events.read_bytes()


def test_the_average_forgets_the_beginning_and_follows():
    network = DRCNet(DRCNetConfig(2, 1))
    average = WeightAverage(network, 0.9)
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(1.0)
    for step in range(1, 100):
        average.update(network, step)
    assert all(torch.allclose(w, torch.ones(()), atol=1e-3) for w in average.network.parameters())
    exact = WeightAverage(DRCNet(DRCNetConfig(2, 1)), 0.0)
    exact.update(network, 1)
    assert all(torch.equal(w, torch.ones_like(w)) for w in exact.network.parameters())


def vgg_file(folder):
    """Write random weights in the form of torchvision's VGG19."""
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
    torch.manual_seed(0)
    state = {}
    for number, (channels_out, channels_in) in shapes.items():
        scale = (2 / (9 * channels_in)) ** 0.5
        state[f"features.{number}.weight"] = torch.randn(channels_out, channels_in, 3, 3) * scale
        state[f"features.{number}.bias"] = torch.zeros(channels_out)
    torch.save(state, folder / "vgg.pth")
    return str(folder / "vgg.pth")


@pytest.mark.parametrize("contrastive", ["intra", "extra", "released"])
def test_contrast_adds_to_the_loss(clean, tmp_path, contrastive):
    settings = {"steps": 2, "negatives": 2, "vgg": vgg_file(tmp_path)}
    train(tiny(clean, tmp_path / "plain", **settings))
    train(tiny(clean, tmp_path / "more", **settings, contrastive=contrastive, alpha=0.5))
    plain, more = losses(tmp_path / "plain"), losses(tmp_path / "more")
    # A new network gives the degraded image back, whose contrast is positive.
    assert more[0] > plain[0] + 1e-3
    assert all(np.isfinite(more))
    info = load_checkpoint(tmp_path / "more/final.safetensors")[1]
    assert info.provenance["contrast"] == {"kind": contrastive, "alpha": 0.5, "vgg": "vgg19"}
    plain_info = load_checkpoint(tmp_path / "plain/final.safetensors")[1]
    assert plain_info.provenance["contrast"] == {"kind": "none"}
    # By default the weight is the published one, which is small.
    train(tiny(clean, tmp_path / "published", **settings, contrastive=contrastive))
    assert plain[0] < losses(tmp_path / "published")[0] < more[0]


def test_the_contrast_is_taken_in_bfloat16_where_the_network_is(clean, tmp_path):
    config = tiny(clean, tmp_path, contrastive="intra", vgg=vgg_file(tmp_path))
    cpu = torch.device("cpu")
    types = {
        dtype: {w.dtype for w in TwoStageObjective(config, cpu, dtype)._criterion.parameters()}
        for dtype in (torch.float32, torch.bfloat16, torch.float16)
    }
    assert types == {
        torch.float32: {torch.float32},
        torch.bfloat16: {torch.bfloat16},
        torch.float16: {torch.float32},
    }


def test_equal_held_pairs_count_as_100_db_and_the_run_goes_on(tmp_path):
    for side in ("lq", "gt"):
        photographs(tmp_path / side, 8)  # the same: every pair is equal
    folders = {side: str(tmp_path / side) for side in ("lq", "gt")}
    more = {"clean": (), "degrade": "", "holdout": 0.4, **folders}
    result = train(tiny(tmp_path, tmp_path / "out", steps=1, **more))
    assert result.input_psnr == 100 and result.best is not None and result.best <= 100
    assert train(tiny(tmp_path, tmp_path / "out", steps=2, **more)).step == 2


def test_memory_that_runs_out_is_said(clean, tmp_path, monkeypatch):
    def objective(self, model, degraded, clean):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(TwoStageObjective, "__call__", objective)
    with pytest.raises(DrcnetError, match="more memory than there is") as error:
        train(tiny(clean, tmp_path, steps=2))
    assert "--patches" in error.value.hint


def test_a_validation_without_a_picture_ends_no_run(clean, tmp_path, monkeypatch):
    def no_picture(*_):
        raise NonFiniteError("values that are no picture's")

    monkeypatch.setattr("drcnet_cli.train.loop.mean_psnr", no_picture)
    ear = Ear()
    assert train(tiny(clean, tmp_path, steps=2, holdout=0.3, validate_every="1"), ear).step == 2
    assert any("step 1: the averaged weights make no picture" in note for note in ear.notes)


def test_held_pictures_of_two_folders_may_share_a_name(clean, tmp_path):
    photographs(tmp_path / "more")
    both = (str(clean), str(tmp_path / "more"))
    one = open_data(tiny(clean, tmp_path, holdout=0.3, val_count=100)).held
    two = open_data(tiny(clean, tmp_path, clean=both, holdout=0.3, val_count=100)).held
    assert len(two) == 2 * len(one) > 0


def test_held_pictures_smaller_than_a_blur_are_named_and_left_out(clean, tmp_path):
    data = open_data(tiny(clean, tmp_path, task="deblur", degrade="blur", holdout=0.3))
    assert not data.held
    assert any("too small for this degradation" in note for note in data.notes)


def test_other_pictures_to_validate_on_have_a_best_of_their_own(clean, tmp_path):
    settings = {"steps": 1, "holdout": 0.4}
    train(tiny(clean, tmp_path, **settings, val_count=1))
    state = load_state(tmp_path / "state.safetensors")
    assert state.progress.best is not None
    for count, kept in ((1, True), (2, False)):
        found = state_to_resume(tiny(clean, tmp_path, **settings, val_count=count))
        assert found is not None and (found.progress.best is not None) == kept
