"""Teaching an encoder to tell what is wrong with a picture, and measuring how well it does.

Clean photographs are degraded in every kind. The blocks behind the encoder's guide, which restoring
has no use for, learn the kinds by a linear layer and cross-entropy; then each kind's prototype is
found among what they say. Held photographs tell how often the nearest prototype is the right one.
Not of AirNet's paper, whose encoder learns to tell pictures apart, by contrast alone: its latent
space has the kinds well apart where damage is strong, and not where it is weak.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from drcnet_cli.degrade import degrade, is_kind, margin_of
from drcnet_cli.degrade.base import quantize
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio.folder import Pixels
from drcnet_cli.networks.checkpoint import CheckpointInfo
from drcnet_cli.networks.prototypes import NOTHING, find_prototypes
from drcnet_cli.progress import Progress, no_progress
from drcnet_cli.restore.diagnosis import PATCH, diagnose, whole_summary
from drcnet_cli.tasks import tasks_of_kind
from drcnet_cli.train.cache import PictureCache
from drcnet_cli.train.samples import from_the_next_readable, sample_rng, to_unit_chw
from drcnet_cli.train.synthetic import degrade_crop
from drcnet_cli.train.variety import cut_scaled, vary_colour

Array = np.ndarray

# Weak and strong ones apart: what they have in common is less than what they do to the encoder.
DEFAULT_KINDS = (
    NOTHING,
    "gaussian-15",
    "gaussian-25",
    "gaussian-50",
    "camera",
    "rain-light",
    "rain-heavy",
    "haze",
    "blur-light",
    "blur-heavy",
    "rain+noise",
    "haze+noise",
    "haze+rain",
)
_HELD_SEED = 1_000_003  # of held pictures: the same in all runs
BATCH = 32
SIDE = 2 * PATCH  # of the pictures that prototypes are found and measured on
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Trial:
    """One held picture: the kind it was degraded in, and the kind it was taken for."""

    kind: str
    taken_for: str

    @property
    def right_task(self) -> bool:
        """Tell whether the same tasks undo both."""
        return tasks_of_kind(self.kind) == tasks_of_kind(self.taken_for)


@dataclass(frozen=True)
class Accuracy:
    """How held pictures were taken; of `count` pictures of each kind."""

    trials: tuple[Trial, ...]

    def of(self, kind: str) -> tuple[float, float]:
        """Return the share of a kind's pictures taken for it, and for its task."""
        own = [trial for trial in self.trials if trial.kind == kind]
        exact = sum(trial.taken_for == kind for trial in own)
        return exact / len(own), sum(trial.right_task for trial in own) / len(own)

    @property
    def overall(self) -> tuple[float, float]:
        """Return both shares over all pictures."""
        exact = sum(trial.taken_for == trial.kind for trial in self.trials)
        right = sum(trial.right_task for trial in self.trials)
        return exact / len(self.trials), right / len(self.trials)


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise UsageError for kinds that there are not, or too few of them."""
    for kind in kinds:
        if not is_kind(kind):
            raise UsageError(
                f"Unknown kind of degradation {kind!r}.", "See `drcnet degrade --help`"
            )
    if len(set(kinds)) < 2 or len(set(kinds)) < len(kinds):
        raise UsageError(
            f"{', '.join(kinds)} are no kinds to tell apart.", "Give two or more, each once"
        )


class KindSource(IterableDataset):  # pyright: ignore[reportMissingTypeArgument]
    """Endless batches of degraded crops, each kind in turn: N x 3 x PATCH x PATCH, and its number.

    A picture is a pure function of seed and number.
    """

    def __init__(self, cache: PictureCache, kinds: Sequence[str], seed: int) -> None:
        self._cache, self._kinds, self._seed = cache, tuple(kinds), seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of this worker."""
        info = torch.utils.data.get_worker_info()
        first, step = (info.id, info.num_workers) if info else (0, 1)
        batch = first
        while True:
            numbers = range(batch * BATCH, (batch + 1) * BATCH)
            crops = [self._crop(number) for number in numbers]
            kinds = torch.tensor([number % len(self._kinds) for number in numbers])
            yield torch.from_numpy(np.stack(crops)), kinds
            batch += step

    def _crop(self, number: int) -> Array:
        rng, count = sample_rng(self._seed, number), len(self._cache)
        which = int(rng.integers(count))
        picture = from_the_next_readable(which, count, self._cache.__getitem__)
        return degraded_crop(picture, self._kinds[number % len(self._kinds)], PATCH, rng)


