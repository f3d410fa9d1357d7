"""The task table: all that is said of a task, once. Light: imports neither numpy nor torch.

A task is added by an entry here and its degradations in `drcnet_cli.degrade`. Which checkpoint is a
task's default is the manifest's to say (`weights.json`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drcnet_cli.metrics import Channel, SsimVariant


@dataclass(frozen=True)
class Protocol:
    """How a restored picture is compared with its target.

    `rounded`: results are rounded to 8 bits first. `aligned`: the result is brought onto its
    target by a homography first, and compared where the two overlap (RealBlur). `lab`: where there
    are masks, the difference in CIE Lab is measured in the shadow, outside and of all, which papers
    call RMSE (see `drcnet_cli.evaluation.regions`).
    """

    psnr_channel: "Channel" = "rgb"
    ssim_channel: "Channel" = "rgb"
    ssim_variant: "SsimVariant" = "valid"
    rounded: bool = True
    aligned: bool = False
    lab: bool = False


@dataclass(frozen=True)
class Task:
    """One kind of damage to photographs: `noun` is what is removed.

    `kinds`: the degradations that make it; the first is the mix to train on, and what `drcnet
    degrade` calls the task. `training_sets`: published pairs to train on. `protocol`: how pairs of
    one's own are scored: as published for the task's best-known set. `keeps_flat`: a surface of one
    exact value has nothing of the damage, so that it stays as it is. `is_fine`: the damage is known
    by a few pixels, so that large pictures' tiles need overlap less. `small_side`: the damage is so
    smooth that it is mended in a copy of so many pixels along its longer side; 0: it is not.
    `small_radius`: over how many of these what changed is fitted, less where edges are sharp; 0: it
    is added as it is.
    """

    name: str
    noun: str
    kinds: tuple[str, ...]
    training_sets: tuple[str, ...] = ()
    protocol: Protocol = Protocol()
    keeps_flat: bool = True
    is_fine: bool = False
    small_side: int = 0
    small_radius: int = 16

    @property
    def degradation(self) -> str:
        """The mix of degradations that the task's networks are trained on."""
        return self.kinds[0]


ANY_DAMAGE = "auto"  # the task of networks that serve any other task's pictures
# What it chooses from: by what share of a picture's likely kinds each must be called for, in the
# order in which they restore: noise comes last in a picture's life, haze and blur come first. These
# two change sound pictures the most (clean ones come back at 25 to 36 dB), so that there must be
# little doubt.
CERTAIN = {"denoise": 0.5, "derain": 0.5, "deblur": 0.99, "dehaze": 0.99}

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "derain",
            "rain",
            ("rain", "rain-light", "rain-heavy"),
            ("rain13k", "rain100l", "spanet-train", "did-mdn-train"),
            Protocol("y", "y", "replicate"),
        ),
        Task(
            "denoise",
            "noise",
            (
                *("noise", "gaussian", "gaussian-15", "gaussian-25", "gaussian-50"),
                *("gaussian-varying", "camera"),
            ),
            ("sidd", "bsd400", "wed"),
            is_fine=True,
        ),
        Task(
            "deblur",
            "motion blur",
            ("blur", "blur-light", "blur-heavy", "blur-video"),
            ("gopro", "realblur"),
            is_fine=True,
        ),
        Task(
            "dehaze",
            "haze",
            ("haze",),
            ("reside-ots", "reside-its"),
            keeps_flat=False,
            small_side=512,
        ),
        Task(
            "raindrop",
            "drops on the lens",
            ("raindrop", "raindrop-light", "raindrop-heavy"),
            ("raindrop-train",),
            Protocol("yfull8", "yfull8", "uniform"),
            small_side=768,
            small_radius=0,
        ),
        # An even wall may lie in the shadow as a whole.
        Task(
            "deshadow",
            "shadows",
            ("shadow", "shadow-hard", "shadow-soft"),
            ("istd-train", "istd-plus-train", "srd-train"),
            Protocol(lab=True),
            keeps_flat=False,
            small_side=768,
            small_radius=8,
        ),
        Task(
            "hybrid",
            "blur, noise and compression, together or alone",
            (
                *("hybrid", "hybrid-mild", "hybrid-moderate", "hybrid-severe"),
                *("jpeg-10", "jpeg-20", "jpeg-40"),
            ),
            ("rlrestore-train",),
            Protocol(ssim_variant="uniform", rounded=False),
        ),
        # One network for all takes an even gray for fog, and most even surfaces are drawn.
        Task(
            ANY_DAMAGE,
            "noise, rain, haze or blur, whichever there is",
            ("airnet5",),
            ("airnet5",),
        ),
    )
}


def tasks_of_kind(kind: str) -> tuple[str, ...]:
    """Return the tasks that undo a kind of degradation, what came last first; none for unknown.

    `rain+noise`, rain and then noise, is for denoise and then derain.
    """
    by_kind = {kind: task.name for task in TASKS.values() for kind in task.kinds}
    tasks = (by_kind.get(part) for part in reversed(kind.split("+")))
    return tuple(task for task in tasks if task is not None)


def either(names: "list[str] | tuple[str, ...]") -> str:
    """Write names as a choice: `rain, noise or blur`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
