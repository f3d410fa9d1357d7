"""VGG19 up to relu3_1: the features in which the contrastive losses measure distances.

The weights are never part of this package. They come from a file of the user's, or from
torchvision's published one, of which the five convolutions needed here (2 of 548 MB) are kept.
"""

import hashlib
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from drcnet_cli import settings
from drcnet_cli.errors import HashMismatchError, NetworkError, WeightsError
from drcnet_cli.files.atomic import atomic_write
from drcnet_cli.networks.checkpoint import dump_tensors
from drcnet_cli.networks.pth import read_state_dict
from drcnet_cli.text import shorten

# Published by torchvision; the name carries the first digits of the file's sha256.
VGG19_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
VGG19_SHA256_START = "dcbb9e9d"

_STAGING = ".vgg19-"  # begins the name of the folder of a download under way

VGG19 = "vgg19"
VGG19_NORMALISED = "vgg19-normalised (stand-in)"

# The layers' numbers in the state dicts: torchvision's `features.N`, and the normalised variant's
# `N`, which counts its own first layer (RGB in [0, 1] to BGR in 0..255 less its mean) and paddings.
_LAYERS = {
    VGG19: {0: "conv1_1", 2: "conv1_2", 5: "conv2_1", 7: "conv2_2", 10: "conv3_1"},
    VGG19_NORMALISED: {
        0: "to_input",
        2: "conv1_1",
        5: "conv1_2",
        9: "conv2_1",
        12: "conv2_2",
        16: "conv3_1",
    },
}

_ADVICE = (
    "Give torchvision's vgg19-dcbb9e9d.pth with --vgg FILE, or train without it: --contrastive none"
)
_TIMEOUT = 30  # seconds without an answer
_CHUNK = 1 << 20
_LONGEST_TIME = 3 * 3600  # seconds for the whole file: 0.4 Mbit/s
_LARGEST_FILE = 600 << 20  # bytes; VGG19 has 548 MB


class ImageNetNormalise(nn.Module):
    """RGB in [0, 1] to the zero mean and unit deviation that torchvision's networks expect."""

    def __init__(self) -> None:
        super().__init__()
        mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Normalise N x 3 x H x W; the same shape."""
        return (image - self.get_buffer("mean")) / self.get_buffer("deviation")


class VGGFeatures(nn.Module):
    """VGG19's relu1_1, relu2_1 and relu3_1, frozen: gradients reach the image only.

    `name` says whose weights they are, for a checkpoint's metadata: "vgg19", or "vgg19-normalised
    (stand-in)", the variant with its own first layer and reflection padding. Built with random
    weights; `load_vgg` fills them in. Computes in the type of its own convolutions (see `place`),
    whatever autocast surrounds it.
    """

    def __init__(self, name: str = VGG19) -> None:
        super().__init__()
        stand_in = name == VGG19_NORMALISED
        padding = "reflect" if stand_in else "zeros"

        def conv3x3(channels_in: int, channels_out: int) -> nn.Conv2d:
            return nn.Conv2d(channels_in, channels_out, 3, padding=1, padding_mode=padding)

        self.name = name
        self.to_input = nn.Conv2d(3, 3, 1) if stand_in else ImageNetNormalise()
        self.conv1_1 = conv3x3(3, 64)
        self.conv1_2 = conv3x3(64, 64)
        self.conv2_1 = conv3x3(64, 128)
        self.conv2_2 = conv3x3(128, 128)
        self.conv3_1 = conv3x3(128, 256)
        self.requires_grad_(False).eval()

    def place(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "VGGFeatures":
        """Move to the device and let the convolutions compute in `dtype`, channels last.

        The conversion of the image stays in float32: a pixel rounded to bfloat16 is off by half a
        gray level, as much as a good restoration.
        """
        self.to(device)
        for layer in (self.conv1_1, self.conv1_2, self.conv2_1, self.conv2_2, self.conv3_1):
            layer.to(dtype=dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return self

    def unnormalised(self) -> "VGGFeatures":
        """Return the same weights (shared) fed with [0, 1] images as they are: the released code's.

        The stand-in's first layer belongs to its weights, so there nothing changes.
        """
        twin = VGGFeatures(self.name)
        for name, layer in self.named_children():
            is_normalisation = isinstance(layer, ImageNetNormalise)
            setattr(twin, name, nn.Identity() if is_normalisation else layer)
        return twin

    def first(self, image: Tensor) -> Tensor:
        """Return conv1_1 before its ReLU, N x 64 x H x W: affine in the image, so mixtures mix."""
        with torch.autocast(image.device.type, enabled=False):
            weight = self.conv1_1.weight
            x = self.to_input(image.to(torch.promote_types(weight.dtype, torch.float32)))
            return self.conv1_1(x.to(weight.dtype, memory_format=torch.channels_last))

    def levels(self, first: Tensor) -> list[Tensor]:
        """Return the feature maps from `first`'s result: 64, 128, 256 channels at 1, 1/2, 1/4."""
        with torch.autocast(first.device.type, enabled=False):
            relu1_1 = F.relu(first)
            x = F.max_pool2d(F.relu(self.conv1_2(relu1_1), inplace=True), 2)
            relu2_1 = F.relu(self.conv2_1(x), inplace=True)
            x = F.max_pool2d(F.relu(self.conv2_2(relu2_1), inplace=True), 2)
            relu3_1 = F.relu(self.conv3_1(x), inplace=True)
            return [relu1_1, relu2_1, relu3_1]

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the three feature maps of N x 3 x H x W in [0, 1], H and W >= 8."""
        return self.levels(self.first(image))


def load_vgg(
    path: Path | None = None, progress: Callable[[str], None] | None = None
) -> VGGFeatures:
    """Load the features from a file, or else from the cache or torchvision's published file.

    `path`: torchvision's VGG19 or the normalised variant, a PyTorch state dict or safetensors; its
    tensors tell which. `progress` gets a line of text before a download. Raises WeightsError (with
    what to do instead) for a file that is neither, HashMismatchError for a wrong download,
    NetworkError where there is no network. Processes that start together download once.
    """
    source = path or _published(progress)
    state = _read(source)
    name = VGG19_NORMALISED if _shape(state, 0) == (3, 3, 1, 1) else VGG19
    if name == VGG19 and "17.weight" in state and "16.weight" not in state:
        raise WeightsError(f"{source} holds VGG16's weights, not VGG19's.", _ADVICE)
    features = VGGFeatures(name)
    features.load_state_dict(_select(state, features, source), strict=True)
    return features


def _read(path: Path) -> dict[str, Tensor]:
    """Read a state dict, its names without torchvision's `features.`."""
    if not path.is_file():
        raise WeightsError(f"There is no file of VGG weights {path}.", _ADVICE)
    if path.suffix == ".safetensors":
        try:
            state = load_file(path)
        # LookupError, AttributeError: types of numbers that this version of torch lacks.
        except (SafetensorError, OSError, ValueError, LookupError, AttributeError) as error:
            raise WeightsError(f"{path} cannot be read as VGG weights.", _ADVICE) from error
    else:
        state = read_state_dict(path, (), _ADVICE)
    return {name.removeprefix("features."): value for name, value in state.items()}


