"""From a configuration to what is trained and validated on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drcnet_cli.data.cache import PictureCache, find_pictures, read_rgb8
from drcnet_cli.data.holdout import hold_out
from drcnet_cli.data.layouts import DATASETS, find_dataset
from drcnet_cli.data.pairs import Pair, PairSource, match_folders
from drcnet_cli.data.sampling import Sample, Source, middle, to_unit_chw
from drcnet_cli.data.synthetic import SyntheticSource, degradation, held_pair
from drcnet_cli.errors import UsageError
from drcnet_cli.tasks import TASKS
from drcnet_cli.train.config import TrainConfig


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from: `held` are fixed pairs by name; `summary` tells of it in JSON types.

    `notes` are sentences for the person who started the run.
    """

    source: Source
    held: Mapping[str, Sample]
    summary: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def open_data(config: TrainConfig) -> TrainingData:
    """Find, count and split the data; raises UsageError if there is none, or more than one kind."""
    kinds = {
        "--data-root": bool(config.data_root),
        "--lq and --gt": bool(config.lq or config.gt),
        "--clean": bool(config.clean),
    }
    given = [name for name, present in kinds.items() if present]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be combined.", "Give one source of data.")
    if config.task in DATASETS and not given:
        title, where = DATASETS[config.task].title, DATASETS[config.task].where
        raise UsageError(f"Where is {title}?", f"Give --data-root DIR. {where}")
    if not given:
        raise UsageError(
            "Training needs data.", "Give --clean DIR, or --lq DIR --gt DIR, or --data-root DIR"
        )
    if config.clean:
        return _clean_data(config)
    if config.data_root:
        return _published_data(config)
    return _own_pairs(config)


def _clean_data(config: TrainConfig) -> TrainingData:
    named = []
    for folder in map(Path, config.clean):
        if not (found := find_pictures(folder)):
            raise UsageError(f"There are no pictures in {folder}.", "Give --clean DIR")
        named += [(path.relative_to(folder).as_posix(), path) for path in found]
    training, held = hold_out(named, config.holdout, lambda item: item[0])
    kind = config.degrade or TASKS[config.kind].degradation
    degrade, margin = degradation(kind, Path(config.streaks) if config.streaks else None)
    cache = PictureCache([path for _, path in training], config.cache_mb)
    pairs = {
        name: held_pair(path, name, degrade, margin, config.val_side)
        for name, path in held[: config.val_count]
    }
    source = SyntheticSource(
        cache,
        degrade,
        config.seed,
        margin=margin,
        crops=config.crops,
        vary=config.vary,
        unusual=config.unusual,
    )
    summary = {
        "kind": "clean photographs, degraded on the fly",
        "degradation": kind,
        "scale_and_colour_varied": config.vary,
        "unusual_share": config.unusual,
        "folders": [Path(folder).name for folder in config.clean],
        "training_pictures": len(training),
        "held_pictures": len(held),
    }
    note = (
        f"{len(training)} photographs to train on, {len(held)} held ({len(pairs)} validated on), "
        f"degradation: {kind}"
    )
    return TrainingData(source, pairs, summary, (note, *_cache_notes(cache, config)))


def _published_data(config: TrainConfig) -> TrainingData:
    if config.task not in DATASETS:
        raise UsageError(
            f"--data-root is for published data sets, and {config.task!r} is none.",
            f"Give --task {', '.join(DATASETS)}",
        )
    dataset, found, notes = find_dataset(config.task, Path(config.data_root))
    summary = {"kind": "published pairs", "dataset": dataset.title, "whole": found.whole}
    return _pair_data(config, found.matching.pairs, summary, notes)


def _own_pairs(config: TrainConfig) -> TrainingData:
    if not (config.lq and config.gt):
        raise UsageError("Pairs need two folders.", "Give both --lq DIR and --gt DIR")
    matching = match_folders(Path(config.lq), Path(config.gt))
    notes = [f"{len(matching.pairs)} pairs matched by name", *matching.notes()]
    summary = {"kind": "pairs", "folders": [Path(config.lq).name, Path(config.gt).name]}
    return _pair_data(config, matching.pairs, summary, notes)


def _pair_data(
    config: TrainConfig, pairs: Sequence[Pair], summary: dict[str, Any], notes: list[str]
) -> TrainingData:
    training, held = hold_out(pairs, config.holdout, lambda pair: pair.group)
    source = PairSource(training, config.cache_mb, config.seed, crops=config.crops)
    fixed = {
        pair.name: (_middle(pair.degraded, config), _middle(pair.clean, config))
        for pair in held[: config.val_count]
    }
    summary = {**summary, "training_pairs": len(training), "held_pairs": len(held)}
    note = f"{len(training)} pairs to train on, {len(held)} held ({len(fixed)} validated on)"
    notes = [*notes, note, *_cache_notes(source.cache, config)]
    return TrainingData(source, fixed, summary, tuple(notes))


def _middle(path: Path, config: TrainConfig) -> Any:  # noqa: ANN401 - an array
    return to_unit_chw(middle(read_rgb8(path), config.val_side))


def _cache_notes(cache: PictureCache, config: TrainConfig) -> list[str]:
    """Say what makes training slow, and what helps."""
    if cache.kept == len(cache) or config.crops > 1:
        return []
    return [
        f"Only {cache.kept} of {len(cache)} pictures fit --cache-mb {config.cache_mb}; the others "
        "are decoded for each crop. `drcnet data prepare` makes small files; --crops 8 helps, too."
    ]
