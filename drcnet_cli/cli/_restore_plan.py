"""What `drcnet restore` decides before it computes: what goes where, and what is done already."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from drcnet_cli.cli._options import parse_background
from drcnet_cli.cli._output import note
from drcnet_cli.errors import UsageError

if TYPE_CHECKING:
    from drcnet_cli.files.addresses import Place
    from drcnet_cli.files.plan import Job, Plan
    from drcnet_cli.restore.outcome import WriteOptions


@dataclass(frozen=True)
class Asked:
    """Which files a run is asked to restore, and which of them again."""

    paths: list[str]
    in_place: bool
    overwrite: bool
    update: bool
    rename: Callable[[str, str], str] | None = None

    @property
    def shards(self) -> bool:
        """Whether the inputs are tar shards, whose pictures are meant."""
        from drcnet_cli.files.addresses import place_of
        from drcnet_cli.files.shards import is_shard

        inputs = self.paths if self.in_place else self.paths[:-1]
        return bool(inputs) and all(is_shard(place_of(path)) for path in inputs)

    def check_shards(self, report: Path | None, masks: "Masks", workers: str | None) -> None:
        """Raise UsageError for what does not go with shards."""
        asked = {
            "--in-place": self.in_place,
            "--suffix and --name": self.rename,
            "--report": report,
            "--mask and --mask-out": masks.wanted,
            "--ray and --jobs": workers,
        }
        if given := next((name for name, value in asked.items() if value), None):
            raise UsageError(
                f"{given} cannot go with shards, which the inputs are.", f"Leave out {given}"
            )


@dataclass(frozen=True)
class Made:
    """What computes the results, as it was asked for."""

    checkpoint: str | Path
    tile: str
    overlap: int | None
    ensemble: bool
    strength: float
    experts: bool = True
    mask: Path | None = None
    crf: int | None = None
    keep_grain: float = 0.0

    def recipe(self, written: "WriteOptions") -> str:
        """Return what the journal keeps of how outputs are made.

        Neither the device nor the number type is part of it: their results look the same; nor the
        format, which the outputs' names say. Raises WeightsError, UsageError for no checkpoint.
        """
        from drcnet_cli.files.finisher import recipe
        from drcnet_cli.tasks import ANY_DAMAGE, CERTAIN
        from drcnet_cli.weights.fetch import identify
        from drcnet_cli.weights.manifest import load_manifest

        # Told only where there are any, so that outputs of before stay finished.
        told: dict[str, object] = {"mask": str(self.mask.resolve())} if self.mask else {}
        told |= {} if self.crf is None else {"crf": self.crf}
        told |= {"keep_grain": self.keep_grain} if self.keep_grain else {}
        manifest = load_manifest()
        checkpoint = identify(self.checkpoint, manifest)
        known = manifest.by_sha256(checkpoint)
        if self.experts and known is not None and known.task == ANY_DAMAGE:
            told["chosen_from"] = {task: identify(task, manifest) for task in CERTAIN}
        return recipe(
            **told,
            checkpoint=checkpoint,
            tile=self.tile,
            overlap=self.overlap,
            ensemble=self.ensemble,
            strength=self.strength,
            quality=written.quality,
            strip_metadata=written.strip_metadata,
            float_range=written.float_range,
            background=written.background,
            # Outputs made before there was a choice are as those of the default.
            **({} if self.experts else {"experts": False}),
            **({} if written.pages is None else {"pages": written.pages.ranges}),
        )


@dataclass(frozen=True)
class Masks:
    """Folders of masks: of those that are given, and of those that are to be written."""

    given: Path | None
    found: Path | None
    format: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError for a format of masks that nobody asked for."""
        if self.format is not None and self.found is None:
            raise UsageError(
                "--mask-format is for --mask-out.", "Leave it out, or add --mask-out DIR"
            )
        if self.found is None:
            return
        from drcnet_cli.imageio import is_image_name

        if is_image_name(self.found) and not self.found.is_dir():
            raise UsageError(
                f"--mask-out names a folder, and {self.found} is a picture's name.",
                f"Use --mask-out {self.found.with_suffix('')}",
            )

    @property
    def wanted(self) -> bool:
        """Whether there are any."""
        return self.given is not None or self.found is not None

    def refuse_stream(self) -> None:
        """Raise UsageError if there are any: standard input has no name that one could have."""
        if self.wanted:
            raise UsageError(
                "Masks go by the names of files, and standard input or output (-) has none.",
                "Leave out --mask and --mask-out, or name files",
            )

    def join(self, plan: "Plan", output: Path | None, update: bool) -> "Plan":
        """Give each job its masks, named as its output is below the output folder.

        A finished job whose mask is still to be written is done again; one whose given mask has
        changed since is stale, and with `update` done again, too. Raises UsageError for a folder
        that is none or holds pictures of the run, and for inputs without the mask that they need.
        """
        if not self.wanted:
            return plan
        from drcnet_cli.imageio import format_suffix
        from drcnet_cli.imageio.folder import name_pictures

        if self.given is not None and not self.given.is_dir():
            raise UsageError(f"There is no folder {self.given}.", "Give --mask DIR")
        ending = format_suffix(self.format or "png", "--mask-format")
        there: dict[PurePath, list[Path]] = {}
        for name, path in name_pictures(self.given).items() if self.given else ():
            there.setdefault(PurePath(name).with_suffix(""), []).append(path)

        def joined(job: "Job") -> "Job":
            if not isinstance(job.destination, Path) or not isinstance(job.source, Path):
                raise UsageError(
                    "Masks are for files, and an input or output is an address.", "Leave them out."
                )
            below = output is not None and job.destination.is_relative_to(output)
            place = job.destination.relative_to(output) if below and output else None
            if place is None or place == PurePath():  # a lone file, or in place
                place = PurePath(job.destination.name)
            mask = None
            if self.given is not None:
                mask = _own_mask(self.given, there, [place, PurePath(job.source.name)])
            out = self.found and self.found / place.with_suffix(ending)
            return replace(job, mask=mask, mask_out=out)

        jobs, finished = [joined(job) for job in plan.jobs], []
        stale = {}
        for job in plan.finished:
            done = joined(job)
            doubt = plan.stale.get(job, "") or ("older than its mask" if _is_older(done) else "")
            missing = done.mask_out is not None and not done.mask_out.exists()
            again = missing or (update and doubt)
            (jobs if again else finished).append(done)
            if doubt and not again:
                stale[done] = doubt
        if self.found is not None:
            _refuse_clashes([*jobs, *finished])
        return replace(plan, jobs=tuple(jobs), finished=tuple(finished), stale=stale)