def _shape(state: Mapping[str, Tensor], layer: int) -> tuple[int, ...]:
    weight = state.get(f"{layer}.weight")
    return () if weight is None else tuple(weight.shape)


def _select(state: Mapping[str, Tensor], features: VGGFeatures, source: Path) -> dict[str, Tensor]:
    """Pick and rename the tensors that `features` needs; raise WeightsError for a wrong shape."""
    expected = features.state_dict()
    selected = {}
    for number, layer in _LAYERS[features.name].items():
        for kind in ("weight", "bias"):
            value, wanted = state.get(f"{number}.{kind}"), expected[f"{layer}.{kind}"]
            if (
                value is None
                or value.shape != wanted.shape
                or not value.is_floating_point()
                or not torch.isfinite(value).all()
            ):
                raise WeightsError(
                    f"{source} is not VGG19: {layer}'s {kind} (number {number}) is "
                    f"{_described(value)}, not finite numbers of shape {tuple(wanted.shape)}.",
                    _ADVICE,
                )
            selected[f"{layer}.{kind}"] = value.float()
    return selected


def _described(value: Tensor | None) -> str:
    return "missing" if value is None else f"{value.dtype} of shape {shorten(tuple(value.shape))}"


def _published(progress: Callable[[str], None] | None) -> Path:
    """Return the cached convolutions of torchvision's VGG19, downloading them the first time."""
    # The hub's client is slow to import, and only its lock is needed.
    from huggingface_hub.utils import WeakFileLock

    folder = settings.cache_dir()
    kept = folder / f"{VGG19}-{VGG19_SHA256_START}-conv3_1.safetensors"
    if kept.is_file():
        return kept
    if settings.hub_offline():
        raise NetworkError("VGG19's weights are not here, and HF_HUB_OFFLINE is set.", _ADVICE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(folder / f"{kept.name}.lock"):
            if not kept.is_file():
                if progress:
                    progress(f"Downloading VGG19 (548 MB, of which 2 MB are kept): {VGG19_URL}")
                _download(kept)
    except (OSError, HTTPException) as error:
        raise NetworkError(
            f"VGG19's weights could not be fetched from {VGG19_URL} into {folder}: "
            f"{str(error).strip('<>')}.",
            _ADVICE,
        ) from error
    return kept


def _download(kept: Path) -> None:
    """Download the whole file beside `kept`, verify it, and keep what is needed of it."""
    digest = hashlib.sha256()
    # The caller's lock says that no other process downloads: these are of killed ones.
    for folder in kept.parent.glob(f"{_STAGING}*"):
        shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=_STAGING) as folder:
        whole = Path(folder, "vgg19.pth")
        with (
            urllib.request.urlopen(VGG19_URL, timeout=_TIMEOUT) as answer,
            whole.open("wb") as file,
        ):
            left, end = _LARGEST_FILE, time.monotonic() + _LONGEST_TIME
            # read1 gives what has come; read would wait for a whole chunk, however slow the server.
            while chunk := answer.read1(_CHUNK):
                left -= len(chunk)
                if left < 0 or time.monotonic() > end:
                    raise NetworkError(
                        f"{VGG19_URL} did not end after {_LARGEST_FILE >> 20} MiB or three hours.",
                        _ADVICE,
                    )
                digest.update(chunk)
                file.write(chunk)
        if not digest.hexdigest().startswith(VGG19_SHA256_START):
            raise HashMismatchError(
                f"The file from {VGG19_URL} is damaged or not VGG19: its sha256 is "
                f"{digest.hexdigest()} and should begin with {VGG19_SHA256_START}.",
                _ADVICE,
            )
        state = _read(whole)
    tensors = {
        f"features.{number}.{kind}": state[f"{number}.{kind}"]
        for number in _LAYERS[VGG19]
        for kind in ("weight", "bias")
    }
    with atomic_write(kept) as temporary:
        dump_tensors(temporary, tensors, {"source": VGG19_URL})
