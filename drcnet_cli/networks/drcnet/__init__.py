"""DRCNet (ECCV 2022): its network, other forms of it, and its released checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from drcnet_cli.errors import CheckpointFormatError, UsageError
from drcnet_cli.networks.architecture import Architecture, NetworkConfig, count_parts
from drcnet_cli.text import shorten

if TYPE_CHECKING:
    from torch import Tensor

MAX_WIDTH = 512
MAX_DEPTH = 6
LIMIT_GROWTH = 4  # features of pictures grow about fivefold from a level to the one below
MOST_LIMIT = 10**6
# What an encoder's level is made of: the paper's module, or what its tables put in its place.
DFR = "dfr"
BLOCKS = (DFR, "res", "sact", "condconv", "ddf")


@dataclass(frozen=True)
class DRCNetConfig(NetworkConfig):
    """Everything that decides the network's shape and arithmetic; defaults are the paper's.

    `width`: channels of the first level, doubled at each of `depth` levels. `threshold` splits the
    response map, `delta` regularises SimAM. `filter_levels` lists the levels (0 is full
    resolution) whose spatial branch has the adaptive normalisation; None means all. The last
    three switch the branches of section 3.2 off for ablations: the filter branches that are left
    are multiplied, the identity is added. `feature_limit`, not the paper's, is how large a feature
    may be: at the first level, and four times as much at each below; or for each level its own.

    `block`, one of BLOCKS, is what the encoders are made of: `res` is table 5's base, the decoders'
    ResBlock; the last three are table 4's dynamic filters. With any but `dfr`, what is said of the
    spatial filter and the attention has no use.
    """

    width: int = field(default=64, metadata={"least": 2})
    depth: int = 4
    threshold: float = 0.75
    delta: float = 1e-6
    filter_levels: tuple[int, ...] | None = None
    spatial_filter: bool = True
    energy_attention: bool = True
    identity_branch: bool = True
    feature_limit: float | tuple[int, ...] | None = field(default=None, metadata={"least": 1})
    block: str = DFR

    def __post_init__(self) -> None:
        """Check the ranges; raise CheckpointFormatError, as a config mostly comes from a file."""
        # Out of range, the depth ends here: as many levels would have to be listed.
        depth = self.depth if 1 <= self.depth <= MAX_DEPTH else 0
        levels = range(depth) if self.filter_levels is None else self.filter_levels
        object.__setattr__(self, "filter_levels", tuple(sorted(set(levels))))
        problems = {
            f"width {shorten(self.width)} is not an even number in 2..{MAX_WIDTH}": self.width % 2
            or not 2 <= self.width <= MAX_WIDTH,
            f"depth {shorten(self.depth)} is not in 1..{MAX_DEPTH}": not depth,
            f"threshold {shorten(self.threshold)} is not in 0..1": not 0 <= self.threshold <= 1,
            # Only float32 and larger numbers take part in the arithmetic.
            f"delta {shorten(self.delta)} is not in 1e-38..1e38": not 1e-38 <= self.delta <= 1e38,
            f"filter_levels {shorten(self.filter_levels)} names a level outside "
            f"0..{depth - 1}": any(not 0 <= level < depth for level in self.filter_levels or ()),
            f"feature_limit {shorten(self.feature_limit)} is neither a number in 1..{MOST_LIMIT} "
            f"nor {depth} of them": self.feature_limit is not None
            and not _are_limits(self.feature_limit, depth),
            "spatial_filter, energy_attention and identity_branch are all off": not (
                self.spatial_filter or self.energy_attention or self.identity_branch
            ),
            f"block {shorten(self.block)} is not one of {', '.join(BLOCKS)}": self.block
            not in BLOCKS,
        }
        for problem, present in problems.items():
            if present:
                raise CheckpointFormatError(f"Impossible network configuration: {problem}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON: what from_dict takes."""
        values = super().to_dict()
        # What versions that know of neither can read, too.
        if self.feature_limit is None:
            del values["feature_limit"]
        if self.block == DFR:
            del values["block"]
        return values

    def limit_at(self, level: int) -> float | None:
        """Return how large the features of a level may be, if that is limited."""
        if isinstance(self.feature_limit, tuple):
            return float(self.feature_limit[level])
        return None if self.feature_limit is None else self.feature_limit * LIMIT_GROWTH**level

    @property
    def multiple(self) -> int:
        """Height and width must be multiples of this; `DRCNet.forward` pads to it."""
        return 2 ** (self.depth - 1)

    @property
    def map_channels(self) -> int:
        """Channels of the first level."""
        return self.width

    @property
    def summary(self) -> str:
        """Width and depth, and the block where it is not DRCNet's own."""
        other = "" if self.block == DFR else f", block {self.block}"
        return f"width {self.width}, depth {self.depth}{other}"

    def refuse_other_blocks(self, what: str, hint: str) -> None:
        """Raise UsageError for encoders of another block: `what` is there for DFR alone."""
        if self.block != DFR:
            raise UsageError(f"A DRCNet whose block is {self.block} {what}.", hint)


def _are_limits(value: float | tuple[int, ...], depth: int) -> bool:
    values = value if isinstance(value, tuple) else (value,) * depth
    return len(values) == depth and all(1 <= limit <= MOST_LIMIT for limit in values)


def _of(module: str) -> Any:  # noqa: ANN401 - a module's attributes may be anything
    """Import a module of this folder when something of it is needed: they load torch, or onnx."""
    return import_module(f"{__name__}.{module}")


def _read_sizes(state: "Mapping[str, Tensor]") -> dict[str, Any]:
    level = "encoder1.blocks.{}."
    depth = count_parts(state, "encoder1.blocks.")
    return {
        "width": state["shallow1.weight"].shape[0],
        "depth": depth,
        "filter_levels": tuple(
            n for n in range(depth) if level.format(n) + "norm.norm.weight" in state
        ),
        "spatial_filter": level.format(0) + "spatial.weight" in state,
        "energy_attention": level.format(0) + "energy.weight" in state,
        "identity_branch": level.format(0) + "identity.weight" in state,
        "block": DFR,  # the others are for experiments alone
    }


DRCNET = Architecture(
    name="drcnet",
    title="DRCNet",
    config_type=DRCNetConfig,
    load_type=lambda: _of("network").DRCNet,
    begin_training=lambda network: network.begin_at_input(),
    grow=lambda network, width, seed: _of("grow").grow(network, width, seed),
    fast_cpu=lambda network, dtype: _of("cpu").fast_form(network, dtype),
    write_onnx=lambda writer, *network: _of("onnx").DRCNetGraph(writer).network(*network),
    decision_margins=lambda network: _of("blocks").response_distances(network),
    read_sizes=_read_sizes,
    convert=lambda state, **options: _of("released").convert_state(state, **options),
)
