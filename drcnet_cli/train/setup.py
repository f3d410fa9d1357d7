"""The parts of a run, made from its configuration or from where an earlier one stopped."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import set_seed
from torch import Tensor, nn

from drcnet_cli import settings
from drcnet_cli.device import choose_device, choose_dtype
from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.networks import NETWORKS, Architecture, NetworkConfig
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.tasks import ANY_DAMAGE
from drcnet_cli.train.config import DEFAULT_DEPTH, DEFAULT_WIDTH, TrainConfig
from drcnet_cli.train.optim import Muon, WeightAverage
from drcnet_cli.train.resume import state_to_resume, with_network
from drcnet_cli.train.schedule import parse_phases
from drcnet_cli.train.state import State, TrainingProgress, described_network, save_state
from drcnet_cli.version import __version__
from drcnet_cli.weights.fetch import resolve

_PRECISION = {torch.float32: "no", torch.bfloat16: "bf16", torch.float16: "fp16"}

# Fields of networks that are flags; `--set` names the others.
_NETWORK_FLAGS = ("width", "depth", "threshold", "delta", "feature_limit")


@dataclass
class Run:
    """A run's parts: `network` holds the weights, `model` is it as Accelerate prepared it.

    `shape` is what the network was built from; `objective_state` what the objective goes on from.
    """

    config: TrainConfig
    accelerator: Accelerator
    dtype: torch.dtype
    architecture: Architecture
    shape: NetworkConfig
    network: nn.Module
    model: nn.Module
    optimizer: Any
    average: WeightAverage
    progress: TrainingProgress
    objective_state: dict[str, Tensor]

    @property
    def device(self) -> torch.device:
        """Where the run computes."""
        return self.accelerator.device

    def save(self, objective: Mapping[str, Tensor]) -> None:
        """Write the state to resume from; `objective`: that of what is minimised."""
        scaler = self.accelerator.scaler
        state = State(
            self.progress,
            {
                **asdict(self.config),
                "arch": self.architecture.name,
                "network": self.shape.to_dict(),
            },
            {
                "network": self.network.state_dict(),
                "average": self.average.network.state_dict(),
                "objective": dict(objective),
            },
            self.optimizer.state_dict(),
            scaler.state_dict() if scaler is not None else {},
        )
        save_state(self.config.folder, state)

    def info(
        self, data: Mapping[str, Any], contrast: Mapping[str, Any], scores: Mapping[str, Any]
    ) -> CheckpointInfo:
        """Describe the averaged weights as a checkpoint's metadata does."""
        provenance = {
            "source": f"drcnet train, version {__version__}, torch {torch.__version__}",
            "data": dict(data),
            "steps": self.progress.step,
            "samples": self.progress.samples,
            "minutes": round(self.progress.elapsed / 60, 1),
            "contrast": dict(contrast),
            "scores": dict(scores),
            "licence": self.config.licence,
            "settings": _portable(self.config),
        }
        return CheckpointInfo(
            config=self.shape,
            name=self.config.name or self.config.folder.resolve().name,
            task=self.config.kind,
            training_patch=self.progress.patch or parse_phases(self.config.patches)[0].patch,
            provenance=provenance,
            arch=self.architecture.name,
        )

    def export(self, file_name: str, info: CheckpointInfo) -> Path:
        """Write the averaged weights as a checkpoint for `drcnet restore --weights`."""
        path = self.config.folder / file_name
        save_checkpoint(path, self.average.network.state_dict(), info)
        return path