def _is_older(job: "Job") -> bool:
    """Tell whether a job's mask changed after its output was written, whatever date that bears."""
    if job.mask is None or not isinstance(job.destination, Path) or job.source == job.destination:
        return False
    try:
        return job.mask.stat().st_mtime_ns > job.destination.stat().st_ctime_ns
    except OSError:  # one has gone just now: the restoration will say so
        return False


def _refuse_clashes(jobs: "Sequence[Job]") -> None:
    """Raise UsageError for masks that would replace each other, or lie among pictures."""
    masks: set[Path] = set()
    pictures = {place.parent for job in jobs for place in (job.source, job.destination, job.mask)
                if isinstance(place, Path)}  # fmt: skip
    pictures = {folder.resolve() for folder in pictures}
    for job in jobs:
        assert job.mask_out is not None
        if job.mask_out in masks:
            raise UsageError(
                f"Two masks would be written to {job.mask_out}.",
                "Restore them one by one, each with a --mask-out of its own",
            )
        masks.add(job.mask_out)
    for folder in {mask.parent for mask in masks}:
        if folder.resolve() in pictures:
            raise UsageError(
                f"Masks would be written among the pictures in {folder}.",
                "Give --mask-out a folder of its own",
            )


def _own_mask(folder: Path, there: "dict[PurePath, list[Path]]", names: "list[PurePath]") -> Path:
    """Find a picture's mask, whatever its type; raises UsageError without, or with several."""
    for name in names:
        found = there.get(name.with_suffix(""), [])
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(f"{found[0]} and {found[1]} could both be the mask.", "Remove one")
    raise UsageError(
        f"{folder} has no mask for {names[-1]}.",
        f"Name it as the picture: {folder / names[-1].with_suffix('.png')}",
    )


