"""Pictures that photographs are not, through checkpoints: what is left, tinted, or lost.

    python benchmarks/odd_inputs.py PHOTOS [CHECKPOINT ...] [--clean KODAK24] [--count 1000]

For each checkpoint (names, tasks or files; default: all bundled ones) a row of a Markdown table:
how many tiles of so many odd pictures were left as they were, as the network made no picture of
them; the largest change of a pixel of 125 flat colours by the network alone; the largest
difference between channels that a gray picture gets; how near the pictures of --clean, which need
no restoring, come back.

Odd pictures are 64 to 96 pixels wide and high: those that training draws (`train/unusual.py`), made
out of PHOTOS, and others that it never draws, as noise of pure colours, a lone line, or the same
picture at its largest contrast. Each is restored with the default settings, as `drcnet restore`
does. All are drawn from --seed.
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drcnet_cli.api import load_model
from drcnet_cli.imageio import from_unit, read_picture
from drcnet_cli.imageio.folder import find_pictures, read_rgb8
from drcnet_cli.metrics import psnr
from drcnet_cli.restore.config import LoadedModel
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.train.samples import cut, to_unit_chw
from drcnet_cli.train.unusual import KINDS, unusual_picture
from drcnet_cli.weights.manifest import load_manifest

Pixels = NDArray[np.uint8]

SMALLEST, LARGEST = 64, 96
FLAT_SIDE = 64
LEVELS = (0, 64, 128, 191, 255)  # of each channel of the flat colours
PHOTOGRAPHS = 24  # that crops are cut from, spread over the folder


def colours(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Draw each pixel as one of the eight corners of the colour cube."""
    return (rng.integers(2, size=crop.shape) * 255).astype(np.uint8)


def line(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Draw one row or column of a pixel's width on an even ground."""
    picture = np.full_like(crop, rng.integers(256, size=3))
    lines = picture if rng.integers(2) else picture.transpose(1, 0, 2)
    lines[rng.integers(len(lines))] = rng.integers(256, size=3)
    return picture


def contrast(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Cut each channel in two at a level of its own: black or white."""
    return np.where(crop > rng.integers(256, size=3), 255, 0).astype(np.uint8)


def halves(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """Lay black, or white, over all of the photograph but a corner."""
    picture = np.full_like(crop, 255 * rng.integers(2))
    rows, columns = rng.integers(1, 24, size=2)
    picture[:rows, :columns] = crop[:rows, :columns]
    return picture


OTHERS = {"colours": colours, "line": line, "contrast": contrast, "halves": halves}


def read_photographs(folder: Path) -> list[Pixels]:
    """Read photographs spread over a folder."""
    paths = find_pictures(folder)
    return [read_rgb8(path) for path in paths[:: max(1, len(paths) // PHOTOGRAPHS)][:PHOTOGRAPHS]]


def odd_pictures(photographs: list[Pixels], count: int, seed: int) -> Iterator[tuple[str, Pixels]]:
    """Yield (kind, H x W x 3 uint8): each of the kinds in turn."""
    kinds = itertools.cycle([*KINDS, *OTHERS])
    for number, kind in zip(range(count), kinds, strict=False):
        rng = np.random.default_rng((seed, number))
        height, width = rng.integers(SMALLEST, LARGEST + 1, size=2)
        photograph = photographs[number % len(photographs)]
        crop = cut((photograph,), LARGEST, rng)[0][:height, :width]
        if kind in OTHERS:
            yield kind, OTHERS[kind](crop, rng)
        else:
            odd = unusual_picture(kind, to_unit_chw(crop), rng)
            yield kind, from_unit(odd, like=crop)


def tiles_left(restorer: Restorer, pictures: list[tuple[str, Pixels]]) -> dict[str, int]:
    """Count by kind the tiles of all pictures that stayed as they were."""
    left = dict.fromkeys([kind for kind, _ in pictures], 0)
    for kind, picture in pictures:
        restorer.restore(picture)
        left[kind] += restorer.tiles_left
    return left


def flat_change(restorer: Restorer) -> int:
    """Return the largest change of a channel, in 255ths, over the flat colours."""
    changes = []
    for colour in itertools.product(LEVELS, repeat=3):
        flat = np.full((FLAT_SIDE, FLAT_SIDE, 3), colour, np.uint8)
        changes.append(int(np.abs(restorer.restore(flat).astype(int) - flat).max()))
    return max(changes)


def gray_tint(restorer: Restorer, photographs: list[Pixels]) -> int:
    """Return the largest difference between channels, in 255ths, of gray photographs restored."""
    tints = []
    for photograph in photographs:
        gray = photograph[:LARGEST, :LARGEST].mean(axis=2).round().astype(np.uint8)
        tints.append(int(np.ptp(restorer.restore(np.repeat(gray[..., None], 3, 2)), axis=2).max()))
    return max(tints)


def clean_psnr(restorer: Restorer, folder: Path) -> float:
    """Return the mean RGB PSNR, in dB, of a folder's pictures to what they become."""
    pictures = [read_picture(path).pixels for path in find_pictures(folder)]
    return float(np.mean([psnr(restorer.restore(pixels), pixels) for pixels in pictures]))


def open_checkpoint(name: str, limit: float | None) -> LoadedModel:
    """Load a checkpoint, its features limited otherwise than it says if `limit` is given."""
    model = load_model(name)
    # Of no task, so that a flat surface shows what the network makes of it: restoring keeps it.
    model = replace(model, info=replace(model.info, task=None))
    if limit is None:
        return model
    config = replace(model.info.config, feature_limit=limit or None)  # type: ignore[call-arg]
    network = model.info.architecture.build(config)
    network.load_state_dict(model.network.state_dict())
    return replace(model, network=network.eval(), info=replace(model.info, config=config))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("checkpoints", nargs="*")
    parser.add_argument("--clean", type=Path, help="pictures that need no restoring")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--feature-limit", type=float, help="instead of its own; 0: none")
    args = parser.parse_args()
    names = args.checkpoints or [item.name for item in load_manifest().checkpoints if item.bundled]
    photographs = read_photographs(args.photos)
    if not photographs:
        parser.error(f"there are no pictures in {args.photos}")
    pictures = list(odd_pictures(photographs, args.count, args.seed))
    print(f"| checkpoint | tiles left, of {args.count} | flat | gray | clean, dB |")
    print("|---|---|---|---|---|")
    for name in names:
        restorer = open_checkpoint(name, args.feature_limit).restorer()
        left = tiles_left(restorer, pictures)
        kinds = ", ".join(f"{kind} {count}" for kind, count in left.items() if count)
        clean = f"{clean_psnr(restorer, args.clean):.1f}" if args.clean else "-"
        print(
            f"| `{Path(name).stem}` | {sum(left.values())}{f' ({kinds})' if kinds else ''} "
            f"| {flat_change(restorer)} | {gray_tint(restorer, photographs)} | {clean} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