def open_run(config: TrainConfig) -> Run:
    """Build the parts, resumed where the configuration says so.

    Raises UsageError if a run with other settings is in the way, DeviceError, WeightsError.
    """
    device = choose_device(config.device)
    dtype = choose_dtype(config.dtype, device)
    accelerator = _make_accelerator(config, device, dtype)
    # Phases have few sizes, so that trying all algorithms once for each pays.
    torch.backends.cudnn.benchmark = True
    state = state_to_resume(config)
    set_seed(config.seed)
    architecture, shape, network = _build_network(config, state)
    if state is None or state.config.get("task") != config.task:
        _check_able(config, architecture)
    config = with_network(config, architecture.name, state)
    network = network.to(accelerator.device)
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimizer = _make_optimizer(config, network, device)
    average = WeightAverage(network, config.ema)
    if state is not None:
        network.load_state_dict(state.parts["network"])
        average.network.load_state_dict(state.parts["average"])
        _load_optimizer(optimizer, state.optimizer)
    if config.compile:
        settings.keep_compiled()
    # Each phase has its own patch: shapes taken for variable cost speed, and fail on some versions.
    model = torch.compile(network, dynamic=False) if config.compile else network
    model, optimizer = accelerator.prepare(model, optimizer)
    if state is not None and state.scaler and accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(state.scaler)
    progress = state.progress if state is not None else TrainingProgress()
    return Run(
        config,
        accelerator,
        dtype,
        architecture,
        shape,
        network,
        model,
        optimizer,
        average,
        progress,
        state.parts.get("objective", {}) if state is not None else {},
    )


def _make_accelerator(config: TrainConfig, device: torch.device, dtype: torch.dtype) -> Accelerator:
    # Accelerate keeps these for the life of the process: a second run in it may differ.
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    if device.type == "cuda" and ":" in config.device:
        torch.cuda.set_device(device)
    return Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=_PRECISION[dtype],
        gradient_accumulation_steps=config.accumulate,
    )


def _build_network(
    config: TrainConfig, state: State | None
) -> tuple[Architecture, NetworkConfig, nn.Module]:
    if config.init and state is None:
        begun, info = load_checkpoint(resolve(config.init).path)
        architecture, begun = (
            info.architecture,
            _reshaped(_grown(begun, info, config), info, config),
        )
        shape = _limited(cast(NetworkConfig, begun.config), config)
        network = architecture.build(shape)
        network.load_state_dict(begun.state_dict())
        return architecture, shape, network
    if state is not None:
        architecture, shape = described_network(state)
        shape = _limited(shape, config)
        return architecture, shape, architecture.build(shape)
    architecture = NETWORKS[config.network]
    shape = _network_config(config, architecture)
    network = architecture.build(shape)
    if architecture.begin_training is not None:
        architecture.begin_training(network)
    return architecture, shape, network


def _check_able(config: TrainConfig, architecture: Architecture) -> None:
    """Raise UsageError for what the network cannot do, before it is trained for that."""
    needs = (
        (
            config.kind == ANY_DAMAGE,  # `drcnet restore --task auto` would not take it
            "summarise",
            f"--task {config.task} is for a network that can tell what is wrong with a picture",
        ),
        (config.masks, "finds_damage", "--masks is for a network that can learn to find damage"),
    )
    for asked, offer, said in needs:
        if asked and not getattr(architecture, offer):
            able = " or ".join(name for name, kind in NETWORKS.items() if getattr(kind, offer))
            raise UsageError(
                f"{said}, and {architecture.title} cannot.",
                f"Begin with a checkpoint of {able}, or leave --init out and add --network {able}"
                if config.init
                else f"Add --network {able}",
            )


def _network_config(config: TrainConfig, architecture: Architecture) -> NetworkConfig:
    """Make the network's configuration of the flags that it has and of what `--set` says."""
    kind = architecture.config_type
    own = {field.name for field in fields(kind)}
    asked = {
        "width": config.width or DEFAULT_WIDTH,
        "depth": config.depth or DEFAULT_DEPTH,
        "threshold": config.threshold,
        "delta": config.delta,
        "feature_limit": config.feature_limit or None,
    }
    values = {name: value for name, value in asked.items() if name in own}
    return _with_settings(values, config, kind)


