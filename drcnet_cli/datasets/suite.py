"""The published test sets: what each is, how it is scored, and finding it on disk.

Numbers of pictures are those of the release that published results are measured on, and protocols
those of the DRCNet paper's released code (`options/test`), where it has the set:

* Rain: BT.601 luma, not rounded, and SSIM with edges repeated, of 8-bit results. Test100 has 98
  pairs in the release of MPRNet, which keeps to MSPFN's, though tables give 100 (MPRNet, issue 23);
  Test2800's release once had an input twice (same issue), here left out for want of a partner.
* SIDD: RGB of float results; `3d` SSIM, as MATLAB's `ssim` of an RGB array, which MPRNet's
  `evaluate_SIDD.m` and `evaluate_GOPRO_HIDE.m` call. GoPro and HIDE: the same of 8-bit results.
* RealBlur: see `drcnet_cli.evaluation.align`. 3758 of its pairs are for training, 980 for testing.
* Gaussian noise: `numpy.random.default_rng((seed, index)).normal(0, sigma, shape)` is added to
  8-bit values, neither rounded nor clipped; `index` counts the sorted pictures from 0.
* Kodak24, blurred: the picture that `drcnet degrade --task blur` makes with the same seed. Ours, so
  that nothing is published for it.
* PolyU: 100 crops of 512 x 512 (`CroppedImages`: 200 files).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from drcnet_cli.datasets import layouts
from drcnet_cli.datasets import matlab_sets as matsets
from drcnet_cli.datasets.case import Array, Case, Protocol, Suite
from drcnet_cli.datasets.layouts import Finder, Found
from drcnet_cli.datasets.pairs import match_folders
from drcnet_cli.degrade.folder import degrade_pixels, rng_for
from drcnet_cli.errors import UsageError

SIGMAS = (15, 25, 50)

_RAIN = Protocol(psnr_channel="y", ssim_channel="y", ssim_variant="replicate")
_BLUR = Protocol(ssim_variant="3d")


@dataclass(frozen=True)
class Benchmark:
    """A published test set.

    `count`: its number of pictures as published, None if nothing is published. `where`: how to get
    it and the folder it should be in. `folders`: names of the folder it is found in, upper and
    lower case being the same. `sigma`: of the Gaussian noise that is added, in 0..255.
    `degradation`: the kind that `drcnet degrade` makes the degraded pictures with. `public`:
    whether its targets are; without, results can only be submitted.
    """

    name: str
    title: str
    task: str
    count: int | None
    protocol: Protocol
    where: str
    folders: tuple[str, ...]
    finders: tuple[Finder, ...] = (layouts.paired_folders,)
    sigma: int | None = None
    degradation: str = ""
    public: bool = True


def find_suite(benchmark: Benchmark, root: Path, *, seed: int = 0) -> Suite:
    """Find a set in or below `root`, and note where it differs from the published one.

    `seed` is that of the Gaussian noise. Raises UsageError, with where to get the set and the
    folder it should be in, if it isn't there, and ImageError for a damaged MATLAB file.
    """
    if not root.is_dir():
        raise UsageError(f"There is no folder {root}.", f"{benchmark.where} Then: --data-root DIR")
    # A folder of the set's name wins over one that merely holds pictures.
    places = sorted(_places(benchmark, root), key=lambda place: not place[1])
    if not places:
        raise UsageError(
            f"{benchmark.title} is not in {root}.", f"{benchmark.where} Then: --data-root DIR"
        )
    suite = places[0][0].suite()
    if benchmark.sigma is not None:
        suite = with_noise(suite, benchmark.sigma, seed)
    if benchmark.degradation:
        suite = degraded_suite(suite, benchmark.degradation, seed)
    if benchmark.count in (None, len(suite.cases)):
        return suite
    note = (
        f"{benchmark.title} has {benchmark.count} pictures as published; here are "
        f"{len(suite.cases)}: its means will not compare with published ones."
    )
    return replace(suite, notes=(*suite.notes, note))


def available(root: Path) -> tuple[Benchmark, ...]:
    """Give the sets below `root` whose targets are public, in the table's order.

    A set counts where a folder is called like it or files have names that only it has.
    """
    return tuple(
        benchmark
        for benchmark in BENCHMARKS.values()
        if benchmark.public
        and root.is_dir()
        and any(certain for _, certain in _places(benchmark, root))
    )


def benchmarks_named(name: str) -> tuple[Benchmark, ...]:
    """Give the set, or the sets of the group, of this name; raises UsageError listing all names.

    Upper and lower case are the same, and so are `_` and `-`.
    """
    key = name.lower().replace("_", "-")
    if key in BENCHMARKS:
        return (BENCHMARKS[key],)
    if key in GROUPS:
        return tuple(BENCHMARKS[member] for member in GROUPS[key])
    raise UsageError(
        f"There is no data set {name!r}.",
        f"Choose from {', '.join(BENCHMARKS)}; several at once: {', '.join(GROUPS)}.",
    )


def pairs_suite(lq: Path, gt: Path) -> Suite:
    """Make a suite of any two folders, matched by name; raises UsageError if no pair is found."""
    return layouts.suite_of(match_folders(lq, gt), f"{lq} and {gt}")


def with_noise(suite: Suite, sigma: float, seed: int) -> Suite:
    """Replace the degraded pictures by the targets with seeded Gaussian noise, float32."""

    def noisy(index: int, case: Case) -> Case:
        def load() -> tuple[Array, Array | None]:
            _, target = case.load()
            if target is None:
                return case.load()
            noise = np.random.default_rng((seed, index)).normal(0, sigma, target.shape)
            return ((target + noise) / 255).astype(np.float32), target

        return Case(case.name, load)

    return replace(suite, cases=tuple(noisy(*item) for item in enumerate(suite.cases)))


def degraded_suite(suite: Suite, kind: str, seed: int) -> Suite:
    """Degrade the targets: the pictures that `drcnet degrade --kind KIND --seed SEED` writes."""

    def degraded(case: Case) -> Case:
        def load() -> tuple[Array, Array | None]:
            _, target = case.load()
            if target is None:
                return case.load()
            return degrade_pixels(target, kind, rng_for(seed, case.name))

        return Case(case.name, load)

    return replace(suite, cases=tuple(map(degraded, suite.cases)))


def _places(benchmark: Benchmark, root: Path) -> Iterator[tuple[Found, bool]]:
    """Give each layout of a set that is there, and whether it is this set's for certain."""
    for folder, named in layouts.candidates(root, benchmark.folders):
        for finder in benchmark.finders:
            if found := finder(folder):
                yield found, named or found.sure


