"""Tables of the papers at a size of one's own: each row trained by `drcnet train`'s own code.

    python benchmarks/experiments.py TABLE --clean PHOTOS --minutes M [--seeds N] [--out DIR]

TABLE is a name of `TABLES`; --list tells what each holds. All rows have the same photographs,
seeds, steps, optimiser and sizes but for what the row is about; each is measured on photographs
held out of training, degraded alike. Contrastive rows need VGG19 (--vgg FILE). Rows run side by
side, --jobs at a time with one thread each; a run that was stopped goes on where it was, a finished
one is not repeated. The result is DIR/TABLE.md: mean and spread over the seeds in dB, parameters,
seconds a step, and the paper's figure beside it; of a figure DIR/TABLE.svg, too. A row that
diverges, or lacks VGG19, says so.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from curves import Point, draw_curves
from drcnet_tables import DRCNET_TABLES
from experiment_tables import TABLES as OTHER_TABLES
from experiment_tables import Row, Table
from numpy.typing import NDArray

from drcnet_cli.device import choose_device
from drcnet_cli.errors import CheckpointFormatError, DrcnetError, WeightsError
from drcnet_cli.metrics import psnr, ssim
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.restore.restorer import Restorer
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.data import open_data
from drcnet_cli.train.loop import train
from drcnet_cli.train.samples import Sample

Picture = NDArray[Any]  # H x W x 3
TABLES = {**DRCNET_TABLES, **OTHER_TABLES}
RESULT = "result.json"
DIGITS = {"psnr": 2, "ssim": 3}  # what is measured, and how many digits tables have of it


def run_row(table: Table, row: Row, seed: int, settings: Mapping[str, Any], folder: Path) -> None:
    """Train and measure one row with one seed, unless that is done; writes RESULT in `folder`."""
    if (folder / RESULT).exists() and "missing" not in json.loads((folder / RESULT).read_text()):
        return
    torch.set_num_threads(1)
    config = TrainConfig.from_mapping(
        {**table.settings, **settings, **row.settings, "seed": seed, "out": str(folder)}
    )
    try:
        trained = train(config)
    except DrcnetError as error:
        result: dict[str, Any] = {"failed": error.message}
        if isinstance(error, WeightsError) and not isinstance(error, CheckpointFormatError):
            result["missing"] = True  # VGG19, which may be there another time
    else:
        if trained.interrupted or trained.final is None:
            return
        network, info = load_checkpoint(trained.final)
        device = choose_device(config.device)
        restorer = Restorer(network, info, device=device, dtype=torch.float32)
        found = {kind: scores(held(config, kind), restorer.restore) for kind in row.measured(table)}
        result = {
            "seconds_a_step": trained.elapsed / max(1, trained.step),
            "steps": trained.step,
            "parameters": sum(weight.numel() for weight in network.parameters()),
            **{name: {kind: of[name] for kind, of in found.items()} for name in DIGITS},
        }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RESULT).write_text(json.dumps(result, indent=1))


def held(config: TrainConfig, kind: str) -> Mapping[str, Sample]:
    """Return the held photographs, degraded in a kind."""
    return open_data(replace(config, degrade=kind)).held


def scores(pairs: Mapping[str, Sample], restore: Callable[[Picture], Picture]) -> dict[str, float]:
    """Return the mean PSNR in dB and SSIM of restored pairs: RGB, rounded to 8 bits."""
    images = [
        (restore(bad.transpose(1, 2, 0)), good.transpose(1, 2, 0)) for bad, good in pairs.values()
    ]
    return {
        "psnr": fmean(psnr(image, good) for image, good in images),
        "ssim": fmean(ssim(image, good) for image, good in images),
    }


def write_table(
    table: Table, seeds: int, folder: Path, inputs: Mapping[str, Mapping[str, float]]
) -> str:
    """Return the Markdown table of the results below `folder`; `inputs`: `scores` by kind."""
    columns = [(kind, "psnr") for kind in table.columns]
    columns += [(kind, "ssim") for kind in table.columns if table.ssim]
    heads = [kind if name == "psnr" else f"{kind}, SSIM" for kind, name in columns]
    cells = [_cell([inputs[kind][name]], name) for kind, name in columns]
    lines = [
        f"**{table.title}**",
        "",
        "| row | " + " | ".join(heads) + " | parameters | s a step | paper |",
        "|---" * (len(columns) + 4) + "|",
        "| input | " + " | ".join(cells) + " | | | |",
    ]
    for row in table.rows:
        results = read_results(row, seeds, folder)
        good = [result for result in results if "psnr" in result]
        cells = [_cell([r[n][kind] for r in good if kind in r[n]], n) for kind, n in columns]
        if good:
            parameters = f"{good[0]['parameters'] / 1e6:.3f} M"
            seconds = f"{fmean(result['seconds_a_step'] for result in good):.3f}"
        else:
            parameters = seconds = ""
        failed = {result["failed"] for result in results if "failed" in result}
        name = row.name + "".join(f" ({text})" for text in failed)
        cells += [parameters, seconds, row.paper]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if table.note is not None:
        lines += ["", table.note()]
    return "\n".join(lines) + "\n"


def read_results(row: Row, seeds: int, folder: Path) -> list[dict[str, Any]]:
    """Return what `run_row` wrote of a row, for the seeds that are done."""
    paths = [folder / row.folder / str(seed) / RESULT for seed in range(seeds)]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def draw_figure(table: Table, seeds: int, folder: Path) -> str:
    """Return the SVG of a table that is a figure in its paper; rows that failed are left out."""
    curves: dict[str, list[Point]] = {row.at[0]: [] for row in table.rows if row.at and row.at[0]}
    (kind,) = table.columns
    for row in table.rows:
        scores = [r["psnr"][kind] for r in read_results(row, seeds, folder) if "psnr" in r]
        if scores and row.at is not None:
            name, x = row.at
            for curve in [name] if name else list(curves):
                curves[curve].append(Point(x, fmean(scores), pstdev(scores)))
    return draw_curves(table.title, table.axis, "dB", curves)


def _cell(values: list[float], name: str) -> str:
    if not values:
        return "-"
    spread = f" ± {pstdev(values):.{DIGITS[name]}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{DIGITS[name]}f}" + spread


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?", choices=sorted(TABLES))
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--clean", type=Path, action="append", default=[])
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=0.0)
    budget.add_argument("--steps", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--vgg", default="", metavar="FILE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=JSON")
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"))
    asked = parser.parse_args()
    if asked.list or not asked.table:
        for name, table in TABLES.items():
            print(f"{name}: {table.title}; {len(table.rows)} rows")
        return
    if not asked.clean or not (asked.minutes or asked.steps):
        sys.exit("Give --clean DIR, and --minutes M or --steps N for each row.")
    table, folder = TABLES[asked.table], asked.out / asked.table
    settings: dict[str, Any] = {
        "clean": tuple(map(str, asked.clean)),
        "minutes": asked.minutes,
        "steps": asked.steps,
        "workers": 0,
        "device": asked.device,
        "vgg": asked.vgg,
    }
    for item in asked.set:
        key, _, value = item.partition("=")
        settings[key] = json.loads(value)
    with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
        runs = [
            pool.submit(run_row, table, row, seed, settings, folder / row.folder / str(seed))
            for seed in range(asked.seeds)
            for row in table.rows
        ]
        for run in runs:
            run.result()
    first = TrainConfig.from_mapping({**table.settings, **settings, "out": str(folder)})
    inputs = {kind: scores(held(first, kind), lambda image: image) for kind in table.columns}
    text = write_table(table, asked.seeds, folder, inputs)
    (asked.out / f"{asked.table}.md").write_text(text)
    if table.axis:
        figure = draw_figure(table, asked.seeds, folder)
        (asked.out / f"{asked.table}.svg").write_text(figure)
    print(text)


if __name__ == "__main__":
    main()
