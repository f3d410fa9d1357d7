"""Everything that decides a training run, in one dataclass that a TOML file or flags can fill."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from drcnet_cli.errors import UsageError
from drcnet_cli.files.mirror import folder_of
from drcnet_cli.networks import DEFAULT_NETWORK, NETWORKS
from drcnet_cli.tasks import TASKS
from drcnet_cli.train.schedule import Every, parse_phases

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

DATASET_TASKS = {name: task.name for task in TASKS.values() for name in task.training_sets}
DEFAULT_WIDTH, DEFAULT_DEPTH = 16, 4  # where neither a setting nor --init decides


T = TypeVar("T")


def _setting(group: str, default: T, text: str) -> T:
    """Declare a field with the help text of its flag; typed as its value for type checkers."""
    return cast(T, field(default=default, metadata={"group": group, "help": text}))


_data = partial(_setting, "Data")
_network = partial(_setting, "Network")
_loss = partial(_setting, "Loss")
_optimizer = partial(_setting, "Optimiser")
_budget = partial(_setting, "Budget")
_machine = partial(_setting, "Machine")
_result = partial(_setting, "Results")


@dataclass(frozen=True)
class TrainConfig:
    """A training run: each field is a flag of `drcnet train` and a key of its TOML file."""

    task: str = _data("", f"{', '.join(TASKS)}; or a data set: {', '.join(DATASET_TASKS)}.")
    data_root: str = _data("", "Folder with the data set that --task names, in its own layout.")
    lq: str = _data("", "Folder of degraded pictures of your own; --gt has the clean ones.")
    gt: str = _data("", "Folder of clean pictures, matched with --lq's by name.")
    masks: str = _data("", "Folder of --lq's masks, white where damaged, matched by name.")
    clean: tuple[str, ...] = _data((), "Clean photographs, degraded on the fly; repeatable.")
    degrade: str = _data(
        "", "Kind of degradation, or several in turn: noise,rain; default: the task's."
    )
    vary: bool = _data(True, "Shrink some of --clean's crops, and mute the colours of some.")
    unusual: float = _data(
        0.15, "Share of --clean's crops made flat, drawn, gray, dark, or left as they are."
    )
    streaks: str = _data("", "Folder of rendered rain layers (light on black) to draw from, too.")
    holdout: float = _data(0.04, "Share of the pictures, chosen by name, to validate on.")
    val_count: int = _data(24, "Pictures to validate on, at most.")
    val_side: int = _data(256, "Largest side of the middle part that is validated on, in pixels.")
    cache_mb: int = _data(4096, "Memory of each training process for decoded pictures, in MiB.")
    crops: int = _data(1, "Crops in a row from one picture: raise it if the cache is too small.")
    workers: int = _data(-1, "Processes that read and degrade; -1: by the number of cores.")

    network: str = _network(DEFAULT_NETWORK, f"Which network: {', '.join(NETWORKS)}.")
    width: int = _network(
        0, "Channels of the first level: 16 drcnet-s (the default), 32 -m, 64 drcnet; grows --init."
    )
    depth: int = _network(0, "Levels of resolution; default: 4.")
    threshold: float = _network(0.75, "Where the response map is split.")
    delta: float = _network(1e-6, "Regularises the energy attention.")
    feature_limit: float = _network(
        64.0, "Largest feature at full resolution, 4 times as much at each level below; 0: none."
    )
    set: tuple[str, ...] = _network(
        (), "KEY=VALUE: what only some networks have, as filter_levels=[0,1]; repeatable."
    )
    init: str = _network(
        "", "Checkpoint to start from, a name or file; decides the network, but for --width, --set."
    )

    loss: str = _loss("l1", "Loss of both stages' images: l1, charbonnier or psnr.")
    stage1_weight: float = _loss(1.0, "Weight of the first stage's image.")
    contrastive: str = _loss("none", "Contrastive regularisation: none, intra, extra, released.")
    alpha: float = _loss(-1.0, "Weight of the contrastive regularisation; -1: the published one.")
    negatives: int = _loss(10, "Negatives of each image, for intra and extra.")
    knots: int = _loss(0, "Approximate intra's negatives by so many, which is faster; 0: all.")
    encoder_first: float = _loss(
        0.067, "Share of the budget in which AirNet's encoder learns alone."
    )
    localise_first: float = _loss(
        0.25, "Share of the budget in which SPAIR learns to find the damage, before it is frozen."
    )
    damage_threshold: float = _loss(
        0.1, "Difference of 0..1 from the clean picture that is damage to find, without masks."
    )
    queue: int = _loss(1280, "Pictures before that AirNet's contrast compares with.")
    vgg: str = _loss("", "File with VGG19's weights; default: torchvision's, downloaded.")

    optimizer: str = _optimizer("adam", "adam, adamw or muon, which wants --lr 4e-3.")
    lr: float = _optimizer(1e-3, "Learning rate after the warm-up.")
    lr_min: float = _optimizer(1e-6, "Learning rate at the end of the cosine.")
    warmup: float = _optimizer(0.02, "Share of the budget in which the rate rises.")
    betas: tuple[float, ...] = _optimizer((0.9, 0.99), "Adam's two decay rates: 0.9,0.99.")
    weight_decay: float = _optimizer(0.0, "Weight decay.")
    clip: float = _optimizer(1.0, "Largest norm of the gradient; 0: no limit.")
    ema: float = _optimizer(0.999, "Decay of the averaged weights, which are what is exported.")

    steps: int = _budget(0, "Steps to train; or give --minutes.")
    minutes: float = _budget(0.0, "Minutes to train: the schedule fits itself to the time.")
    patches: str = _budget(
        "64x2@500,64x16:0.5,128x8:0.3,192x4:0.2",
        "Phases, as PATCHxBATCH:SHARE,...; PATCHxBATCH@STEP before them: up to a step.",
    )
    accumulate: int = _budget(1, "Batches of each process in one step.")

    device: str = _machine("auto", "auto, cpu, cuda, cuda:N or mps.")
    dtype: str = _machine("auto", "auto, float32, bfloat16 or float16.")
    channels_last: bool = _machine(True, "Keep channels last in memory, which is faster.")
    compile: bool = _machine(False, "Compile the network for each phase (torch.compile).")
    seed: int = _machine(0, "Seed of the weights, the crops and the degradations.")

    out: str = _result("", "Folder or address for the results; default: runs/TASK.")
    resume: str = _result("auto", "auto: go on with the run in --out; never; or a state file.")
    save_every: str = _result("5m", "How often to save the state: steps, or minutes as 5m.")
    validate_every: str = _result("10m", "How often to validate: steps, or minutes as 10m.")
    log_every: int = _result(50, "Steps between two lines of the log.")
    tensorboard: bool = _result(False, "Log for TensorBoard as well.")
    name: str = _result("", "Name of the resulting checkpoint; default: the folder's.")
    licence: str = _result("", "Licence to state in the resulting checkpoint.")

    def __post_init__(self) -> None:
        """Check all that needs no file; raises UsageError."""
        for name, (fine, range_text) in _ranges(self).items():
            if not fine:
                raise UsageError(
                    f"--{name.replace('_', '-')} cannot be {getattr(self, name)!r}: {range_text}.",
                    "See `drcnet train --help`.",
                )
        phases = parse_phases(self.patches)
        if self.contrastive == "extra" and any(phase.batch < 2 for phase in phases):
            raise UsageError(
                "--contrastive extra takes the other images of a batch as negatives, but --patches "
                f"{self.patches} has batches of one.",
                "Use batches of 2 or more, or --contrastive intra",
            )
        Every.parse(self.save_every)
        Every.parse(self.validate_every)

    @property
    def kind(self) -> str:
        """The task proper, which a data set's name stands for."""
        return DATASET_TASKS.get(self.task, self.task)

    @property
    def folder(self) -> Path:
        """Where the results go; those for an address are sent there from here."""
        return folder_of(self.place)

    @property
    def place(self) -> str:
        """The folder or address of the results."""
        return self.out or f"runs/{self.task}"

    @classmethod
    def from_mapping(
        cls, values: Mapping[str, Any], base: "TrainConfig | None" = None, source: str = ""
    ) -> "TrainConfig":
        """Fill in `base` from TOML's or the flags' values; raises UsageError naming the field."""
        types = {field.name: type(field.default) for field in fields(cls)}
        where = f" in {source}" if source else ""
        checked = {}
        for name, value in values.items():
            if name not in types:
                raise UsageError(
                    f"Unknown setting {name!r}{where}.",
                    "`drcnet train --print-config` lists them all.",
                )
            checked[name] = _coerce(name, value, types[name], where)
        return replace(base or cls(), **checked)

    def to_toml(self) -> str:
        """Return the TOML text that makes the same configuration."""
        lines, group = [], ""
        for setting in fields(self):
            if group != (group := setting.metadata["group"]):
                lines.append(f"\n# {group}" if lines else f"# {group}")
            value = _toml(getattr(self, setting.name))
            lines.append(f"{setting.name} = {value}  # {setting.metadata['help']}")
        return "\n".join(lines) + "\n"


