"""At what size the design of `drcnet restore --ray` bends: 1 to 1,000 workers, simulated.

    python benchmarks/cluster_simulation.py [--pictures 200000] [--seconds 0.5] [--handing 0.003]

One driver lists the pictures, then hands bundles to workers, one after the other, and takes in what
became of them. Each picture takes a worker `--seconds` on average, log-normally spread; a share of
workers is slower (stragglers); workers fail at random, lose the picture under way, and start again,
their bundle goes back to the queue without the pictures that were finished. All bytes go through
one store of a certain bandwidth. Prints the time, the share of the workers' time that they had to
restore, and what bounds the rate.
"""

import argparse
import heapq
import random
from collections import deque
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Design:
    """What the simulation assumes; seconds, and rates per second.

    `handing` is the driver's time for a bundle, `listing` the names it plans per second, `start` a
    worker's, `mtbf` the mean time between one worker's failures, `store` the bytes per second of
    the storage, of which a picture takes `traffic` in and out.
    """

    workers: int = 1
    pictures: int = 200_000
    seconds: float = 0.5
    spread: float = 0.5
    bundle: int = 1
    handing: float = 1 / 300
    listing: float = 10_000.0
    start: float = 15.0
    mtbf: float = 24 * 3600.0
    stragglers: float = 0.02
    slowness: float = 3.0
    store: float = 10e9
    traffic: float = 10e6
    ahead: int = 2


@dataclass(frozen=True)
class Course:
    """How a run went: its seconds, the share of its workers' time that it had to take, failures.

    `tail`: seconds from the first worker that had nothing left to do to the last.
    """

    took: float
    used: float
    failures: int
    tail: float


def simulate(design: Design, seed: int = 0) -> Course:
    """Run one design through its pictures; the same seed gives the same course."""
    chance = random.Random(seed)
    # A full store makes everyone wait: pictures take as long as their share of it.
    least = design.workers * design.traffic / design.store
    slow = [
        design.slowness if chance.random() < design.stragglers else 1.0
        for _ in range(design.workers)
    ]
    fails = [chance.expovariate(1 / design.mtbf) for _ in range(design.workers)]
    listed = design.pictures / design.listing
    full, rest = divmod(design.pictures, design.bundle)
    queue = deque([design.bundle] * full + ([rest] if rest else []))
    driver = listed  # when it is free again
    # A worker asks when it has less than `ahead` bundles: an event is (time, worker).
    asks = [(listed + design.start, worker) for worker in range(design.workers)] * design.ahead
    heapq.heapify(asks)
    free = [listed + design.start] * design.workers
    failures = 0
    while queue and asks:
        asked, worker = heapq.heappop(asks)
        driver = max(driver, asked) + design.handing
        pictures, done = queue.popleft(), 0
        now = max(driver, free[worker])
        while done < pictures:
            took = max(least, slow[worker] * design.seconds * _spread(chance, design.spread))
            if now + took > listed + fails[worker]:  # what was finished of the bundle is kept
                failures += 1
                queue.append(pictures - done)
                now = max(now, listed + fails[worker]) + design.start
                fails[worker] = now - listed + chance.expovariate(1 / design.mtbf)
                break
            now, done = now + took, done + 1
        free[worker] = now
        heapq.heappush(asks, (now, worker))
    end = max(free)
    used = design.pictures * design.seconds / (design.workers * end)
    return Course(end, used, failures, end - min(free))


def _spread(chance: random.Random, sigma: float) -> float:
    """Draw a factor, log-normal, of mean 1."""
    return chance.lognormvariate(-sigma * sigma / 2, sigma)


def bound(design: Design) -> str:
    """Name what bounds the rate of a design: the workers, its driver, or the store."""
    workers = design.workers / design.seconds
    limits = {
        "workers": workers,
        "driver": design.bundle / design.handing,
        "store": design.store / design.traffic,
    }
    return min(limits, key=lambda name: limits[name])


def main() -> None:
    """Print the course of 1 to 1,000 workers, well and with failures and stragglers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--handing", type=float, default=Design.handing)
    parser.add_argument("--bundle", type=int, default=1)
    parser.add_argument("--mtbf-hours", type=float, default=24.0)
    parser.add_argument("--store", type=float, default=Design.store, help="bytes per second")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    base = Design(
        pictures=args.pictures,
        seconds=args.seconds,
        handing=args.handing,
        bundle=args.bundle,
        store=args.store,
    )
    print("| workers | bound by | hours | efficiency | with losses | failures | tail s |")
    print("|---|---|---|---|---|---|---|")
    for workers in (1, 3, 10, 30, 100, 300, 1000):
        calm = replace(base, workers=workers, stragglers=0.0, mtbf=1e12)
        rough = replace(base, workers=workers, mtbf=args.mtbf_hours * 3600)
        well, worse = simulate(calm, args.seed), simulate(rough, args.seed)
        print(
            f"| {workers:,} | {bound(calm)} | {well.took / 3600:.2f} | {well.used:.2f} "
            f"| {worse.used:.2f} | {worse.failures} | {worse.tail:.0f} |"
        )


if __name__ == "__main__":
    main()
