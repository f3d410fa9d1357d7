"""What a network offers: the rest of the package knows none by its class or by its sizes.

A network is a plain `nn.Module` that its configuration builds, with the configuration as `.config`.
Whatever else there is of it is optional, and imported when it is first asked for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from drcnet_cli.errors import CheckpointFormatError
from drcnet_cli.text import shorten

if TYPE_CHECKING:  # the command line asks for names of networks before it can wait for torch
    import torch
    from torch import Tensor, nn

    from drcnet_cli.networks.graph import GraphWriter

ConfigType = TypeVar("ConfigType", bound="NetworkConfig")


@dataclass(frozen=True)
class NetworkConfig(ABC):
    """Everything that decides a network's shape and arithmetic: each network has its own.

    Fields are numbers, switches, words and tuples of whole numbers; `__post_init__` checks their
    ranges and raises CheckpointFormatError, as a configuration mostly comes from a file. Metadata
    `least` of a whole number: the least in the checkpoint manifest, where it is not 1.
    """

    @property
    @abstractmethod
    def multiple(self) -> int:
        """Height and width must be multiples of this; the network pads to it by itself."""

    @property
    @abstractmethod
    def map_channels(self) -> int:
        """Channels of the features at full resolution, which the memory a pixel grows with."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """The sizes, in a few words for people."""

    @classmethod
    def from_dict(cls: type[ConfigType], values: Mapping[str, Any]) -> ConfigType:
        """Build from JSON values; raise CheckpointFormatError for unknown or mistyped fields."""
        known = {field.name: field.type for field in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise CheckpointFormatError(
                f"Unknown field in the network configuration: {shorten(unknown)}.",
                "The file may come from a newer version: pip install --upgrade drcnet",
            )
        for name, value in values.items():
            if not _fits(known[name], value):
                raise CheckpointFormatError(
                    f"Network configuration: {name} cannot be {shorten(value)}."
                )
        return cls(**{n: tuple(v) if isinstance(v, list) else v for n, v in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON: what from_dict takes."""
        values = asdict(self)
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def _fits(kind: Any, value: Any) -> bool:  # noqa: ANN401 - JSON holds anything
    """Tell whether a JSON value may fill a field of this type; bool is no number here."""
    if isinstance(kind, UnionType):
        return any(_fits(each, value) for each in get_args(kind))
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return isinstance(value, list | tuple) and all(_fits(inner, item) for item in value)
    return type(value) in ((int, float) if kind is float else (kind,))


def count_parts(state: Iterable[str], start: str) -> int:
    """Count the parts of a list of modules, `start` + 0, 1, ..., in the names of a state dict."""
    numbers = (
        name.removeprefix(start).partition(".")[0] for name in state if name.startswith(start)
    )
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


@dataclass(frozen=True)
class Architecture:
    """One kind of network; `name` is what checkpoints and `--network` call it, `title` its paper.

    `load_type` imports its class, which is built from a `config_type`. With `finds_damage` the
    network tells where damage is, and may be told: `network(x, mask, return_mask=True)` returns the
    picture and N x 1 x H x W in [0, 1], its own where `mask` is None. The rest may be None:

    * `begin_training(network)` changes fresh weights to those that training starts from;
    * `grow(network, width, seed)` makes a wider network that computes the same; raises UsageError
      where there is none;
    * `reshape(network, config)` makes a network of another configuration that begins with what this
      one learned; raises UsageError where it cannot;
    * `fast_cpu(network, dtype)` makes what computes as the network does, N x 3 x H x W float32 to
      the same, quicker on a CPU: for inference, with the weights that the network has now;
    * `write_onnx(writer, network, source, result)` adds its nodes from value `source` to `result`;
    * `decision_margins(network)` collects, while its block runs, how near the network came to
      deciding otherwise: there another program's rounding may change a result;
    * `summarise(network, pictures)` turns N x 3 x H x W into the N x C numbers by which the network
      tells what is wrong with each (see `prototypes`);
    * `summary_modules(network)` lists the parts that serve `summarise` alone: whatever becomes of
      them, the network restores as before;
    * `read_sizes(state)` reads what the names and shapes of a state dict of this network's tell of
      its configuration, as fields of it; raises KeyError for another network's;
    * `recognise(state)` tells whether a state dict is of released code of this network;
    * `convert(state, **options)` makes configuration and state dict of released code's state dict;
      options are what that does not hold. Raises CheckpointFormatError for another network's.
    """

    name: str
    title: str
    config_type: type[NetworkConfig]
    load_type: "Callable[[], type[nn.Module]]"
    finds_damage: bool = False
    begin_training: "Callable[[Any], None] | None" = None
    grow: "Callable[[Any, int, int], nn.Module] | None" = None
    reshape: "Callable[[Any, Any], nn.Module] | None" = None
    fast_cpu: "Callable[[Any, torch.dtype], Callable[[Tensor], Tensor]] | None" = None
    write_onnx: "Callable[[GraphWriter, Any, str, str], None] | None" = None
    decision_margins: "Callable[[Any], AbstractContextManager[list[float]]] | None" = None
    summarise: "Callable[[Any, Tensor], Tensor] | None" = None
    summary_modules: "Callable[[Any], list[nn.Module]] | None" = None
    read_sizes: "Callable[[Mapping[str, Tensor]], dict[str, Any]] | None" = None
    recognise: "Callable[[Mapping[str, Tensor]], bool] | None" = None
    convert: "Callable[..., tuple[NetworkConfig, dict[str, Tensor]]] | None" = None

    def build(self, config: NetworkConfig) -> "nn.Module":
        """Build a network with random weights; on torch's meta device without memory for any."""
        return self.load_type()(config)

    def is_own(self, network: "nn.Module") -> bool:
        """Tell whether a network is of this kind, so that its other forms may stand in for it."""
        return isinstance(network, self.load_type())