def _rain(title: str, count: int, *finders: Finder) -> Benchmark:
    return Benchmark(
        title.lower(),
        title,
        "derain",
        count,
        _RAIN,
        "Get the test sets that MPRNet and Restormer link in their README (Deraining), and put "
        f"{title}'s pairs into DIR/{title}/input and DIR/{title}/target.",
        (title,),
        (layouts.paired_folders, *finders),
    )


def _noise(title: str, count: int, source: str, *folders: str) -> list[Benchmark]:
    return [
        Benchmark(
            f"{title.lower()}-{sigma}",
            f"{title}, sigma {sigma}",
            "denoise",
            count,
            Protocol(),
            f"Get {source}, and put the {count} clean pictures into DIR/{title}.",
            (title, *folders),
            (layouts.clean_pictures,),
            sigma,
        )
        for sigma in SIGMAS
    ]


def _realblur(letter: str) -> Benchmark:
    return Benchmark(
        f"realblur-{letter.lower()}",
        f"RealBlur-{letter}",
        "deblur",
        980,
        Protocol(aligned=True),
        "Get RealBlur from the page of Rim et al., ECCV 2020 (POSTECH), and unpack it into "
        f"DIR/RealBlur, with RealBlur_{letter}_test_list.txt beside the folders of scenes.",
        (f"realblur-{letter}", f"realblur_{letter}", f"realblur{letter}"),
        (layouts.realblur_list(letter), layouts.paired_folders),
    )