# The settings of the paper's section 4.1.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "width": 64,
        "depth": 4,
        "patches": "256x32",
        "lr": 2e-4,
        "lr_min": 1e-7,
        "warmup": 0.0,
        "betas": (0.9, 0.999),
        "steps": 4_000_000,
        "contrastive": "intra",
        "alpha": 0.025,
        "negatives": 10,
        "clip": 0.0,
    },
}


def read_toml(path: Path) -> dict[str, Any]:
    """Read a configuration file; raises UsageError if it is missing or no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is not TOML ({error}).", "`drcnet train --print-config` writes an example."
        ) from error


def build_config(
    flags: Mapping[str, Any], *, file: Path | None = None, preset: str | None = None
) -> TrainConfig:
    """Return the configuration: defaults, then the preset, then the file, then the flags."""
    config = TrainConfig()
    if preset is not None:
        if preset not in PRESETS:
            raise UsageError(f"Unknown preset {preset!r}.", f"Presets: {', '.join(PRESETS)}")
        config = TrainConfig.from_mapping(PRESETS[preset], config)
    if file is not None:
        config = _changed(config, read_toml(file), str(file))
    given = {name: value for name, value in flags.items() if value is not None}
    return _changed(config, given)


def _changed(config: TrainConfig, values: Mapping[str, Any], *source: str) -> TrainConfig:
    # A budget in one unit takes the place of one in the other from further back.
    if "steps" in values or "minutes" in values:
        config = replace(config, steps=0, minutes=0.0)
    return TrainConfig.from_mapping(values, config, *source)


_SEEDS = 2**32  # of torch's and NumPy's generators


def _ranges(config: TrainConfig) -> dict[str, tuple[bool, str]]:
    """Tell for each bounded setting whether it is in range, and the range."""
    one_of: dict[str, tuple[str, ...]] = {
        "network": tuple(NETWORKS),
        "task": ("", *TASKS, *DATASET_TASKS),
        "loss": ("l1", "charbonnier", "psnr"),
        "contrastive": ("none", "intra", "extra", "released"),
        "optimizer": ("adam", "adamw", "muon"),
        "dtype": ("auto", "float32", "bfloat16", "float16"),
    }
    checks = {
        name: (getattr(config, name) in allowed, f"give one of {', '.join(filter(None, allowed))}")
        for name, allowed in one_of.items()
    }
    at_least = {
        **dict.fromkeys(("val_count", "crops", "accumulate", "log_every", "negatives", "queue"), 1),
        **dict.fromkeys(("cache_mb", "steps", "minutes", "weight_decay", "clip", "knots"), 0),
        **dict.fromkeys(("width", "depth", "feature_limit"), 0),
        **dict.fromkeys(("seed", "stage1_weight", "lr_min"), 0),
        "workers": -1,
        "alpha": -1,
        "val_side": 16,
    }
    for name, lowest in at_least.items():
        value = getattr(config, name)
        checks[name] = (lowest <= value < math.inf, f"it must be {lowest} or more")
    for name in ("holdout", "unusual", "warmup", "ema", "encoder_first", "localise_first"):
        checks[name] = (0 <= getattr(config, name) < 1, "it must be at least 0 and below 1")
    if config.seed >= _SEEDS:
        checks["seed"] = (False, f"it must be below {_SEEDS}")
    checks["damage_threshold"] = (0 < config.damage_threshold <= 1, "it must be in 0..1, not 0")
    checks["lr"] = (config.lr_min <= config.lr < math.inf, "it must be lr_min or more")
    betas_fine = len(config.betas) == 2 and all(0 <= beta < 1 for beta in config.betas)
    checks["betas"] = (betas_fine, "give two numbers, at least 0 and below 1")
    return checks


def _coerce(name: str, value: Any, wanted: type, where: str) -> Any:  # noqa: ANN401 - from TOML
    if wanted is float and type(value) is int:
        return float(value)
    if name == "betas" and isinstance(value, str):
        value = _numbers(value)
    if wanted is tuple and isinstance(value, str):
        value = (value,)
    if wanted is tuple and isinstance(value, list | tuple):
        inner = float if name == "betas" else str
        return tuple(_coerce(name, item, inner, where) for item in value)
    if wanted is str and isinstance(value, Path):
        return str(value)
    if type(value) is not wanted:
        raise UsageError(f"The setting {name!r}{where} cannot be {value!r}.")
    return value


def _numbers(text: str) -> tuple[float, ...]:
    """Read `0.9,0.99`; raises UsageError."""
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError as error:
        raise UsageError(f"{text!r} is not a list of numbers.", "Such as 0.9,0.99") from error


def _toml(value: Any) -> str:  # noqa: ANN401 - any field's value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        # TOML's basic strings know all of JSON's escapes.
        return json.dumps(value, ensure_ascii=False)
    # repr gives 1e-06, which TOML reads as a float, and 1e+16, too.
    return repr(value)
