"""From a configuration to what is trained and validated on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from drcnet_cli.datasets.pairs import Pair, match_folders, match_masks, read_pair
from drcnet_cli.datasets.training_sets import MIXED_SETS, TRAINING_SETS, find_dataset
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.imageio.folder import name_pictures
from drcnet_cli.tasks import ANY_DAMAGE, TASKS, tasks_of_kind
from drcnet_cli.train.cache import PictureCache, stored_size
from drcnet_cli.train.config import TrainConfig
from drcnet_cli.train.holdout import hold_out
from drcnet_cli.train.samples import (
    PairSource,
    Sample,
    SampleSource,
    TurnSource,
    middle,
    to_unit_chw,
    two_sizes,
)
from drcnet_cli.train.synthetic import USUAL_FIRST, SyntheticSource, degradations, held_pair

T = TypeVar("T")

_NAMED = 5  # names that a sentence lists


@dataclass(frozen=True)
class TrainingData:
    """What a run learns from: `held` are fixed pairs by name; `summary` tells of it in JSON types.

    `notes` are sentences for the person who started the run. `left_out` lists the pictures of the
    source that could not be used, as far as that is known.
    """

    source: SampleSource
    held: Mapping[str, Sample]
    summary: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    left_out: Callable[[], Sequence[Path]] = tuple


def open_data(config: TrainConfig) -> TrainingData:
    """Find, count and split the data; raises UsageError if there is none, or more than one kind."""
    kinds = {
        "--data-root": bool(config.data_root),
        "--lq and --gt": bool(config.lq or config.gt or config.masks),
        "--clean": bool(config.clean),
    }
    given = [name for name, present in kinds.items() if present]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} cannot be combined.", "Give one source of data.")
    published = {**TRAINING_SETS, **MIXED_SETS}.get(config.task)
    if published is not None and not given:
        raise UsageError(f"Where is {published.title}?", f"Give --data-root DIR. {published.where}")
    if published is not None and not config.data_root:
        raise UsageError(
            f"--task {config.task} is {published.title}, and {given[0]} would take its place.",
            f"Give --data-root DIR; or, for {given[0]}, --task {config.kind}",
        )
    if not given:
        raise UsageError(
            "Training needs data.", "Give --clean DIR, or --lq DIR --gt DIR, or --data-root DIR"
        )
    if config.clean:
        return _clean_data(config)
    if config.data_root and config.task in MIXED_SETS:
        return _mixed_data(config)
    if config.data_root:
        return _published_data(config)
    return _own_pairs(config)


def _clean_data(config: TrainConfig) -> TrainingData:
    summary = {
        "kind": "clean photographs, degraded on the fly",
        "folders": [Path(folder).name for folder in config.clean],
    }
    return _synthetic_data(config, photographs(config.clean), summary)


def _synthetic_data(
    config: TrainConfig, named: Sequence[tuple[str, Path]], summary: dict[str, Any]
) -> TrainingData:
    """Make the data of clean pictures, which are degraded while training goes on."""
    training, held = hold_out(named, config.holdout, lambda item: item[0])
    kind = config.degrade or TASKS[config.kind].degradation
    kinds, margin = degradations(kind, Path(config.streaks) if config.streaks else None)
    cache = PictureCache([path for _, path in training], config.cache_mb)
    turns = iter(range(len(held)))
    pairs, lost = _readable(
        held,
        config.val_count,
        lambda item: (
            item[0],
            held_pair(item[1], item[0], kinds[next(turns) % len(kinds)], margin, config.val_side),
        ),
    )
    source = SyntheticSource(
        cache,
        kinds,
        config.seed,
        margin=margin,
        crops=config.crops,
        vary=config.vary,
        unusual=config.unusual,
        # What --init begins with knows photographs already.
        usual_first=0 if config.init else USUAL_FIRST,
    )
    summary = {
        **summary,
        "degradation": kind,
        "scale_and_colour_varied": config.vary,
        "unusual_share": config.unusual,
        "training_pictures": len(training),
        "held_pictures": len(held),
    }
    note = (
        f"{len(training)} photographs to train on, {len(held)} held ({len(pairs)} validated on), "
        f"degradation: {kind}"
    )
    notes = (note, *_other_tasks(config, kind), *lost, *_cache_notes(cache, config))
    return TrainingData(source, pairs, summary, notes, cache.left_out)


def _other_tasks(config: TrainConfig, kinds: str) -> list[str]:
    """Say where nothing of the degradation is what the task is about."""
    undone = {task for kind in kinds.split(",") for task in tasks_of_kind(kind)}
    if config.kind in {*undone, ANY_DAMAGE}:
        return []
    return [
        f"--degrade {kinds} is not what {config.kind} undoes; the checkpoint is named one for "
        f"{config.kind} all the same"
    ]


def photographs(folders: Sequence[str | Path]) -> list[tuple[str, Path]]:
    """List the clean photographs below folders by name; raise UsageError for one without any."""
    named: list[tuple[str, Path]] = []
    for folder in map(Path, folders):
        if not (found := name_pictures(folder)):
            raise UsageError(f"There are no pictures in {folder}.", "Give --clean DIR")
        named += found.items()
    return named


def _published_data(config: TrainConfig) -> TrainingData:
    if config.task not in TRAINING_SETS:
        raise UsageError(
            f"--data-root is for published data sets, and {config.task!r} is none.",
            f"Give --task {', '.join(TRAINING_SETS)}",
        )
    dataset, found, notes = find_dataset(config.task, Path(config.data_root))
    if dataset.clean:
        summary = {"kind": "published pictures, degraded on the fly", "dataset": dataset.title}
        own = replace(config, degrade=config.degrade or dataset.degradation)
        return _published_pictures(own, found.matching.pairs, summary, notes)
    _refuse_degrading(config)
    summary = {"kind": "published pairs", "dataset": dataset.title, "whole": found.whole}
    return _pair_data(config, found.matching.pairs, summary, notes)


def _published_pictures(
    config: TrainConfig, pairs: Sequence[Pair], summary: dict[str, Any], notes: list[str]
) -> TrainingData:
    """Make the data of sets of clean pictures alone, each its own partner."""
    data = _synthetic_data(config, [(pair.name, pair.clean) for pair in pairs], summary)
    return replace(data, notes=(*notes, *data.notes))


def _mixed_data(config: TrainConfig) -> TrainingData:
    """Make the data of several published sets; batches have each kind of degradation in turn.

    `degrade` may name some of the kinds. Clean pictures are taken as they are, as published.
    """
    mixed = MIXED_SETS[config.task]
    kinds = config.degrade.split(",") if config.degrade else list(mixed.parts)
    if unknown := [kind for kind in kinds if kind not in mixed.parts]:
        raise UsageError(
            f"{mixed.title} have no {unknown[0]!r}.", f"Use --degrade {','.join(mixed.parts)}"
        )
    parts: list[TrainingData] = []
    for kind in kinds:
        own = replace(
            config,
            degrade=kind,
            vary=False,
            unusual=0.0,
            cache_mb=max(1, config.cache_mb // len(kinds)),
            val_count=max(1, config.val_count // len(kinds)),
        )
        parts.append(_part_data(own, kind, mixed.parts[kind]))
    return TrainingData(
        TurnSource([part.source for part in parts]),
        {
            f"{kind}/{name}": pair
            for kind, part in zip(kinds, parts, strict=True)
            for name, pair in part.held.items()
        },
        {"kind": mixed.title, "parts": {k: p.summary for k, p in zip(kinds, parts, strict=True)}},
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        lambda: [path for part in parts for path in part.left_out()],
    )


def _part_data(config: TrainConfig, kind: str, names: Sequence[str]) -> TrainingData:
    """Make the data of one kind of a mixed set: of one set of pairs, or of some of clean pictures.

    Raises UsageError for one that is not there.
    """
    found = [find_dataset(name, Path(config.data_root)) for name in names]
    notes = [note for _, _, own in found for note in own]
    pairs = [pair for _, part, _ in found for pair in part.matching.pairs]
    summary = {"datasets": [dataset.title for dataset, _, _ in found]}
    if found[0][0].clean:
        return _published_pictures(config, pairs, summary, notes)
    return _pair_data(config, pairs, {**summary, "degradation": kind}, notes)


def _own_pairs(config: TrainConfig) -> TrainingData:
    if not (config.lq and config.gt):
        raise UsageError("Pairs need two folders.", "Give both --lq DIR and --gt DIR")
    _refuse_degrading(config)
    matching = match_folders(Path(config.lq), Path(config.gt))
    if config.masks:
        matching = match_masks(matching, Path(config.masks))
    pairs, unequal = _part_unequal(matching.pairs)
    notes = [f"{len(matching.pairs)} pairs matched by name", *matching.notes(), *unequal]
    summary = {"kind": "pairs", "folders": [Path(config.lq).name, Path(config.gt).name]}
    return _pair_data(config, pairs, summary, notes)


def _refuse_degrading(config: TrainConfig) -> None:
    """Raise UsageError for settings of degradations, which pairs have no need of."""
    for name in ("degrade", "streaks"):
        if getattr(config, name):
            raise UsageError(
                f"--{name} is for clean photographs, and pairs are degraded already.",
                f"Leave --{name} out",
            )


def _part_unequal(pairs: Sequence[Pair]) -> tuple[list[Pair], list[str]]:
    """Return the pairs whose pictures are of one size, and a sentence about the others.

    Only headers are read: of two that differ by a quarter turn, decoding tells. So it does of what
    cannot be read. Raises UsageError if no pair is left.
    """
    equal, unequal = [], []
    for pair in pairs:
        try:
            sizes = stored_size(pair.degraded), stored_size(pair.clean)
        except ImageError:
            equal.append(pair)
            continue
        if sorted(sizes[0]) == sorted(sizes[1]):
            equal.append(pair)
        else:
            (height, width), (other_height, other_width) = sizes
            unequal.append(f"{pair.name} ({width} x {height}, {other_width} x {other_height})")
    if not unequal:
        return equal, []
    text = f"{len(unequal)} pairs have pictures of two sizes: {name_some(unequal)}"
    if not equal:
        raise UsageError(f"{text}.", "Both pictures of a pair must show the same")
    return equal, [f"{text}; they are left out"]


def name_some(names: Sequence[object]) -> str:
    """Join the first few names."""
    return ", ".join(map(str, names[:_NAMED])) + (", ..." if len(names) > _NAMED else "")


def _readable(
    held: Sequence[T], count: int, make: Callable[[T], tuple[str, Sample]]
) -> tuple[dict[str, Sample], list[str]]:
    """Make the first `count` held pairs that can be made, and a sentence about the others."""
    pairs: dict[str, Sample] = {}
    errors: list[str] = []
    for item in held:
        if len(pairs) == count:
            break
        try:
            name, pair = make(item)
        except ImageError as error:
            errors.append(error.message.rstrip("."))
            continue
        # Pictures of several folders may have one name.
        pairs[f"{name} ({len(pairs)})" if name in pairs else name] = pair
    note = f"{len(errors)} held pictures cannot be used: {'; '.join(errors[:_NAMED])}"
    return pairs, [note] if errors else []


def _pair_data(
    config: TrainConfig, pairs: Sequence[Pair], summary: dict[str, Any], notes: list[str]
) -> TrainingData:
    training, held = hold_out(pairs, config.holdout, lambda pair: pair.group)
    source = PairSource(training, config.cache_mb, config.seed, crops=config.crops)
    fixed, lost = _readable(held, config.val_count, lambda pair: _held(pair, config))
    summary = {**summary, "training_pairs": len(training), "held_pairs": len(held)}
    note = f"{len(training)} pairs to train on, {len(held)} held ({len(fixed)} validated on)"
    notes = [*notes, note, *lost, *_cache_notes(source.cache, config)]
    return TrainingData(source, fixed, summary, tuple(notes), source.cache.left_out)


def _held(pair: Pair, config: TrainConfig) -> tuple[str, Sample]:
    """Return a held pair's name and its middle; raises ImageError."""
    degraded, clean = read_pair(pair)
    if degraded.shape != clean.shape:
        raise two_sizes(pair, degraded.shape, clean.shape)
    side = config.val_side
    return pair.name, (to_unit_chw(middle(degraded, side)), to_unit_chw(middle(clean, side)))


def _cache_notes(cache: PictureCache, config: TrainConfig) -> list[str]:
    """Say what makes training slow, and what helps."""
    if cache.kept == len(cache) or config.crops > 1:
        return []
    return [
        f"Only {cache.kept} of {len(cache)} pictures fit --cache-mb {config.cache_mb}; the others "
        "are decoded for each crop. `drcnet data prepare` makes small files; --crops 8 helps, too."
    ]
