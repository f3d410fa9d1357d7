"""Losses against plain, slow references; VGG19's weights from files of both formats."""

import hashlib
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from drcnet_cli.errors import HashMismatchError, NetworkError, UsageError, WeightsError
from drcnet_cli.networks.drcnet import DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.train import vgg
from drcnet_cli.train.losses import (
    DEFAULT_ALPHA,
    intra_mixtures,
    make_contrastive,
    stage_loss,
)
from drcnet_cli.train.vgg import VGG19, VGG19_NORMALISED, VGGFeatures, load_vgg

NAMES = (VGG19, VGG19_NORMALISED)
CONVS = {
    "conv1_1": (64, 3, 3, 3),
    "conv1_2": (64, 64, 3, 3),
    "conv2_1": (128, 64, 3, 3),
    "conv2_2": (128, 128, 3, 3),
    "conv3_1": (256, 128, 3, 3),
}
EPS = 1e-7
TORCHVISION_NUMBERS = (0, 2, 5, 7, 10)
STAND_IN_NUMBERS = (2, 5, 9, 12, 16)


def random_features(name=VGG19, dtype=torch.float64):
    torch.manual_seed(1)
    return VGGFeatures(name).to(dtype)


def images(count=3, side=12, dtype=torch.float64):
    """Return (restored, clean, degraded): noisy, with a restoration off in another direction."""
    torch.manual_seed(2)
    clean = F.avg_pool2d(torch.rand(count, 3, side + 4, side + 4, dtype=dtype), 5, 1)
    degraded = clean + 0.2 * torch.randn_like(clean)
    restored = clean + 0.02 * torch.randn_like(clean)
    return restored.requires_grad_(), clean, degraded


def plain_levels(features, image, normalise=True):
    """VGG19's definition, layer by layer."""
    stand_in = features.name == VGG19_NORMALISED

    def conv(x, layer):
        mode = "reflect" if stand_in else "constant"
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), layer.weight, layer.bias)

    if stand_in:
        x = F.conv2d(image, features.to_input.weight, features.to_input.bias)
    elif normalise:
        mean = image.new_tensor([0.485, 0.456, 0.406])[:, None, None]
        x = (image - mean) / image.new_tensor([0.229, 0.224, 0.225])[:, None, None]
    else:
        x = image
    relu1_1 = conv(x, features.conv1_1).relu()
    x = F.max_pool2d(conv(relu1_1, features.conv1_2).relu(), 2)
    relu2_1 = conv(x, features.conv2_1).relu()
    x = F.max_pool2d(conv(relu2_1, features.conv2_2).relu(), 2)
    return relu1_1, relu2_1, conv(x, features.conv3_1).relu()


def plain_intra(features, restored, clean, degraded, shares):
    """One image, one level, one negative at a time."""
    total = 0
    for r, c, d in zip(restored, clean, degraded, strict=True):
        for level in range(3):
            near = plain_levels(features, r[None])[level] - plain_levels(features, c[None])[level]
            far = 0
            for share in shares:
                negative = share * c + (1 - share) * d
                other = plain_levels(features, negative[None])[level]
                far = far + (plain_levels(features, r[None])[level] - other).abs().mean()
            total = total + near.abs().mean() / (far + EPS)
    return total / len(restored)


def plain_extra(features, restored, clean, degraded):
    total = 0
    for i in range(len(restored)):
        for level in range(3):
            here = plain_levels(features, restored[i : i + 1])[level]
            near = (here - plain_levels(features, clean[i : i + 1])[level]).abs().mean()
            far = 0
            for j in range(len(restored)):
                if j != i:
                    other = plain_levels(features, degraded[j : j + 1])[level]
                    far = far + (here - other).abs().mean()
            total = total + near / (far + EPS)
    return total / len(restored)


def plain_released(features, restored, clean, degraded):
    def levels(image):
        return plain_levels(features, image, normalise=False)

    total = 0
    for level, level_weight in enumerate((1 / 16, 1 / 8, 1 / 4)):
        far = 0
        for share in (1, 0.95, 0.90):
            negative = share * degraded + (1 - share) * clean
            far = far + share * F.l1_loss(levels(restored)[level], levels(negative)[level])
        near = F.l1_loss(levels(restored)[level], levels(clean)[level])
        total = total + level_weight * near / (far + EPS)
    return total


