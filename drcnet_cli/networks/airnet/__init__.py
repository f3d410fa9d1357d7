"""AirNet (CVPR 2022): its network, deformable sampling in plain torch, its released checkpoints."""

from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any

from drcnet_cli.errors import UsageError
from drcnet_cli.networks.airnet.config import AirNetConfig
from drcnet_cli.networks.architecture import Architecture, count_parts

if TYPE_CHECKING:
    from torch import Tensor

    from drcnet_cli.networks.airnet.network import AirNet
    from drcnet_cli.networks.graph import GraphWriter


def _load_type() -> "type[AirNet]":
    from drcnet_cli.networks.airnet.network import AirNet

    return AirNet


def _recognise(state: "Mapping[str, Tensor]") -> bool:
    from drcnet_cli.networks.airnet.released import is_released_airnet

    return is_released_airnet(state)


def _convert(
    state: "Mapping[str, Tensor]",
    **options: Any,  # noqa: ANN401 - another network's
) -> "tuple[AirNetConfig, dict[str, Tensor]]":
    from drcnet_cli.networks.airnet.released import convert_state

    if options:
        names = " or ".join(f"--{name.replace('_', '-')}" for name in options)
        raise UsageError(f"AirNet has no {names}.", "Its state dict says all: leave them out")
    return convert_state(state)


def _write_onnx(writer: "GraphWriter", network: "AirNet", source: str, result: str) -> None:
    from drcnet_cli.networks.airnet.onnx import AirNetGraph

    AirNetGraph(writer).network(network, source, result)


def _read_sizes(state: "Mapping[str, Tensor]") -> dict[str, Any]:
    features, channels = state["restorer.shallow.weight"].shape[:2]
    first = "restorer.groups.0.blocks."
    blocks = ("first", "second", "third")
    return {
        "features": features,
        "groups": count_parts(state, "restorer.groups."),
        "blocks": count_parts(state, first),
        "encoder_widths": tuple(state[f"encoder.{name}.conv1.weight"].shape[0] for name in blocks),
        "deformable": first + "0.module1.deform.weight" in state,
        "modulation": first + "0.module1.modulate.gamma1.weight" in state,
        "shrink": isqrt(channels // 3),
    }


AIRNET = Architecture(
    name="airnet",
    title="AirNet",
    config_type=AirNetConfig,
    load_type=_load_type,
    begin_training=lambda network: network.begin_at_input(),
    summarise=lambda network, pictures: network.summarise(pictures),
    summary_modules=lambda network: network.encoder.summary_modules(),
    write_onnx=_write_onnx,
    read_sizes=_read_sizes,
    recognise=_recognise,
    convert=_convert,
)
