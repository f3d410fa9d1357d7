"""What is asked of a cluster before work begins; Ray itself is not needed here."""

import socket
from types import SimpleNamespace

import pytest

from drcnet_cli.errors import DeviceError, UsageError
from drcnet_cli.parallel.cluster import Cluster, Share, join


def cluster(*hosts, **resources):
    nodes = [{"Alive": True, "NodeManagerHostname": host} for host in hosts]
    nodes.append({"Alive": False, "NodeManagerHostname": "gone"})
    return Cluster(
        SimpleNamespace(nodes=lambda: nodes, cluster_resources=lambda: resources), "auto"
    )


def test_local_paths_are_for_one_node_that_is_here():
    here = socket.gethostname()
    cluster(here).check_storage(False)
    with pytest.raises(UsageError, match="2 nodes") as error:
        cluster(here, "other").check_storage(False)
    assert "--shared-storage" in error.value.hint
    with pytest.raises(UsageError, match="another machine"):
        cluster("other").check_storage(False)
    cluster(here, "other").check_storage(True)


def test_each_worker_has_an_accelerator_or_a_group_of_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with_gpus, without = cluster("a", CPU=64.0, GPU=3.0), cluster("a", CPU=10.0)
    assert with_gpus.workers(with_gpus.share("auto")) == 3
    assert with_gpus.share("cuda").resources == {"num_cpus": 1, "num_gpus": 1}
    assert with_gpus.share("cpu") == without.share("auto") == Share("cpu", 4)
    assert without.workers(without.share("cpu")) == 2
    assert cluster("a").workers(Share("cpu")) == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert without.share("cpu").cores == 1
    with pytest.raises(DeviceError, match="No node"):
        without.share("cuda")
    with pytest.raises(DeviceError, match="cuda:0,cuda:1"):
        with_gpus.share("cuda:0,cuda:1")


def test_an_address_that_is_none_is_refused():
    with pytest.raises(UsageError, match="auto, local"), join("localhost"):
        pass