def _with_settings(
    values: dict[str, Any], config: TrainConfig, kind: type[NetworkConfig]
) -> NetworkConfig:
    """Make a network's configuration of `values`, changed by what `--set` says."""
    for item in config.set:
        key, _, text = item.partition("=")
        try:
            values[key] = json.loads(text)
        except ValueError as error:
            if not text.isidentifier():
                raise UsageError(
                    f"--set cannot be {item!r}.", "Use --set KEY=VALUE: filter_levels=[0,1]"
                ) from error
            values[key] = text  # a word needs no quotation marks
        if key in _NETWORK_FLAGS:
            raise UsageError(f"--set cannot be {item!r}.", f"Use --{key} {text}")
    try:
        return kind.from_dict(values)
    except CheckpointFormatError as error:  # what it is in a file; here, flags are wrong
        raise UsageError(error.message, "See `drcnet train --help`.") from error


def _grown(network: nn.Module, info: CheckpointInfo, config: TrainConfig) -> nn.Module:
    """Widen the network of --init as far as --width says; raises UsageError where it cannot be."""
    depth = getattr(info.config, "depth", 0)
    if config.depth not in (0, depth):
        raise UsageError(
            f"{config.init} has {depth} levels, and --depth says {config.depth}.",
            "Leave --depth out: only the width of a network can grow",
        )
    if not config.width:
        return network
    if info.architecture.grow is None:
        raise UsageError(f"{info.architecture.title} cannot grow.", "Leave --width out")
    return info.architecture.grow(network, config.width, config.seed)


def _reshaped(network: nn.Module, info: CheckpointInfo, config: TrainConfig) -> nn.Module:
    """Give the network of --init what --set says; raises UsageError where it cannot have it."""
    if not config.set:
        return network
    if info.architecture.reshape is None:
        raise UsageError(
            f"{info.architecture.title} cannot change its configuration.", "Leave --set out"
        )
    begun = cast(NetworkConfig, network.config)
    shape = _with_settings(begun.to_dict(), config, type(begun))
    return info.architecture.reshape(network, shape)


def _limited(shape: NetworkConfig, config: TrainConfig) -> NetworkConfig:
    """Limit the features of a network that can be limited as far as the run says.

    Limits of a checkpoint's own, level by level, stay, unless the run says that there are none.
    """
    if "feature_limit" not in {field.name for field in fields(shape)}:
        return shape
    if config.feature_limit and isinstance(getattr(shape, "feature_limit", None), tuple):
        return shape
    return replace(shape, feature_limit=config.feature_limit or None)


def _make_optimizer(
    config: TrainConfig, network: nn.Module, device: torch.device
) -> torch.optim.Optimizer:
    betas = config.betas[0], config.betas[1]
    if config.optimizer == "muon":
        return Muon(network.parameters(), config.lr, betas, config.weight_decay)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[config.optimizer](
        network.parameters(),
        lr=config.lr,
        betas=betas,
        weight_decay=config.weight_decay,
        # One pass over each tensor instead of ten; other devices have no such kernel.
        fused=device.type in ("cpu", "cuda"),
    )


def _load_optimizer(optimizer: torch.optim.Optimizer, values: dict[str, Any]) -> None:
    # The groups (rates, betas) are this run's own: a file has no say in them.
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": values["state"], "param_groups": groups})
    for weight, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == weight.shape:
                # Laid out as its weight, channels last or not: fused kernels take that for granted.
                state[name] = torch.empty_like(weight, requires_grad=False).copy_(value)


def _portable(config: TrainConfig) -> dict[str, Any]:
    """Return the settings for a checkpoint's metadata: of files and folders only the last names."""
    values = asdict(config)
    for name in ("data_root", "lq", "gt", "masks", "streaks", "init", "vgg", "out", "resume"):
        values[name] = Path(values[name]).name
    return {**values, "clean": [Path(folder).name for folder in config.clean]}