_SIDD_PAGE = "from the Smartphone Image Denoising Dataset's page (York University)"

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        _rain("Test100", 98),
        _rain("Rain100H", 100, layouts.rain100_original),
        _rain("Rain100L", 100, layouts.rain100_original),
        _rain("Test2800", 2800),
        _rain("Test1200", 1200),
        Benchmark(
            "sidd",
            "SIDD validation",
            "denoise",
            1280,
            Protocol(ssim_variant="3d", rounded=False),
            f"Get ValidationNoisyBlocksSrgb.mat and ValidationGtBlocksSrgb.mat {_SIDD_PAGE}, and "
            "put both into DIR/SIDD.",
            ("sidd", "sidd_validation_srgb", "sidd_validation", "sidd_val"),
            (matsets.sidd_validation, layouts.paired_crops),
        ),
        Benchmark(
            "sidd-benchmark",
            "SIDD benchmark",
            "denoise",
            1280,
            Protocol(ssim_variant="3d", rounded=False),
            f"Get BenchmarkNoisyBlocksSrgb.mat {_SIDD_PAGE}, and put it into DIR/SIDD.",
            ("sidd", "sidd_benchmark_srgb", "sidd_benchmark"),
            (matsets.sidd_benchmark,),
            public=False,
        ),
        Benchmark(
            "sidd-samples",
            "SIDD samples",
            "denoise",
            None,
            Protocol(),
            "Put pairs of your choice from SIDD into DIR/SIDD_samples/input and "
            "DIR/SIDD_samples/target.",
            ("sidd_samples", "sidd-samples"),
        ),
        Benchmark(
            "dnd",
            "DND",
            "denoise",
            1000,
            Protocol(ssim_variant="3d", rounded=False),
            "Get the Darmstadt Noise Dataset (TU Darmstadt), and put its info.mat and images_srgb "
            "into DIR/DND.",
            ("dnd", "dnd_2017"),
            (matsets.dnd,),
            public=False,
        ),
        Benchmark(
            "polyu",
            "PolyU",
            "denoise",
            100,
            Protocol(),
            "Get CroppedImages from csjunxu/PolyU-Real-World-Noisy-Images-Dataset on GitHub, and "
            "put it into DIR/PolyU.",
            (
                "polyu",
                "croppedimages",
                "polyu-real-world-noisy-images-dataset",
                "polyu-real-world-noisy-images-dataset-master",
            ),
            (layouts.paired_folders, layouts.polyu_original),
        ),
        Benchmark(
            "gopro",
            "GoPro",
            "deblur",
            1111,
            _BLUR,
            "Get GOPRO_Large from the page of Nah, Kim and Lee, CVPR 2017 (Seoul National "
            "University), and unpack it into DIR/GOPRO_Large.",
            ("gopro", "gopro_large"),
            (layouts.paired_folders, layouts.gopro_scenes),
        ),
        Benchmark(
            "gopro-sample",
            "GoPro sample",
            "deblur",
            None,
            _BLUR,
            "Put pairs of your choice from GoPro into DIR/GoPro_sample/input and "
            "DIR/GoPro_sample/target.",
            ("gopro_sample", "gopro-sample"),
        ),
        Benchmark(
            "hide",
            "HIDE",
            "deblur",
            2025,
            _BLUR,
            "Get HIDE from joanshen0508/HA_deblur on GitHub, and unpack it into DIR/HIDE_dataset.",
            ("hide", "hide_dataset"),
            (layouts.paired_folders, layouts.hide_original),
        ),
        _realblur("J"),
        _realblur("R"),
        *_noise("CBSD68", 68, "CBSD68 (clausmichele/CBSD68-dataset on GitHub)", "cbsd68-dataset"),
        *_noise("Kodak24", 24, "the Kodak Lossless True Color Image Suite (r0k.us)", "kodak"),
        Benchmark(
            "kodak24-blur",
            "Kodak24, blurred",
            "deblur",
            24,
            Protocol(),
            "Get the Kodak Lossless True Color Image Suite (r0k.us), and put the 24 clean pictures "
            "into DIR/Kodak24.",
            ("kodak24", "kodak"),
            (layouts.clean_pictures,),
            degradation="blur",
        ),
        *_noise("McMaster", 18, "McMaster from the page of Zhang et al., JEI 2011", "mcm"),
        *_noise("Urban100", 100, "Urban100 from the page of Huang et al., CVPR 2015"),
    )
}

GROUPS: dict[str, tuple[str, ...]] = {
    "rain": ("test100", "rain100h", "rain100l", "test2800", "test1200"),
    "realblur": ("realblur-j", "realblur-r"),
    **{
        name: tuple(f"{name}-{sigma}" for sigma in SIGMAS)
        for name in ("cbsd68", "kodak24", "mcmaster", "urban100")
    },
}
