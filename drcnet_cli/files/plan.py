"""What a run reads and writes: the tree mirrored, clashes found, skip or overwrite decided.

Pure planning: folders are listed, no image is opened, nothing is written.
"""

import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from drcnet_cli.errors import UsageError
from drcnet_cli.files.addresses import Address, Place, is_address, place_of
from drcnet_cli.files.discover import Discovery, FoundImage, IsImage, PassedOver, discover, no_file
from drcnet_cli.files.packed import Packed
from drcnet_cli.files.remote import check_writable_address, existing_object, list_objects

__all__ = ["Job", "PassedOver", "Plan", "plan_files"]

# File systems of macOS and Windows usually take names that differ in case, and macOS's those that
# differ in Unicode composition, for one file. There the stricter comparison is the safe one.
_FOLDS_NAMES = sys.platform in {"darwin", "win32"}
# ext4, XFS, Btrfs, APFS and NTFS; the last two count characters, not bytes.
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Job:
    """One image to restore; both paths as the user would recognise them.

    `mask`: the file that tells where the damage is; `mask_out`: where to write what was found.
    """

    source: Place
    destination: Place
    mask: Path | None = None
    mask_out: Path | None = None


@dataclass(frozen=True)
class Plan:
    """What a run will do, in the order of the inputs and naturally sorted within them.

    `finished` are left out of `jobs` because their output exists; `stale` says of some of them what
    is odd about it. `unreadable` are folders that could not be listed: failures, which the run
    should report. `unread` are pictures of a kind that cannot be read here.
    """

    jobs: Sequence[Job]
    finished: Sequence[Job]
    passed_over: PassedOver
    unreadable: tuple[Path, ...]
    unread: tuple[Place, ...] = ()
    stale: Mapping[Job, str] = field(default_factory=dict)


# Makes an output's name of the stem and the ending that it would have.
Rename = Callable[[str, str], str]
# A job, and the same with what is known of its output; None: there is none.
Pair = tuple[Job, Job | None]
# Returns the ending of a file's output whatever `suffix` says, None where that decides.
OwnEnding = Callable[[Place], str | None]
# Returns None for a job to be done, "" for a finished one, else what is odd about its output.
Judge = Callable[[Job], str | None]


def is_there(job: Job) -> str | None:
    """Count every output that exists as finished, and nothing that is to be replaced in place."""
    return None if job.source == job.destination else ""


def no_ending(_: Place) -> str | None:
    """Let every output's ending be decided by `suffix`."""
    return None


def plan_files(
    inputs: Sequence[str | Path],
    output: str | Path | None,
    *,
    is_image: IsImage,
    is_unread: IsImage = no_file,
    overwrite: bool = False,
    in_place: bool = False,
    suffix: str | None = None,
    own_ending: OwnEnding = no_ending,
    rename: Rename | None = None,
    judge: Judge = is_there,
) -> Plan:
    """Decide which files are read and where each result goes.

    A lone file goes to the output's name, or into it if that is a folder or ends with a slash.
    Everything else goes into the output folder: a lone folder's tree is mirrored there, a folder
    among several inputs below its own name, a pattern's matches as they lie below its fixed part.
    `suffix` (`.png`) replaces the extension of what goes into a folder, but for files that
    `own_ending` has one for; `rename` makes the name of stem and ending. `output` is None exactly
    when `in_place`, which makes every destination its source.

    An output that exists counts as finished, unless it is empty or `overwrite`: writes are atomic,
    so it is whole. `judge` may think otherwise, and of files in place. A plan may be empty.
    `is_image` tells images by their names, as `drcnet_cli.imageio.is_image_name` does, `is_unread`
    pictures of kinds that cannot be read here: nothing here knows formats.

    Raises `UsageError` before any work: inputs that are missing or impossible, two inputs with one
    output, outputs that are inputs or folders or have too long a name.
    """
    names = [os.fspath(item) for item in inputs]
    target = None if output is None else os.fspath(output)
    _check_call(names, target, in_place, suffix, rename)
    if target and is_address(target):
        check_writable_address(Address(target))
    found = discover(names, is_image, target, is_unread)
    if target is None:
        pairs = ((job, job) for job in _in_place(found.images))
    else:
        assigned = _assign(found, target, suffix, own_ending, rename, is_image)
        jobs = _drop_duplicates(_check_lengths(assigned))
        is_elsewhere = is_address(target)
        pairs = _whole_objects(jobs, Address(target)) if is_elsewhere else _whole_outputs(jobs)
    to_do, finished, stale = Packed[Job](), Packed[Job](), dict[Job, str]()
    for job, there in pairs:
        doubt = None if overwrite or there is None else judge(there)
        if there is None or doubt is None:
            to_do.append(there or job)  # what there is, so that a new one can be told from it
            continue
        finished.append(there)
        if doubt:
            stale[there] = doubt
    return Plan(to_do, finished, found.passed_over, found.unreadable, found.unread, stale)


