"""A Ray cluster: joined, or started on this machine for one run, asked what it has, and left.

Ray's own variables (RAY_ADDRESS, RAY_AUTH_MODE=token) mean what its documentation says.
"""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from drcnet_cli import settings
from drcnet_cli.errors import DeviceError, DrcnetError, UsageError, import_extra

LOCAL, AUTO, CLIENT = "local", "auto", "ray://"

_STORE = 256 * 2**20  # bytes for objects where Ray serves one run: names and weights alone


def import_ray(module: str) -> Any:  # noqa: ANN401 - type checkers need not have it
    """Import one of Ray's modules; raise UsageError where its extra isn't installed."""
    return import_extra(module, "ray", "--ray needs Ray.")


@dataclass(frozen=True)
class ClusterOptions:
    """Which cluster is to work, and whether its nodes and this machine see the same files."""

    address: str
    shared_storage: bool = False


@dataclass(frozen=True)
class Share:
    """What each worker gets: a device (`cpu` or `cuda`) and cores."""

    device: str
    cores: int = 1

    @property
    def resources(self) -> dict[str, int]:
        """The share in Ray's words."""
        return {"num_cpus": self.cores, "num_gpus": int(self.device == "cuda")}


@dataclass(frozen=True)
class Cluster:
    """The cluster that this process drives; `ray` is the package, `address` as it was asked for."""

    ray: Any
    address: str

    def nodes(self) -> list[str]:
        """Return the host of each living node."""
        return [node["NodeManagerHostname"] for node in self.ray.nodes() if node["Alive"]]

    def check_storage(self, shared: bool) -> None:
        """Raise UsageError if local paths may mean other files elsewhere and nobody denied it."""
        hosts = self.nodes()
        if shared or (len(hosts) == 1 and hosts == [socket.gethostname()]):
            return
        raise UsageError(
            f"The cluster has {len(hosts)} nodes, and local paths may name other files on each."
            if len(hosts) > 1
            else "The cluster is another machine, where local paths may name other files.",
            "Add --shared-storage if inputs and outputs are under the same paths everywhere",
        )

    def share(self, device: str) -> Share:
        """Choose what a worker gets: one accelerator if there are any, else a group of cores.

        Raises DeviceError for a device that no node has, or that is not the worker's own to choose.
        """
        gpus = int(self.ray.cluster_resources().get("GPU", 0))
        if device not in ("auto", "cpu", "cuda"):
            raise DeviceError(
                f"On a cluster each worker gets a device of its own, not {device}.",
                "Use --device auto, cpu or cuda",
            )
        if device == "cuda" and not gpus:
            raise DeviceError("No node of the cluster has a GPU.", "Use --device cpu")
        if device == "cuda" or (device == "auto" and gpus):
            return Share("cuda")
        return Share("cpu", settings.given_threads() or 1)

    def workers(self, share: Share) -> int:
        """Return how many workers the cluster has room for now, at least one."""
        has = self.ray.cluster_resources()
        if share.device == "cuda":
            return max(1, int(has.get("GPU", 0)))
        return max(1, int(has.get("CPU", 0)) // share.cores)

    def describe(self, share: Share) -> str:
        """Say how many nodes and workers there are."""
        each = "a GPU" if share.device == "cuda" else f"{share.cores} of the cores"
        workers = self.workers(share)
        return f"Ray: nodes: {len(self.nodes())}; workers: {workers}, each with {each}"

    def call(self, function: Callable[..., Any], *given: object, **resources: object) -> Any:  # noqa: ANN401
        """Run a function on the cluster, and return what it returns or raise what it raises."""
        return self.get(self.ray.remote(**resources)(function).remote(*given))

    def get(self, reference: object) -> Any:  # noqa: ANN401 - whatever it refers to
        """Wait for a result; an error of this package's is raised as it was there."""
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, DrcnetError):
                raise error.cause from None
            raise
        except self.ray.exceptions.RayError as error:
            reason = str(error).strip().partition("\n")[0]
            raise DrcnetError(
                f"The cluster gave up: {reason}",
                "The same command goes on from here",
            ) from error

    def nearby(self, kind: type, **options: object) -> Any:  # noqa: ANN401 - an actor's handle
        """Start an actor beside this process, or on the node that serves it."""
        here = self.ray.get_runtime_context().get_node_id()
        strategies = import_ray("ray.util.scheduling_strategies")
        strategy = strategies.NodeAffinitySchedulingStrategy(here, soft=False)
        return self.ray.remote(scheduling_strategy=strategy, **options)(kind).remote()


def usual_address() -> str:
    """Return the address of the cluster that the environment names, else this machine's."""
    named = settings.ray_address()
    return LOCAL if named is None else named if named.startswith(CLIENT) else AUTO


@contextmanager
def join(address: str) -> Iterator[Cluster]:
    """Drive a cluster for the block: `local` starts one here, `auto` and `ray://HOST` join one.

    Nothing is told to Ray's makers, no dashboard starts, and its logs stay in its own files. Raises
    UsageError if Ray isn't installed or there is no such cluster.
    """
    if address not in (LOCAL, AUTO) and not address.startswith(CLIENT):
        raise UsageError(f"--ray cannot be {address!r}.", "Use --ray auto, local or ray://HOST")
    settings.prepare_ray()
    ray = import_ray("ray")
    own = {"include_dashboard": False, "object_store_memory": _STORE} if address == LOCAL else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"No Ray cluster answers at {address} ({str(error).strip().partition(chr(10))[0]}).",
            "Start one with `ray start --head`, or use --ray local; one with tokens needs "
            "RAY_AUTH_MODE=token",
        ) from error
    # Ray prints news of lost nodes on standard output, which is for data, and has no public switch.
    import_ray("ray._private.worker")._worker_logs_enabled = False
    try:
        yield Cluster(ray, address)
    finally:
        ray.shutdown()
