"""Evaluations on a Ray cluster: pictures by number go out, scores come in."""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from drcnet_cli.datasets.suite import Suite
from drcnet_cli.device import choose_device
from drcnet_cli.evaluation.results import ImageScore, Setting
from drcnet_cli.evaluation.score import load_lpips, score_suite, settle_dtype
from drcnet_cli.evaluation.session import (
    Evaluator,
    Measured,
    Measurement,
    check_task,
    describe_setting,
)
from drcnet_cli.parallel.cluster import Cluster, ClusterOptions, import_ray, join
from drcnet_cli.parallel.hand_out import ROUNDS, HandOut, Setup, make_setup
from drcnet_cli.progress import Progress
from drcnet_cli.restore.config import RestoreConfig
from drcnet_cli.tasks import Protocol
from drcnet_cli.weights.fetch import resolve
from drcnet_cli.weights.store import describe_file

_MOST = 8  # pictures of a piece
_PIECES_OF_WORKER = 8  # so many that none waits long for the last


class Scoring(NamedTuple):
    """What workers score: a suite (in Ray's object store), by a protocol, and whether LPIPS too."""

    suite: Any
    protocol: Protocol
    lpips: bool


class ScoreWorker:
    """A worker, as Ray Data calls it: it loads its network once."""

    def __init__(self, setup: Setup) -> None:
        self._scoring: Scoring = setup.more
        self._suite: Suite = import_ray("ray").get(self._scoring.suite)
        self._restorer = setup.open([])
        device = choose_device(setup.share.device)
        self._lpips = load_lpips(device) if self._scoring.lpips else None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        """Score a batch's pictures: the number of each, and its score or what went wrong."""
        numbers = [number for piece in batch["piece"] for number in pickle.loads(piece)]
        return {"news": [pickle.dumps((number, self._score(number))) for number in numbers]}

    def _score(self, number: int) -> ImageScore | str:
        alone = replace(self._suite, cases=self._suite.cases[number : number + 1])
        protocol = self._scoring.protocol
        scores, failed = score_suite(alone, self._restorer, protocol, lpips=self._lpips)
        return (*scores, *failed)[0]


class ClusterEvaluator(Evaluator):
    """Measures data sets on a cluster, with scores as of one process."""

    def __init__(self, cluster: Cluster, config: RestoreConfig, *, lpips: bool) -> None:
        super().__init__(config)
        self._cluster = cluster
        self._work = HandOut(cluster)
        self._with_lpips = lpips

    def _measure(self, plan: Measurement, progress: Progress) -> Measured:
        cluster, cases = self._cluster, plan.suite.cases
        scoring = Scoring(cluster.ray.put(plan.suite), plan.test_set.protocol, self._with_lpips)
        found = resolve(plan.checkpoint, hub_repo=self.config.hub_repo, offline=self.config.offline)
        setup = make_setup(cluster, replace(self.config, checkpoint=found.path), scoring)
        setting: Setting = cluster.call(_try, setup, plan, **setup.share.resources)
        setting = replace(setting, sha256=describe_file(found.path).sha256)
        setup = setup.with_dtype(setting.dtype)
        size = max(1, min(_MOST, len(cases) // (_PIECES_OF_WORKER * cluster.workers(setup.share))))
        told: dict[int, ImageScore | str] = {}
        for _ in range(ROUNDS):
            missing = [number for number in range(len(cases)) if number not in told]
            pieces = [pickle.dumps(missing[at : at + size]) for at in range(0, len(missing), size)]
            for news in self._work.news(pieces, ScoreWorker, setup) if pieces else ():
                told.update(map(pickle.loads, news))
                progress(len(told), len(cases))
            size = 1  # a picture that ends its workers takes no other with it
        lost = "its workers were lost; run the same command again"
        results = [told.get(number, f"{case.name}: {lost}") for number, case in enumerate(cases)]
        scores = tuple(result for result in results if isinstance(result, ImageScore))
        return scores, tuple(result for result in results if isinstance(result, str)), setting


@contextmanager
def evaluator_on(
    options: ClusterOptions, config: RestoreConfig, *, lpips: bool = False
) -> Iterator[Evaluator]:
    """Make an evaluator on a cluster for the block; raises UsageError as `join` does."""
    with join(options.address) as cluster:
        cluster.check_storage(options.shared_storage)
        yield ClusterEvaluator(cluster, config, lpips=lpips)


def _try(setup: Setup, plan: Measurement) -> Setting:
    """Open a restorer, settle its number type, and tell how all will run, on the cluster."""
    restorer = setup.open([])
    check_task(restorer, plan)
    settle_dtype(plan.suite, restorer, plan.test_set.protocol)
    return describe_setting(restorer, Path(setup.name).stem, "")