def _check_call(
    inputs: Sequence[str],
    output: str | None,
    in_place: bool,
    suffix: str | None,
    rename: Rename | None,
) -> None:
    """Refuse combinations that mean nothing, or that only a stream could satisfy."""
    if not inputs:
        raise UsageError("No input is given.", "Name a file, a folder, or - for standard input.")
    if "-" in inputs and len(inputs) > 1:
        raise UsageError(
            "Standard input (-) cannot be combined with other inputs.",
            "Give - alone; a file of that name is ./-",
        )
    if output == "-":
        raise UsageError(
            "Standard output (-) takes one image and one image only.",
            "Name one input file, or give an output folder.",
        )
    if in_place and output is not None:
        raise UsageError(
            f"--in-place replaces the inputs, so the output {output} has no use.",
            "Leave out either.",
        )
    if in_place and any(map(is_address, inputs)):
        raise UsageError(
            "--in-place replaces files, and the inputs name addresses.", "Give an output instead."
        )
    if in_place and suffix is not None:
        raise UsageError(
            "--in-place keeps each file's name, so its format cannot change.",
            "Leave out --format, or give an output folder instead of --in-place.",
        )
    if in_place and rename:
        raise UsageError(
            "--in-place keeps each file's name, so --suffix and --name have no use.",
            "Leave out either, and give an output folder instead of --in-place.",
        )
    if not in_place and not output:
        raise UsageError(
            "No output is given.", "Name a file or a folder, or give --in-place to replace inputs."
        )


def _in_place(images: Iterable[FoundImage]) -> Iterator[Job]:
    """Replace every image once, though several links may lead to it."""
    seen: set[str] = set()
    for image in images:
        real = os.path.realpath(str(image.source))
        if real not in seen:
            seen.add(real)
            yield Job(image.source, image.source)


def _assign(
    found: Discovery,
    output: str,
    suffix: str | None,
    own_ending: OwnEnding,
    rename: Rename | None,
    is_image: IsImage,
) -> Iterator[Job]:
    """Choose each image's destination."""
    if not _goes_into_folder(found, output, is_image):
        if rename:
            raise UsageError(
                f"--suffix and --name are for an output folder, and {output} is a file's name.",
                "Leave them out, or end the output with a slash",
            )
        yield from (Job(image.source, place_of(output)) for image in found.images)
        return
    folder = place_of(output)
    for image in found.images:
        place = image.place
        # An unknown ending, as in `scan.0001`, is a part of the name.
        stem, ending = (place.stem, place.suffix) if is_image(place) else (place.name, "")
        if (own := own_ending(place)) is not None:
            ending = own
        elif suffix is not None:
            ending = "." + suffix.removeprefix(".")
        name = rename(stem, ending) if rename else stem + ending
        if rename and is_image(place) and not is_image(Path(name)):
            raise UsageError(
                f"{image.source} would be written as {name}, which has no picture's ending.",
                "End --name with {ext}",
            )
        yield Job(image.source, folder / place.with_name(name))


def _goes_into_folder(found: Discovery, output: str, is_image: IsImage) -> bool:
    """Tell whether results go into `output` or to it; refuse what cannot hold them."""
    exists, is_folder = os.path.lexists(output), Path(output).is_dir()
    ends_open = output.endswith(("/", os.sep))
    names_image = not is_folder and not ends_open and is_image(place_of(output))
    if found.lone_file or (found.lone_match and names_image):
        return is_folder or ends_open
    if (exists and not is_folder) or names_image:
        what = "exists and is a file" if exists else "has an image file's name"
        raise UsageError(
            f"The output {output} {what}, but a folder or several files go into a folder.",
            "The last argument is the output: name a folder, which is created if missing.",
        )
    return True