def degraded_crop(picture: Pixels, kind: str, side: int, rng: np.random.Generator) -> Array:
    """Cut a crop out of a photograph at some scale, vary its colours and degrade it: 3 x side^2.

    8 bits, as pictures are stored.
    """
    margin = margin_of(kind)
    clean = vary_colour(to_unit_chw(cut_scaled(picture, side + 2 * margin, rng)), rng)
    pair = degrade_crop(clean, lambda image, rng: degrade(image, kind, rng), margin, rng)
    return quantize(pair.degraded)


def teach_kinds(
    network: nn.Module,
    info: CheckpointInfo,
    photographs: PictureCache,
    kinds: Sequence[str],
    *,
    minutes: float,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = no_progress,
) -> CheckpointInfo:
    """Have the network's summaries learn the kinds for some minutes; return `info` with prototypes.

    Changes what `summary_modules` names, in place, and nothing that restoring makes use of. The
    network comes back in eval mode. `progress` gets seconds. Raises UsageError for a network
    without such parts and for unknown kinds.
    """
    check_kinds(kinds)
    summarise = summariser(network, info)
    network.eval().requires_grad_(False)
    if minutes:
        batches = DataLoader(
            KindSource(photographs, kinds, seed), batch_size=None, num_workers=workers
        )
        assert info.architecture.summary_modules is not None
        modules = info.architecture.summary_modules(network)
        _learn(summarise, modules, iter(batches), len(kinds), 60 * minutes, progress)
    summaries = {kind: [] for kind in kinds}
    for kind, picture in _pictures(photographs, kinds, seed, 1):
        pixels = picture.transpose(1, 2, 0)
        summaries[kind].append(whole_summary(summarise, torch.device("cpu"), pixels))
    if (least := min(map(len, summaries.values()))) < 2:  # kinds are told by how pictures differ
        raise UsageError(
            f"Of {len(photographs)} photographs to learn from {least} can be used.",
            "Give --clean a folder of more: at least two, better a hundred",
        )
    return replace(info, prototypes=find_prototypes(summaries))


def summariser(network: nn.Module, info: CheckpointInfo) -> Callable[[Tensor], Tensor]:
    """Return what turns N x 3 x H x W into N x C; raises UsageError where nothing does."""
    architecture = info.architecture
    if architecture.summarise is None or architecture.summary_modules is None:
        raise UsageError(
            f"{architecture.title} cannot learn to tell what is wrong with a picture.",
            "AirNet can: drcnet train --network airnet --task auto",
        )
    return partial(architecture.summarise, network)


def _learn(
    summarise: Callable[[Tensor], Tensor],
    modules: Sequence[nn.Module],
    batches: Iterator[tuple[Tensor, Tensor]],
    kinds: int,
    seconds: float,
    progress: Progress,
) -> None:
    """Minimise the cross-entropy of the kinds by a linear layer behind the summaries."""
    for module in modules:
        module.train().requires_grad_(True)
    pictures, numbers = next(batches)
    head = nn.Linear(summarise(pictures).shape[1], kinds)
    weights = [weight for module in (*modules, head) for weight in module.parameters()]
    optimizer = torch.optim.AdamW(weights, LEARNING_RATE, weight_decay=0.05)
    started = time.monotonic()
    while (used := (time.monotonic() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 + math.cos(math.pi * used)) / 2
        loss = F.cross_entropy(head(summarise(pictures)), numbers)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        progress(round(used * seconds), round(seconds))
        pictures, numbers = next(batches)
    for module in modules:
        module.eval().requires_grad_(False)


def _pictures(
    cache: PictureCache, kinds: Sequence[str], seed: int, rounds: int
) -> Iterator[tuple[str, Array]]:
    """Yield each photograph in each kind, 3 x SIDE x SIDE, `rounds` times."""
    for turn, number, kind in itertools.product(range(rounds), range(len(cache)), kinds):
        rng = np.random.default_rng((seed, turn, number, *kind.encode()))
        try:
            picture = cache[number]
        except ImageError:  # which the cache counts
            continue
        yield kind, degraded_crop(picture, kind, SIDE, rng)


def measure_kinds(
    network: nn.Module,
    info: CheckpointInfo,
    photographs: PictureCache,
    kinds: Sequence[str],
    *,
    rounds: int = 4,
) -> Accuracy:
    """Look at held photographs degraded in each kind, `rounds` times, as `restore` looks at them.

    Raises UsageError for a network that cannot tell.
    """
    check_kinds(kinds)
    trials = []
    for kind, picture in _pictures(photographs, kinds, _HELD_SEED, rounds):
        found = diagnose(network, info, torch.device("cpu"), picture.transpose(1, 2, 0))
        trials.append(Trial(kind, found.likeliest))
    return Accuracy(tuple(trials))