def assert_same(criterion, plain, inputs, tolerance=1e-5):
    restored = inputs[0]
    value, expected = criterion(*inputs), plain(*inputs)
    (gradient,) = torch.autograd.grad(value, restored)
    (expected_gradient,) = torch.autograd.grad(expected, restored)
    assert value.shape == ()
    assert value.item() == pytest.approx(expected.item(), rel=tolerance)
    error = (gradient - expected_gradient).norm() / expected_gradient.norm()
    assert error < tolerance


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 3, 10])
def test_intra_equals_the_plain_reference(name, n):
    features = random_features(name)
    shares = [0.8 + 0.18 * i / (n - 1) for i in range(n)] if n > 1 else [0.89]
    assert_same(
        make_contrastive("intra", features, n=n),
        lambda *inputs: plain_intra(features, *inputs, shares),
        images(2 if n == 10 else 3),
    )


def test_intra_in_float32_and_through_a_larger_graph():
    features = random_features(dtype=torch.float32)
    restored, clean, degraded = images(dtype=torch.float32)
    shares = [0.80, 0.82, 0.84, 0.86, 0.88, 0.90, 0.92, 0.94, 0.96, 0.98]
    gain = torch.tensor(1.01, requires_grad=True)
    value = make_contrastive("intra", features)(gain * restored, clean, degraded)
    expected = plain_intra(features, gain * restored, clean, degraded, shares)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    mine, theirs = (torch.autograd.grad(loss, gain)[0].item() for loss in (value, expected))
    assert mine == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_extra_equals_the_plain_reference(name):
    features = random_features(name)
    assert_same(
        make_contrastive("extra", features),
        lambda *inputs: plain_extra(features, *inputs),
        images(4),
    )


def test_extra_takes_at_most_n_neighbours():
    features, (restored, clean, degraded) = random_features(), images(3)
    value = make_contrastive("extra", features, n=1)(restored, clean, degraded)
    expected = 0
    for i in range(3):
        here, there = (plain_levels(features, x[None]) for x in (restored[i], clean[i]))
        next_one = plain_levels(features, degraded[(i + 1) % 3][None])
        for r, c, d in zip(here, there, next_one, strict=True):
            expected = expected + (r - c).abs().mean() / ((r - d).abs().mean() + EPS) / 3
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_extra_refuses_a_batch_of_one():
    with pytest.raises(UsageError, match="other images of the batch"):
        make_contrastive("extra", random_features())(*images(1))


@pytest.mark.parametrize("name", NAMES)
def test_released_equals_the_plain_reference(name):
    features = random_features(name)
    assert_same(
        make_contrastive("released", features),
        lambda *inputs: plain_released(features, *inputs),
        images(),
    )


def test_none_is_a_zero_that_can_be_added():
    restored, clean, degraded = images(dtype=torch.float32)
    value = make_contrastive("none", None)(restored, clean, degraded)
    assert value.item() == 0
    (stage_loss(restored, restored, clean) + value).backward()
    assert restored.grad is not None


def test_released_and_intra_have_the_same_size_at_their_weights():
    # Where every distance is equal: 3 levels / 10 negatives, 7/16 / 2.85.
    assert DEFAULT_ALPHA["intra"] * 3 / 10 == pytest.approx(
        DEFAULT_ALPHA["released"] * (7 / 16) / 2.85, rel=0.03
    )