def _drop_duplicates(found: Iterable[Job]) -> Packed[Job]:
    """Keep one job for an input that is given twice; refuse two inputs with one output."""
    jobs, seen = Packed[Job](), set[int]()
    for job in found:
        jobs.append(job)
        seen.add(hash(_key(job.destination)))  # which takes less than the name
    if len(seen) == len(jobs):
        return jobs  # nearly always
    kept: dict[str, Job] = {}
    clashes: list[tuple[Job, Job]] = []
    for job in jobs:
        first = kept.setdefault(_key(job.destination), job)
        if first is not job and not _same_file(first.source, job.source):
            clashes.append((first, job))
    if clashes:
        first, second = clashes[0]
        more = f" (and {len(clashes) - 1} more such)" if len(clashes) > 1 else ""
        raise UsageError(
            f"{first.source} and {second.source} would both be written to "
            f"{first.destination}{more}.",
            "Rename one of them, or leave out --format, --suffix or --name."
            if first.source.parent == second.source.parent
            else "Give the folder above both, so that its tree is mirrored.",
        )
    return Packed(kept.values())


def _key(path: Place) -> str:
    """Return what two paths share if they name one file."""
    if isinstance(path, Address):
        return path.url
    text = os.fspath(path)
    return unicodedata.normalize("NFC", text).casefold() if _FOLDS_NAMES else text


def _same_file(first: Place, second: Place) -> bool:
    if isinstance(first, Address) or isinstance(second, Address):
        return first == second
    try:
        return first == second or first.samefile(second)
    except OSError:
        return False


def _whole_outputs(jobs: Iterable[Job]) -> Iterator[Pair]:
    """Yield each job, and again if its output is there already and not empty.

    Raises `UsageError` in the end if an output is an input.
    """
    existing: set[int] = set()
    for job in jobs:
        status = _status(job.destination) if isinstance(job.destination, Path) else None
        if status is not None:
            existing.add(_identity(status))
        yield job, job if status is not None and status.st_size > 0 else None
    if existing:
        _refuse_inputs_as_outputs(jobs, existing)


def _whole_objects(jobs: Sequence[Job], output: Address) -> Iterator[Pair]:
    """Yield each job, and with what a listing tells if that names its output, and not as empty."""
    wanted, sources = {job.destination for job in jobs}, {job.source for job in jobs}
    if clash := next((place for place in wanted if place in sources), None):
        raise UsageError(f"The output {clash} is an input.", "Give another output.")
    lone = jobs[0].destination if len(jobs) == 1 else None
    if isinstance(lone, Address):  # whose folder, maybe a whole bucket, is not listed for it
        listed = [existing_object(lone)]
    else:
        listed = [found for found, _ in list_objects(output)]
    there: dict[Place, Address] = {
        found: found for found in listed if found and found.size != 0 and found in wanted
    }
    for job in jobs:
        found = there.get(job.destination)
        yield job, found and replace(job, destination=found)


def _check_lengths(jobs: Iterable[Job]) -> Iterator[Job]:
    """Yield the jobs; raise `UsageError` if a new ending makes a name too long for file systems."""
    measure = str if _FOLDS_NAMES else os.fsencode
    too_long, first = 0, ""
    for job in jobs:
        if len(measure(job.destination.name)) > _LONGEST_NAME:
            too_long, first = too_long + 1, first or job.destination.name
        yield job
    if too_long:
        more = f" (and {too_long - 1} more such)" if too_long > 1 else ""
        raise UsageError(
            f"The output's name would be longer than {_LONGEST_NAME} bytes: {first}{more}.",
            "Shorten the name, or leave out --format, --suffix or --name.",
        )


def _status(destination: Path) -> os.stat_result | None:
    """Return the status of what lies at a destination; refuse what no image can be written to."""
    try:
        status = destination.stat()
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UsageError(
            f"{destination} cannot be written: a part of its path is a file, not a folder.",
            "Move that file, or give another output folder.",
        ) from None
    except OSError as error:
        raise UsageError(
            f"{destination} cannot be written: {error.strerror}.", "Give another output."
        ) from error
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise UsageError(f"The output {destination} is {what}.", "Move it, or give another output.")
    return status


def _refuse_inputs_as_outputs(jobs: Iterable[Job], existing: set[int]) -> None:
    """Raise `UsageError` if a result would replace any input, whatever link leads to it."""
    for source in (job.source for job in jobs if isinstance(job.source, Path)):
        try:
            identity = _identity(source.stat())
        except OSError:  # gone since it was listed; reading it will say so
            continue
        if identity in existing:
            output = next(job.destination for job in jobs if _leads_to(job.destination, identity))
            raise UsageError(
                f"The output {output} is the input {source}.",
                "Give another output, or --in-place alone to replace the inputs.",
            )


def _leads_to(place: Place, identity: int) -> bool:
    status = _status(place) if isinstance(place, Path) else None
    return status is not None and _identity(status) == identity


def _identity(status: os.stat_result) -> int:
    """Return a number that only what leads to one file shares."""
    return status.st_dev << 64 | status.st_ino