def check_looks(float_range: float | None, background: str | None) -> None:
    """Raise UsageError for a white or a colour that is none, before anything is loaded."""
    if float_range is not None or background is not None:
        from drcnet_cli.imageio import check_float_range

        check_float_range(float_range)
        parse_background(background)


def choose_pages(written: "WriteOptions", text: str | None, in_place: bool) -> "WriteOptions":
    """Return the options with the pages that --pages names; raises UsageError for none."""
    if text is None:
        return written
    from drcnet_cli.imageio import parse_pages

    if in_place:
        raise UsageError(
            "--pages takes some pictures of a file, and --in-place would lose the others.",
            "Leave out either, or name an OUTPUT",
        )
    return replace(written, pages=parse_pages(text))


def choose_names(
    pattern: str, suffix: str, task: str | None, checkpoint: str | Path
) -> Callable[[str, str], str] | None:
    """Return what --name or --suffix make of an output's stem and ending; None without either.

    Raises UsageError for what makes no file's name.
    """
    from drcnet_cli.files.naming import choose_rename
    from drcnet_cli.weights.manifest import load_manifest

    def values(fields: set[str]) -> dict[str, str]:
        values = {"task": task or "", "model": Path(checkpoint).stem}
        if isinstance(checkpoint, Path) and fields & {"task", "model"}:
            from drcnet_cli.networks.checkpoint import read_info

            info = read_info(checkpoint)
            called = info.name if info.name and not {"/", os.sep, "\0"} & set(info.name) else ""
            values = {"task": task or info.task or "", "model": called or checkpoint.stem}
        if isinstance(checkpoint, str) and fields & {"task", "model"}:
            manifest = load_manifest()
            known = checkpoint in manifest.names
            found = manifest.by_name(checkpoint) if known else manifest.default_for(checkpoint)
            values = {"task": task or found.task, "model": found.name}
        if "task" in fields and not values["task"]:
            hint = "Add --task, or use {model}"
            raise UsageError(f"Nothing says what {checkpoint} is for.", hint)
        return values

    return choose_rename(pattern, suffix, values)


def plan_run(
    asked: Asked,
    written: "WriteOptions",
    recipe: Callable[[], str],
    masks: Masks,
    ray: str | None,
    quiet: bool,
) -> "Plan":
    """Decide what goes where; raise UsageError also if the output names a file wrongly."""
    from drcnet_cli.files.addresses import is_address, place_of
    from drcnet_cli.files.finished import Finished
    from drcnet_cli.files.plan import plan_files
    from drcnet_cli.files.shards import is_shard
    from drcnet_cli.files.spelling import as_meant
    from drcnet_cli.imageio import format_for, format_suffix, is_image_name, is_unread_name
    from drcnet_cli.video import container_of, is_video_job, is_video_name, output_ending

    def is_taken(path: "Place") -> bool:
        return is_image_name(path) or is_video_name(path)

    shards = asked.shards
    inputs, output = (asked.paths, None) if asked.in_place else _part(asked.paths)
    if asked.in_place and asked.update:
        raise UsageError(
            "--update compares outputs with their inputs, and --in-place leaves no inputs.",
            "Leave out either; --overwrite restores all files again",
        )
    output = output and as_meant(output)
    if asked.rename is not None and not shards:  # no file of the run could be written
        ending = format_suffix(written.format) if written.format else ".png"
        named = Path(asked.rename("name", ending))
        if not is_video_name(named):
            format_for(named, written.format)
    if output and written.keep_dates and is_address(output):
        raise UsageError(
            f"--keep-dates is for files, and {place_of(output)} takes none.", "Leave it out."
        )
    with Finished(recipe, update=asked.update) as judge:
        plan = plan_files(
            inputs,
            output,
            is_image=is_shard if shards else is_taken,
            is_unread=is_unread_name,
            overwrite=asked.overwrite,
            in_place=asked.in_place,
            suffix=format_suffix(written.format) if written.format and not shards else None,
            own_ending=output_ending,
            rename=asked.rename,
            judge=judge,
        )
        if asked.in_place and judge.journal is None:
            _warn_without_journal(judge.journal_error)
    if asked.in_place and not quiet:
        note("Note: --in-place is final: the files are replaced, and no copies of them are kept.")
    target = output and place_of(output)
    # Only a lone file goes to the output's own name, and not into it.
    for job in (*plan.jobs[:1], *plan.finished[:1]) if not shards else ():
        if target and job.destination == target:
            container_of(target) if is_video_job(job) else format_for(target, written.format)
    _check_videos(plan, {"--ray": ray, "--mask": masks.given, "--mask-out": masks.found})
    folder = None if asked.in_place else Path(asked.paths[-1])
    return masks.join(plan, folder, asked.update)


