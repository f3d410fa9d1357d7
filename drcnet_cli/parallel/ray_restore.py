"""Restoring on a Ray cluster: bundles of jobs go out, outcomes come in, the workers write."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.files.packed import Packed
from drcnet_cli.files.plan import Job
from drcnet_cli.parallel.bundles import make_bundles, restore_bundle, unpack
from drcnet_cli.parallel.cluster import Cluster, ClusterOptions, import_ray, join
from drcnet_cli.parallel.hand_out import ROUNDS, HandOut, Setup, make_setup
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.restore.outcome import Outcome, RunObserver, WriteOptions
from drcnet_cli.restore.pipeline import SAMPLES, settle_dtype
from drcnet_cli.restore.restorer import RestorerFacts

WINDOW = 2**15  # bundles that Ray Data has at once: what its bookkeeping takes is bounded by it


class RestoreWorker:
    """A worker, as Ray Data calls it: it loads its network once."""

    def __init__(self, setup: Setup) -> None:
        self._notes: list[str] = []
        self._options: WriteOptions = setup.more
        self._restorer = setup.open(self._notes)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Restore a batch's bundles, and tell what became of each job."""
        news: list[bytes] = []
        succeeds = import_ray("ray").get_runtime_context().was_current_actor_reconstructed
        for bundle in batch["piece"]:
            news += restore_bundle(bundle, self._restorer, self._options, self._notes, succeeds)
        return {"news": news}


def restore_on_cluster(
    jobs: Sequence[Job],
    config: RestoreConfig,
    options: WriteOptions,
    observer: RunObserver,
    cluster: ClusterOptions,
) -> Sequence[Outcome]:
    """Restore every job on a cluster and return its outcome, as `restore_files` does.

    The jobs of workers that are lost go to others. A full disk ends the run. Raises UsageError for
    a cluster that is not there or whose nodes may lack the files, DrcnetError if it is lost.
    """
    if any(job.source == job.destination for job in jobs):
        raise UsageError(
            "--in-place cannot go with --ray: a picture whose worker is lost might be restored "
            "twice.",
            "Give an output folder",
        )
    with join(cluster.address) as joined:
        if any(isinstance(place, Path) for job in jobs for place in (job.source, job.destination)):
            joined.check_storage(cluster.shared_storage)
        return _Run(joined, jobs, make_setup(joined, config, options), observer).run()


class _Run:
    """One run, as the driver sees it."""

    def __init__(
        self, cluster: Cluster, jobs: Sequence[Job], setup: Setup, observer: RunObserver
    ) -> None:
        self._cluster = cluster
        self._jobs = jobs
        self._setup = setup
        self._observer = observer
        self._outcomes = Packed[Outcome]()
        self._heard = bytearray(len(jobs))
        self._noted: set[str] = set()
        self._disk_refused = False

    def run(self) -> Sequence[Outcome]:
        work = HandOut(self._cluster)  # which starts while the network is tried
        self._open()
        device, before = self._setup.share.device, {}
        self._hand_out(work, make_bundles(enumerate(self._jobs), device, before=before))
        for _ in range(1, ROUNDS):
            self._hand_out(work, make_bundles(self._unheard(), again=True, before=before))
        for _, job in self._unheard():
            lost = f"{job.source} was not restored: its workers were lost."
            self._finish(Outcome(job, error=ImageError(lost, "Run the same command again")))
        return self._outcomes

    def _hand_out(self, work: HandOut, bundles: Iterator[bytes]) -> None:
        """Have bundles restored, unless the disk is full, and hear of them."""
        while not self._disk_refused and (window := list(islice(bundles, WINDOW))):
            for news in work.news(window, RestoreWorker, self._setup):
                for each in news:
                    self._hear(each)

    def _unheard(self) -> Iterator[tuple[int, Job]]:
        """Yield the jobs that nobody has told of; none once the disk is full."""
        if not self._disk_refused:
            yield from (pair for pair in enumerate(self._jobs) if not self._heard[pair[0]])

    def _open(self) -> None:
        """Open a restorer once for what people are told and for the number type of all workers."""
        share, sources = self._setup.share, [job.source for job in self._jobs[:SAMPLES]]
        facts: RestorerFacts = self._cluster.call(_try, self._setup, sources, **share.resources)
        self._setup = self._setup.with_dtype(facts.dtype)
        self._observer.facts = facts
        self._observer.opened(facts)
        self._observer.note(self._cluster.describe(share))

    def _hear(self, packed: bytes) -> None:
        """Take note of one outcome, and of what its worker said."""
        told = unpack(packed)
        if not self._heard[told.number]:
            self._heard[told.number] = 1
            self._finish(told.outcome)
        for text in told.notes:
            if text not in self._noted:
                self._noted.add(text)
                self._observer.note(text)

    def _finish(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._disk_refused = self._disk_refused or outcome.disk_refused
        if outcome.megapixels or not outcome.error:  # else it was never computed
            self._observer.progress(outcome.megapixels, 1.0)
        self._observer.finished(outcome)


def _try(setup: Setup, sources: list[Path]) -> RestorerFacts:
    """Open a restorer and settle its number type, on the cluster."""
    restorer = setup.open([])
    if setup.config.dtype == "auto":
        settle_dtype(restorer, sources, setup.more.float_range)
    return restorer.facts()
