"""Networks, and the checkpoints that hold them.

`NETWORKS` is all the registry there is: a network is a file or folder here, and a line of it.
"""

from drcnet_cli.networks.airnet import AIRNET
from drcnet_cli.networks.architecture import Architecture, NetworkConfig
from drcnet_cli.networks.drcnet import DRCNET
from drcnet_cli.networks.fdrnet import FDRNET
from drcnet_cli.networks.spair import SPAIR_ARCHITECTURE

__all__ = ["DEFAULT_NETWORK", "NETWORKS", "Architecture", "NetworkConfig"]

DEFAULT_NETWORK = DRCNET.name  # also of checkpoints and training states that name none

NETWORKS: dict[str, Architecture] = {
    network.name: network for network in (DRCNET, AIRNET, SPAIR_ARCHITECTURE, FDRNET)
}
