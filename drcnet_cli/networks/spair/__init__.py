"""SPAIR (ICCV 2021): a network that finds the damage, and one that mends there alone.

No code was released: whatever the paper leaves open is ours, and said where it is done.
"""

from typing import TYPE_CHECKING

from drcnet_cli.networks.architecture import Architecture
from drcnet_cli.networks.spair.config import SPAIRConfig

if TYPE_CHECKING:
    from drcnet_cli.networks.spair.network import SPAIR


def _load_type() -> "type[SPAIR]":
    from drcnet_cli.networks.spair.network import SPAIR

    return SPAIR


SPAIR_ARCHITECTURE = Architecture(
    name="spair",
    title="SPAIR",
    config_type=SPAIRConfig,
    load_type=_load_type,
    finds_damage=True,
    begin_training=lambda network: network.begin_at_input(),
)
