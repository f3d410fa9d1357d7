"""A Ray cluster of several nodes on this machine, for tests that need one."""

from contextlib import contextmanager

import pytest


@contextmanager
def cluster_of(nodes: int):
    """Start nodes of one core each, the first of them the head, which does no work."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 100 * 2**20}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store}
    )
    try:
        workers = [cluster.add_node(num_cpus=1, **store) for _ in range(nodes)]
        yield cluster, workers
    finally:
        ray.shutdown()
        cluster.shutdown()
