"""What decides a restoration: asked for once, handed down, and sent to other processes as it is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import nn

from drcnet_cli.device import choose_device, choose_devices, choose_dtype
from drcnet_cli.engines import TORCH, check_backend, make_engine
from drcnet_cli.errors import UsageError
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint
from drcnet_cli.restore.diagnosis import cannot_tell
from drcnet_cli.restore.experts import Experts, LookingRestorer
from drcnet_cli.restore.mixing import GRAIN_TASK, check_grain, check_strength
from drcnet_cli.restore.restorer import Restorer, check_finds_damage
from drcnet_cli.restore.tiling import TileOptions
from drcnet_cli.tasks import ANY_DAMAGE
from drcnet_cli.weights.fetch import resolve


@dataclass(frozen=True)
class RestoreConfig:
    """Everything that decides a restoration, as it was asked for: nothing is loaded yet.

    `checkpoint`: a name of `drcnet weights list`, a task (as derain: its default
    checkpoint) or a .safetensors file; empty while that is still to be said. `task`: what it must
    be made for; None: anything. `strength`: the result's share, from 0 (the input) to 1.
    `keep_grain`: that of the grain which denoising gives back. `experts`: where the checkpoint
    tells what is wrong with a picture, the one made for that restores it; `explain`: it says so.
    `masks`: it must tell where damage is. The others are the options of `drcnet restore` of these
    names.
    """

    checkpoint: str | Path = ""
    task: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    backend: str = TORCH
    tiling: TileOptions = TileOptions()
    ensemble: bool = False
    hub_repo: str | None = None
    offline: bool = False
    strength: float = 1.0
    experts: bool = True
    explain: bool = False
    masks: bool = False
    keep_grain: float = 0.0

    def devices(self) -> list[str]:
        """List what `device` names: several for `cuda:all` and `cuda:0,cuda:2`.

        Raises DeviceError for a device that is not there, UsageError where there may be only one.
        """
        devices = choose_devices(self.device)
        if len(devices) > 1 and self.backend != TORCH:
            raise UsageError(
                f"Several devices are for torch, not for the backend {self.backend}.",
                "Leave out --backend or --device",
            )
        return devices


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network in eval mode on its device, with its checkpoint's description.

    The weights are float32; `dtype` is the type to compute in, and `auto` is settled by the first
    tile. `backend` is what computes. `experts` opens the restorer of a task's own checkpoint, for
    a network that tells which one a picture needs.
    """

    network: nn.Module
    info: CheckpointInfo
    device: torch.device
    dtype: str = "auto"
    backend: str = TORCH
    experts: Experts | None = None

    def restorer(
        self,
        tiling: TileOptions | None = None,
        ensemble: bool = False,
        notify: Callable[[str], None] = lambda _: None,
        strength: float = 1.0,
        explain: bool = False,
        keep_grain: float = 0.0,
    ) -> Restorer:
        """Make a restorer; `notify` gets each change of plan, once.

        One whose checkpoint tells what is wrong with a picture looks first (`LookingRestorer`), and
        with `explain` says what it saw. Raises UsageError for a tiling, a strength or a grain that
        cannot be used, and for a network that is to explain and cannot.
        """
        other = self.backend != TORCH
        engine = make_engine(self.backend, self.network, self.info) if other else None
        looks = self.info.prototypes is not None
        check_grain(keep_grain, self.info.task, looks and self.experts is not None)
        if explain and not looks:
            raise cannot_tell(self.info)
        looking = partial(LookingRestorer, experts=self.experts, explain=explain)
        kind = looking if looks else Restorer
        return kind(
            self.network,
            self.info,
            device=self.device,
            dtype=choose_dtype(self.dtype, self.device),
            check_dtype=self.dtype == "auto",
            tiling=tiling,
            ensemble=ensemble,
            engine=engine,
            strength=strength,
            keep_grain=keep_grain,
            notify=notify,
        )


def open_model(config: RestoreConfig) -> LoadedModel:
    """Load the network that a configuration names, on its device.

    Raises WeightsError if the checkpoint is not to be had, DeviceError for an unknown device or one
    that the backend lacks, UsageError for a backend that is not installed and for a checkpoint made
    for another task.
    """
    # Checked first: a wrong name should cost no download, nor wait for the first image.
    device, dtype = check_backend(config.backend, config.device, config.dtype)
    place = choose_device(device)
    choose_dtype(dtype, place)
    found = resolve(config.checkpoint, hub_repo=config.hub_repo, offline=config.offline)
    network, info = load_checkpoint(found.path)
    info.check_task(config.task)
    if config.masks:
        check_finds_damage(info)
    if config.task == ANY_DAMAGE and info.architecture.summarise is None:
        raise UsageError(
            f"{info.name or found.path} is a checkpoint of {info.architecture.title}, which cannot "
            "tell what is wrong with a picture.",
            f"Leave out --task {ANY_DAMAGE}",
        )

    if not config.experts and info.architecture.summarise is None:
        raise UsageError(
            f"--auto-one is for auto's checkpoint, and {info.name or found.path} is one of "
            f"{info.architecture.title}, which restores alone.",
            "Leave it out",
        )

    def expert(task: str, notify: Callable[[str], None]) -> Restorer:
        grain = config.keep_grain if task == GRAIN_TASK else 0.0
        own = replace(config, checkpoint=task, task=task, explain=False, keep_grain=grain)
        return open_restorer(own, notify)

    experts = expert if config.experts else None
    return LoadedModel(network.to(place), info, place, dtype, config.backend, experts)


def open_restorer(
    config: RestoreConfig, notify: Callable[[str], None] = lambda _: None
) -> Restorer:
    """Load what a configuration names and make its restorer; raises what `open_model` does."""
    check_strength(config.strength)
    return open_model(config).restorer(
        config.tiling,
        config.ensemble,
        notify,
        config.strength,
        config.explain,
        config.keep_grain,
    )
