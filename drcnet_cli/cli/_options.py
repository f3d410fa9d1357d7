"""Options declared once, and what commands read from them: a flag means the same in each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcnet_cli import settings
from drcnet_cli.errors import UsageError
from drcnet_cli.tasks import TASKS
from drcnet_cli.weights.manifest import FAST, load_manifest

if TYPE_CHECKING:
    from drcnet_cli.imageio.transparency import Colour
    from drcnet_cli.parallel.cluster import ClusterOptions
    from drcnet_cli.restore.tiling import TileOptions


def complete_task(incomplete: str) -> list[str]:
    """Offer the tasks that begin so, to a shell."""
    return [name for name in TASKS if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Offer the checkpoints whose names begin so, to a shell."""
    return [name for name in load_manifest().names if name.startswith(incomplete)]


def complete_test_sets(incomplete: str) -> list[str]:
    """Offer the data sets and groups to measure on that begin so, after a comma too."""
    from drcnet_cli.datasets.evaluation_sets import GROUPS, TEST_SETS

    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in (*TEST_SETS, *GROUPS) if name.startswith(last)]


JsonOption = Annotated[
    bool, typer.Option("--json", help="Print machine-readable JSON on standard output.")
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no notes; errors only.")
]
TaskOption = Annotated[
    str | None,
    typer.Option(
        "--task",
        "-t",
        metavar="|".join(TASKS),
        help="What to remove.",
        autocompletion=complete_task,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME",
        help="A checkpoint of `drcnet weights list`.",
        autocompletion=complete_model,
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", "-w", metavar="FILE", help="A .safetensors checkpoint of your own."),
]
EffortOption = Annotated[
    str,
    typer.Option(
        "--effort", metavar="fast|best", help="Which of the task's checkpoints: best takes longer."
    ),
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="auto|cpu|cuda|cuda:N|mps", help="Where to compute.")
]
DevicesOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:N|cuda:all|mps",
        help="Where to compute; cuda:all or a list (cuda:0,cuda:2): a process for each.",
    ),
]
JobsOption = Annotated[
    str | None,
    typer.Option(
        "--jobs",
        metavar="auto|N",
        help="Processes that share a CPU's cores; auto: as many as pay; default: one.",
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="auto|local|ray://HOST",
        help="Compute on a Ray cluster, or on all cores and GPUs here (local).",
    ),
]
SharedStorageOption = Annotated[
    bool,
    typer.Option(
        "--shared-storage", help="All nodes of --ray's cluster have these files, by these paths."
    ),
]
DtypeOption = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="auto|float32|bfloat16|float16",
        help="Number type; auto: bfloat16 where the hardware has it and no difference shows.",
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="torch|onnx|openvino",
        help="What computes; others than torch need an extra and use the CPU.",
    ),
]
TileOption = Annotated[
    str,
    typer.Option(
        "--tile",
        metavar="auto|0|N",
        help="Tile side in pixels, a multiple of 8; auto: the checkpoint's; 0: whole image.",
    ),
]
OverlapOption = Annotated[
    int | None, typer.Option("--overlap", metavar="N", help="Pixels that neighbour tiles share.")
]
BatchOption = Annotated[
    str,
    typer.Option("--batch", metavar="auto|N", help="Tiles per batch; auto: what memory allows."),
]
EnsembleOption = Annotated[
    bool,
    typer.Option(
        "--ensemble", help="Average each tile and its mirror images: a little better, 4x slower."
    ),
]
HalfOption = Annotated[
    bool, typer.Option("--half", help="Weights as float16: half the size, rounded.")
]
HubRepoOption = Annotated[
    str | None,
    typer.Option(
        "--hub-repo",
        metavar="OWNER/NAME",
        help="Hub repository that serves checkpoints (default: $DRCNET_HUB_REPO).",
    ),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Never use the network: bundled and cached files only.")
]


FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        metavar="png|jpg|webp|tiff|...",
        help="Format of the outputs; default: as the output's name says, else the input's.",
    ),
]
QualityOption = Annotated[
    int | None, typer.Option(min=1, max=100, help="JPEG, WebP or AVIF quality, 1 to 100.")
]
CrfOption = Annotated[
    int | None,
    typer.Option(
        "--crf",
        metavar="N",
        min=0,
        max=51,
        help="Quality of videos, 0 (best) to 51 (smallest); default: 18.",
    ),
]
SuffixOption = Annotated[
    str,
    typer.Option(
        "--suffix", metavar="TEXT", help="Put before the ending of names in an output folder."
    ),
]
NameOption = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="PATTERN",
        help="Names in an output folder, as '{stem}_{task}{ext}'; {model} is the checkpoint's.",
    ),
]
StripMetadataOption = Annotated[
    bool, typer.Option("--strip-metadata", help="Leave out EXIF, XMP, resolution and text.")
]
KeepDatesOption = Annotated[
    bool, typer.Option("--keep-dates", help="Give outputs their input's date of modification.")
]
UpdateOption = Annotated[
    bool,
    typer.Option(
        "--update", help="Redo outputs older than their inputs or made with other settings."
    ),
]
FloatRangeOption = Annotated[
    float | None,
    typer.Option(
        "--float-range",
        metavar="MAX",
        help="The value of white in floating-point inputs; default: 1, others are refused.",
    ),
]
PagesOption = Annotated[
    str | None,
    typer.Option(
        "--pages",
        metavar="1,3-5",
        help="Which pictures of an animation or a file of pages; all without it.",
        show_default=False,
    ),
]
BackgroundOption = Annotated[
    str | None,
    typer.Option(
        "--background",
        metavar="COLOUR",
        help="What transparency is laid on where the format holds none, as white or #ffcc00.",
    ),
]
StrengthOption = Annotated[
    float,
    typer.Option(
        "--strength",
        metavar="0..1",
        min=0,
        max=1,
        help="How much of the restored picture; the rest is the input's.",
    ),
]


KeepGrainOption = Annotated[
    float,
    typer.Option(
        "--keep-grain",
        metavar="0..1",
        min=0,
        max=1,
        help="For denoise: how much of the grain comes back, without its colour.",
    ),
]
ExpertOption = Annotated[
    bool,
    typer.Option(
        "--auto-expert/--auto-one",
        help="For auto: the checkpoint made for what is wrong restores, or one for all.",
    ),
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="For auto: say what seems to be wrong with each picture.")
]


def _use_threads(count: int | None) -> int | None:
    if count is not None:
        settings.use_threads(count)
    return count


ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        callback=_use_threads,
        help="Threads that compute on a CPU, in all; default: what torch or OpenCV chooses.",
    ),
]


def parse_background(colour: str | None) -> "Colour | None":
    """Read --background; raise UsageError for what is no colour."""
    if colour is None:
        return None
    from drcnet_cli.imageio import parse_colour

    return parse_colour(colour)


def parse_cluster(ray: str | None, shared_storage: bool) -> "ClusterOptions | None":
    """Read --ray and --shared-storage; raise UsageError for the second alone."""
    from drcnet_cli.parallel.cluster import ClusterOptions

    if ray is None and shared_storage:
        raise UsageError("--shared-storage is for --ray.", "Leave it out, or add --ray auto")
    return None if ray is None else ClusterOptions(ray, shared_storage)


def parse_workers(
    ray: str | None, shared_storage: bool, jobs: str | None, streams: bool
) -> "ClusterOptions | None":
    """Read --ray as `parse_cluster` does; raise UsageError where --ray or --jobs mean nothing."""
    cluster = parse_cluster(ray, shared_storage)
    if streams and (cluster is not None or jobs is not None):
        raise UsageError("--ray and --jobs are for files, not a stream (-).", "Leave them out")
    if cluster is not None and jobs is not None:
        raise UsageError("--ray decides on its workers itself.", "Leave out --jobs")
    return cluster


def choose_checkpoint(
    task: str | None, model: str | None, weights: Path | None, effort: str = FAST
) -> str | Path:
    """Return what names the checkpoint: a file, a name or a task.

    Raises UsageError without one and for contradictions, WeightsError for a task that no
    checkpoint takes this effort for.
    """
    if task is not None and task not in TASKS:
        raise UsageError(f"Unknown task {task!r}.", f"Use --task {', '.join(TASKS)}")
    if weights is not None and model is not None:
        raise UsageError("--weights and --model both name a checkpoint.", "Leave out either.")
    chosen = weights or model or task
    if chosen is None:
        raise UsageError(
            "Nothing says what to remove.",
            f"Add --task {', '.join(TASKS)} (or --weights FILE)",
        )
    if effort == FAST:
        return chosen
    if weights is not None or model is not None:
        raise UsageError("A checkpoint that is named has its effort.", "Leave out --effort.")
    return load_manifest().with_effort(str(task), effort).name


def parse_tiling(tile: str, overlap: int | None, batch: str) -> "TileOptions":
    """Read --tile, --overlap and --batch; raise UsageError for what is no number."""
    from drcnet_cli.restore.tiling import TileOptions

    sizes: list[int | None] = []
    for flag, text in (("--tile", tile), ("--batch", batch)):
        if text != "auto" and not text.isdecimal():
            raise UsageError(f"{flag} cannot be {text!r}.", f"Use {flag} auto or a number")
        sizes.append(None if text == "auto" else int(text))
    return TileOptions(tile=sizes[0], overlap=overlap, batch=sizes[1])