@pytest.mark.parametrize("name", NAMES)
@given(share=st.floats(0, 1))
@settings(deadline=None, max_examples=10)
def test_first_convolution_of_a_mixture_is_the_mixture(name, share):
    features, (_, clean, degraded) = random_features(name), images(1)
    mixed = torch.lerp(features.first(degraded), features.first(clean), share)
    torch.testing.assert_close(
        mixed, features.first(share * clean + (1 - share) * degraded), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("name", NAMES)
def test_features_are_vgg19s(name):
    features, (restored, _, _) = random_features(name), images(2)
    for mine, plain in zip(features(restored), plain_levels(features, restored), strict=True):
        torch.testing.assert_close(mine, plain)


def test_a_split_batch_has_the_same_mean():
    features, (restored, clean, degraded) = random_features(), images(4)
    criterion = make_contrastive("intra", features, n=2)
    whole = criterion(restored, clean, degraded)
    halves = [criterion(restored[s], clean[s], degraded[s]) for s in (slice(2), slice(2, 4))]
    assert whole.item() == pytest.approx(sum(h.item() for h in halves) / 2, rel=1e-9)


def test_sharing_passes_changes_nothing(monkeypatch):
    features, inputs = random_features(), images()
    criterion = make_contrastive("intra", features, n=4)
    together = criterion(*inputs)
    monkeypatch.setattr("drcnet_cli.train.losses._PIXELS_A_PASS", 1)
    assert criterion(*inputs).item() == pytest.approx(together.item(), rel=1e-12)


@given(n=st.integers(2, 12), data=st.data())
@settings(deadline=None, max_examples=30)
def test_knots_are_exact_for_polynomials(n, data):
    knots = data.draw(st.integers(1, n))
    exact, fewer = intra_mixtures(n), intra_mixtures(n, knots)
    assert len(fewer) == knots
    assert sum(mix.weight for mix in fewer) == pytest.approx(n)
    assert all(mix.weight > 0 and 0.8 - 1e-9 <= mix.clean <= 0.98 + 1e-9 for mix in fewer)
    for degree in range(2 * knots):
        # Centred, so that high powers do not cancel.
        wanted = sum(((mix.clean - 0.89) / 0.09) ** degree for mix in exact)
        got = sum(mix.weight * ((mix.clean - 0.89) / 0.09) ** degree for mix in fewer)
        assert got == pytest.approx(wanted, abs=1e-6)


def test_the_papers_negatives():
    mixtures = intra_mixtures()
    assert [mix.clean for mix in mixtures] == pytest.approx([0.80 + 0.02 * i for i in range(10)])
    assert {mix.weight for mix in mixtures} == {1.0}


def test_knots_are_close_on_features():
    features, inputs = random_features(), images(2, side=32)
    exact = make_contrastive("intra", features)(*inputs)
    fewer = make_contrastive("intra", features, knots=3)(*inputs)
    assert fewer.item() == pytest.approx(exact.item(), rel=2e-3)
    gradients = [torch.autograd.grad(loss, inputs[0])[0] for loss in (exact, fewer)]
    assert (gradients[1] - gradients[0]).norm() < 0.1 * gradients[0].norm()


def test_clean_equal_to_degraded_stays_finite():
    features, (_, clean, _) = random_features(), images(2)
    for kind in ("intra", "released"):
        restored = clean.clone().requires_grad_()
        value = make_contrastive(kind, features)(restored, clean, clean)
        value.backward()
        assert value.item() == 0
        assert torch.isfinite(restored.grad).all()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kind": "intra", "features": None}, "needs VGG19"),
        ({"kind": "intra", "n": 0}, "0 negatives"),
        ({"kind": "intra", "knots": 11}, "11 knots"),
        ({"kind": "intra", "knots": 0}, "0 knots"),
        ({"kind": "inter"}, "Unknown contrastive loss"),
    ],
)
def test_impossible_contrast_is_refused(arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        make_contrastive(**{"features": random_features(), **arguments})


def test_stage_losses():
    target = torch.full((2, 3, 4, 4), 0.5)
    image1, image2 = target + 0.1, target - 0.01
    assert stage_loss(image1, image2, target).item() == pytest.approx(0.11, rel=1e-5)
    half = stage_loss(image1, image2, target, stage1_weight=0.5)
    assert half.item() == pytest.approx(0.06, rel=1e-5)
    psnr = stage_loss(image1, image2, target, kind="psnr")
    assert psnr.item() == pytest.approx(-20 - 40, rel=1e-4)
    charbonnier = stage_loss(image1, image2, target, kind="charbonnier")
    expected = math.sqrt(0.01 + 1e-6) + math.sqrt(1e-4 + 1e-6)
    assert charbonnier.item() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UsageError, match="huber"):
        stage_loss(image1, image2, target, kind="huber")


