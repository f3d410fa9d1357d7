"""Pages that show files: `drcnet restore --report`, and what all such pages share.

Pictures are read one by one when their turn comes, so that a page's need not be in memory together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from drcnet_cli.errors import DrcnetError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio.folder import Pixels, read_for_display, read_rgb8
from drcnet_cli.imageio.transparency import Colour
from drcnet_cli.report.blocks import Block, Comparison, Facts, Table

PICTURES_SHOWN = 12
_RED, _OVERLAY = (226, 48, 40), 0.65  # of damage, and how much of it hides the picture

Item = TypeVar("Item")


def choose_evenly(items: Sequence[Item], count: int) -> list[Item]:
    """Take `count` items, the first and the last among them, the others evenly between."""
    if count >= len(items):
        return list(items)
    if count < 2:
        return list(items[:count])
    return [items[round(place * (len(items) - 1) / (count - 1))] for place in range(count)]


@dataclass(frozen=True)
class Scene:
    """Files that show the same, to be laid under a slider: before, after, maybe the target.

    `mask` tells where the damage is: it is laid over the first. `number`: which of the first
    file's pictures it is; of the others it is the first. Transparency is laid on `background`, and
    left out where that is None.
    """

    title: str
    files: tuple[Place, ...]
    labels: tuple[str, ...]
    caption: str = ""
    scores: Mapping[str, str] = field(default_factory=dict)
    mask: Path | None = None
    number: int = 1
    background: Colour | None = None


def read_scenes(scenes: Iterable[Scene], unread: list[tuple[Scene, str]]) -> Iterator[Comparison]:
    """Read each scene's pictures as they are to be seen; those that cannot be join `unread`."""
    for scene in scenes:
        try:
            ground = scene.background
            first = read_for_display(scene.files[0], ground, scene.number)
            second, *target = (read_for_display(path, ground) for path in scene.files[1:])
            damage = None if scene.mask is None else overlaid(first, read_rgb8(scene.mask))
            yield Comparison(
                scene.title,
                scene.caption,
                first,
                second,
                target[0] if target else None,
                scene.labels,
                scene.scores,
                damage,
            )
        except (DrcnetError, ValueError) as error:  # removed or replaced in the meantime
            unread.append((scene, str(error)))
        except MemoryError:
            unread.append((scene, f"{scene.title} is too large for this machine's memory."))


def overlaid(picture: Pixels, mask: Pixels) -> Pixels:
    """Lay a mask over a picture, both H x W x 3: gray, and red where the mask is white.

    Raises ValueError for two sizes.
    """
    if mask.shape != picture.shape:
        raise ValueError(f"A mask of {mask.shape[1]} x {mask.shape[0]} pixels fits not the picture")
    gray = picture.mean(2, dtype=np.float32, keepdims=True)
    share = mask.max(2, keepdims=True) * np.float32(_OVERLAY / 255)
    return np.rint(gray + share * (np.array(_RED, np.float32) - gray)).astype(np.uint8)


def page_subtitle(restored: int, finished: int, failed: int) -> str:
    """Count what was done, and say how much of it is shown."""
    parts = [f"{restored} restored"]
    if finished:
        parts.append(f"{finished} already there")
    if failed:
        parts.append(f"{failed} failed, listed below")
    done = restored + finished
    if done > PICTURES_SHOWN:
        parts.append(f"{PICTURES_SHOWN} of the {done}, evenly chosen, are shown")
    return f"{'; '.join(parts)}."


def page_blocks(
    jobs: Sequence[Job],
    failures: Sequence[tuple[str, str]],
    facts: Sequence[tuple[str, str]],
    number: int = 1,
) -> Iterator[Block]:
    """Draw a page's blocks, each picture read back from its files when its turn comes.

    `jobs` have their outputs; `failures` are files, and why. Pictures that cannot be read back are
    listed too. Of a file of several the first is shown, which was the input's `number`.
    """
    scenes = (
        Scene(
            job.destination.name,
            (job.source, job.destination),
            ("Before", "After", "Damage found") if (mask := _mask_of(job)) else ("Before", "After"),
            f"{job.source} \N{RIGHTWARDS ARROW} {job.destination}",
            mask=mask,
            number=number,
        )
        for job in choose_evenly(jobs, PICTURES_SHOWN)
    )
    unread: list[tuple[Scene, str]] = []
    yield from read_scenes(scenes, unread)
    if failures:
        yield Table("Failed", ["File", "Reason"], failures)
    if unread:
        rows = [(str(scene.files[-1]), reason) for scene, reason in unread]
        yield Table("Restored, but not shown", ["File", "Reason"], rows)
    yield Facts("About this run", facts)


def _mask_of(job: Job) -> Path | None:
    """Return the mask that was found, or else the one that was given."""
    return job.mask_out or job.mask
