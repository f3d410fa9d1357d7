"""SPAIR (ICCV 2021): a network that finds the damage, and one that mends there alone.

No code was released: whatever the paper leaves open is ours, and said where it is done.
"""

from collections.abc import Mapping
from math import isqrt
from typing import TYPE_CHECKING, Any

from drcnet_cli.networks.architecture import Architecture, count_parts
from drcnet_cli.networks.spair.config import SPAIRConfig

if TYPE_CHECKING:
    from torch import Tensor

    from drcnet_cli.networks.spair.network import SPAIR


def _load_type() -> "type[SPAIR]":
    from drcnet_cli.networks.spair.network import SPAIR

    return SPAIR


def _reshape(network: "SPAIR", config: SPAIRConfig) -> "SPAIR":
    from drcnet_cli.networks.spair.reshape import reshape

    return reshape(network, config)


def _read_sizes(state: "Mapping[str, Tensor]") -> dict[str, Any]:
    def widths(part: str) -> tuple[int, ...]:
        first = state[f"{part}.encoder.stem.weight"].shape[0]
        downs = count_parts(state, f"{part}.encoder.downs.")
        below = (state[f"{part}.encoder.downs.{n}.weight"].shape[0] for n in range(downs))
        return (first, *below)

    pixels = state["localisation.to_mask.weight"].shape[0]
    return {
        "widths": widths("restoration"),
        "localisation_widths": widths("localisation"),
        "modulation": "restoration.modulators.0.bring.weight" in state,
        "sparse_non_local": "restoration.decoder.0.attention.between.weight" in state,
        "non_local": any(name.startswith("restoration.decoder.0.non_local.") for name in state),
        "shrink": isqrt(pixels),
        "multiply": state["restoration.to_image.weight"].shape[0] == 6 * pixels,
    }


SPAIR_ARCHITECTURE = Architecture(
    name="spair",
    title="SPAIR",
    config_type=SPAIRConfig,
    load_type=_load_type,
    finds_damage=True,
    reshape=_reshape,
    begin_training=lambda network: network.begin_at_input(),
    read_sizes=_read_sizes,
)