def test_stage_losses_are_float32_under_autocast():
    target = torch.rand(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        value = stage_loss(target.bfloat16(), target.bfloat16(), target)
    assert value.dtype == torch.float32


def test_gradient_reaches_the_network_and_not_vgg():
    features = random_features(dtype=torch.float32)
    model = DRCNet(DRCNetConfig(width=4, depth=2))
    _, clean, degraded = images(2, dtype=torch.float32)
    _, image2 = model(degraded, return_stages=True)
    make_contrastive("intra", features, n=2)(image2, clean, degraded).backward()
    assert model.to_residual.weight.grad.abs().sum() > 0
    assert all(p.grad is None and not p.requires_grad for p in features.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_close_and_autocast_is_not_heeded(name):
    inputs = images(2, side=32, dtype=torch.float32)
    exact = make_contrastive("intra", random_features(name, torch.float32))
    value = exact(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        assert exact(*inputs).item() == value.item()
    coarse_features = random_features(name, torch.float32).place(
        torch.device("cpu"), torch.bfloat16
    )
    coarse = make_contrastive("intra", coarse_features)(*inputs)
    assert coarse.dtype == torch.float32
    assert coarse.item() == pytest.approx(value.item(), rel=0.03)
    (gradient,) = torch.autograd.grad(coarse, inputs[0])
    (expected,) = torch.autograd.grad(value, inputs[0])
    assert F.cosine_similarity(gradient.flatten(), expected.flatten(), dim=0) > 0.8


# Weights from files.


def state_dict(numbers, prefix=""):
    torch.manual_seed(3)
    state = {}
    for number, shape in zip(numbers, CONVS.values(), strict=True):
        state[f"{prefix}{number}.weight"] = torch.randn(shape)
        state[f"{prefix}{number}.bias"] = torch.randn(shape[0])
    return state


def torchvision_state():
    rest = {"features.16.weight": torch.zeros(1), "classifier.0.weight": torch.zeros(1)}
    return {**state_dict(TORCHVISION_NUMBERS, "features."), **rest}


def stand_in_state():
    first = {"0.weight": torch.randn(3, 3, 1, 1), "0.bias": torch.randn(3)}
    return {**first, **state_dict(STAND_IN_NUMBERS)}


@pytest.mark.parametrize("zipped", [True, False])
def test_torchvisions_file_is_loaded(tmp_path, zipped):
    state = torchvision_state()
    torch.save(state, tmp_path / "v.pth", _use_new_zipfile_serialization=zipped)
    features = load_vgg(tmp_path / "v.pth")
    assert features.name == "vgg19"
    for number, layer in zip(TORCHVISION_NUMBERS, CONVS, strict=True):
        conv = features.get_submodule(layer)
        assert torch.equal(conv.weight, state[f"features.{number}.weight"])
        assert torch.equal(conv.bias, state[f"features.{number}.bias"])
    assert not features.training
    assert not any(p.requires_grad for p in features.parameters())


def test_safetensors_and_bare_numbers_are_loaded(tmp_path):
    save_file(torchvision_state(), tmp_path / "v.safetensors")
    torch.save(state_dict(TORCHVISION_NUMBERS), tmp_path / "bare.pth")
    one, two = load_vgg(tmp_path / "v.safetensors"), load_vgg(tmp_path / "bare.pth")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_the_normalised_stand_in_is_told_by_its_first_layer(tmp_path):
    state = stand_in_state()
    torch.save(state, tmp_path / "v.pth")
    features = load_vgg(tmp_path / "v.pth")
    assert features.name == "vgg19-normalised (stand-in)"
    assert torch.equal(features.get_submodule("to_input").weight, state["0.weight"])
    assert torch.equal(features.conv3_1.weight, state["16.weight"])


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (without(torchvision_state(), "features.7.bias"), "conv2_2's bias .* is missing"),
        ({**torchvision_state(), "features.5.weight": torch.zeros(2)}, "conv2_1's weight"),
        (
            {**without(torchvision_state(), "features.16.weight"), "17.weight": torch.zeros(1)},
            "VGG16",
        ),
        ({"params": 3}, "no state dict"),
        ([1, 2], "no state dict"),
    ],
)
def test_other_weights_are_refused(tmp_path, state, sentence):
    torch.save(state, tmp_path / "v.pth")
    with pytest.raises(WeightsError, match=sentence) as error:
        load_vgg(tmp_path / "v.pth")
    assert "--contrastive none" in error.value.hint


@pytest.mark.parametrize("name", ["v.pth", "v.safetensors"])
def test_damaged_and_missing_files_are_refused(tmp_path, name):
    with pytest.raises(WeightsError, match="no file"):
        load_vgg(tmp_path / name)
    (tmp_path / name).write_bytes(b"<!doctype html>")
    with pytest.raises(WeightsError, match="is a web page|can(not)? be read"):
        load_vgg(tmp_path / name)
    (tmp_path / name).write_bytes(bytes(range(256)))
    with pytest.raises(WeightsError, match="can(not)? be read"):
        load_vgg(tmp_path / name)


# The published file.


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Serve a made-up published file from this machine."""
    whole = tmp_path / "vgg19.pth"
    torch.save(torchvision_state(), whole)
    digest = hashlib.sha256(whole.read_bytes()).hexdigest()
    monkeypatch.setattr(vgg, "VGG19_URL", whole.as_uri())
    monkeypatch.setattr(vgg, "VGG19_SHA256_START", digest[:8])
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return whole


def test_the_published_file_is_fetched_once_and_cut_down(published, tmp_path):
    said = []
    first = load_vgg(progress=said.append)
    published.unlink()
    second = load_vgg(progress=said.append)
    assert torch.equal(first.conv3_1.weight, torchvision_state()["features.10.weight"])
    assert torch.equal(first.conv3_1.weight, second.conv3_1.weight)
    assert len(said) == 1
    kept = [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]
    assert [path.suffix for path in kept] == [".safetensors"]
    assert kept[0].stat().st_size < 3e6


def test_what_a_killed_download_left_is_removed(published, tmp_path):
    left = tmp_path / "cache" / ".vgg19-abc123" / "vgg19.pth"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    load_vgg()
    assert not left.parent.exists()


def test_a_wrong_download_is_refused_and_leaves_nothing(published, tmp_path):
    published.write_bytes(published.read_bytes()[:-1])
    with pytest.raises(HashMismatchError, match="should begin with"):
        load_vgg()
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("limit", ["_LARGEST_FILE", "_LONGEST_TIME"])
def test_a_download_without_end_is_ended(published, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(vgg, limit, -1 if limit == "_LONGEST_TIME" else 1000)
    with pytest.raises(NetworkError, match="did not end") as error:
        load_vgg()
    assert "--vgg FILE" in error.value.hint
    assert not [path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock"]


def test_no_network_is_a_sentence(published):
    published.unlink()
    with pytest.raises(NetworkError, match="could not be fetched") as error:
        load_vgg()
    assert "--vgg FILE" in error.value.hint
    assert "--contrastive none" in error.value.hint


def test_offline_asks_nobody(published, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NetworkError, match="HF_HUB_OFFLINE"):
        load_vgg()


def test_l1_grows_slowly_beyond_what_pictures_differ_by():
    """Up to 1 it is the mean absolute difference; one image that diverged is worth a few others."""
    target = torch.zeros(1, 3, 4, 4)
    for size, expected in ((0.25, 0.25), (2.0, 1 + math.log(2)), (1e20, 1 + 20 * math.log(10))):
        image = torch.full_like(target, size, requires_grad=True)
        loss = stage_loss(target, image, target)
        loss.backward()
        assert loss.item() == pytest.approx(expected)
        assert image.grad.sum().item() == pytest.approx(min(1, 1 / size))
