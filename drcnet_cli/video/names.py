"""Which files are videos, by their names, and in which containers results are written."""

from drcnet_cli.errors import UsageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.plan import Job
from drcnet_cli.imageio import kind_of_name
from drcnet_cli.imageio.kinds import VIDEO

# FFmpeg's names of the containers that hold H.264 and time stamps of any spacing.
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Takes nearly every kind of sound and subtitles, wherever they come from.
_FOR_OTHERS = ".mkv"


def is_video_name(path: Place) -> bool:
    """Tell whether a file's name is that of a video, and videos can be read here."""
    return kind_of_name(path) is VIDEO and VIDEO.is_read


def is_video_job(job: Job) -> bool:
    """Tell whether a job's input is a video by its name, be it read here or not."""
    return kind_of_name(job.source) is VIDEO


def output_ending(path: Place) -> str | None:
    """Return the ending of an output in a folder: the video's own if it can be; None: no video."""
    if not is_video_name(path):
        return None
    return path.suffix if path.suffix.lower() in _CONTAINERS else _FOR_OTHERS


def container_of(path: Place) -> str:
    """Return FFmpeg's name of the container that an output's name says.

    Raises UsageError for a name that says none which is written.
    """
    if (found := _CONTAINERS.get(path.suffix.lower())) is None:
        endings = ", ".join(_CONTAINERS)
        raise UsageError(
            f"{path} is no name that a restored video can have.", f"End it with one of: {endings}"
        )
    return found