def _check_videos(plan: "Plan", refused: "dict[str, object]") -> None:
    """Raise UsageError for videos without what reads them, or with options that do not take them.

    `refused`: those options, with what was given.
    """
    from drcnet_cli.imageio import install_hint
    from drcnet_cli.imageio.kinds import VIDEO
    from drcnet_cli.video import is_video_job

    first = next((job.source for job in plan.jobs if is_video_job(job)), None)
    if first is None:
        return
    if not VIDEO.is_read:
        raise UsageError(
            f"{first} is a video, which takes one more package to read.", install_hint([VIDEO])
        )
    if given := next((name for name, value in refused.items() if value), None):
        raise UsageError(
            f"{given} is for pictures, and {first} is a video.", f"Leave out {given}, or the videos"
        )


def note_without_videos(plan: "Plan") -> None:
    """Say that --crf changes nothing where a plan has no videos."""
    from drcnet_cli.video import is_video_job

    if not any(is_video_job(job) for jobs in (plan.jobs, plan.finished) for job in jobs):
        note("Note: --crf is for videos, and there are none.")


def _part(paths: list[str]) -> tuple[list[str], str]:
    """Part the inputs from the output, which is the last path."""
    if len(paths) < 2:
        raise UsageError(
            f"Only one path is given: {paths[0]}.",
            "Give inputs and then an output, or --in-place to replace the input",
        )
    return paths[:-1], paths[-1]


def _warn_without_journal(reason: str) -> None:
    note(
        f"Warning: the journal of runs cannot be used ({reason}): after an interruption the same "
        "command would restore finished files again. DRCNET_CACHE names a folder for it."
    )


def plan_stream(
    paths: list[str],
    format: str | None,
    suffix: str,
    masks: Masks,
    replaces: bool,
    as_json: bool,
) -> "Plan":
    """Plan the one image that comes from standard input or goes to standard output."""
    masks.refuse_stream()
    from drcnet_cli.files.addresses import Address, place_of
    from drcnet_cli.files.plan import Job, PassedOver, Plan
    from drcnet_cli.files.remote import check_writable_address, existing_object
    from drcnet_cli.imageio import format_for, parse_format

    if len(paths) != 2:
        raise UsageError(
            "Standard input or output (-) takes one image.", "Use: drcnet restore -t denoise - -"
        )
    if suffix:
        raise UsageError("--suffix and --name are for names in an output folder.", "Leave them out")
    source, target = place_of(paths[0]), place_of(paths[1])
    if isinstance(target, Address):
        check_writable_address(target)
        if not replaces and existing_object(target):
            raise UsageError(f"{target} exists already.", "Use --overwrite to replace it")
        format_for(target, format)
    elif paths[1] != "-":
        if target.is_dir():
            raise UsageError(
                f"{target} is a folder, and standard input has no name to write under.",
                f"Name a file in it: {target / 'restored.png'}",
            )
        if target.exists() and not replaces:
            raise UsageError(f"{target} exists already.", "Use --overwrite to replace it")
        format_for(target, format)
    elif as_json:
        raise UsageError(
            "Standard output cannot carry both a picture and --json.", "Name a file to write to."
        )
    elif sys.stdout.isatty():
        raise UsageError("The picture would fill the terminal.", "Add: > restored.png")
    elif format:
        parse_format(format)
    return Plan((Job(source, target),), (), PassedOver(), ())
