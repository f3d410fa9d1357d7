"""The published test sets by name: what each is, and how it is scored.

Numbers of pictures are those of the release that published results are measured on, and protocols
those of the DRCNet paper's released code (`options/test`), where it has the set:

* Rain: BT.601 luma, not rounded, and SSIM with edges repeated, of 8-bit results. Test100 has 98
  pairs in the release of MPRNet, which keeps to MSPFN's, though tables give 100 (MPRNet, issue 23);
  Test2800's release once had an input twice (same issue), here left out for want of a partner.
* SIDD: RGB of float results; `3d` SSIM, as MATLAB's `ssim` of an RGB array, which MPRNet's
  `evaluate_SIDD.m` and `evaluate_GOPRO_HIDE.m` call. GoPro and HIDE: the same of 8-bit results.
* RealBlur: see `drcnet_cli.evaluation.align`. 3758 of its pairs are for training, 980 for testing.
* Gaussian noise: `numpy.random.default_rng((seed, index)).normal(0, sigma, shape)` is added to
  8-bit values, neither rounded nor clipped; `index` counts the sorted pictures from 0. Varying
  noise (AirNet, section 4.5) is the same with another sigma in each quarter of a picture.
* Kodak24, blurred: the picture that `drcnet degrade --task blur` makes with the same seed. Ours, so
  that nothing is published for it.
* Levin: four gray pictures by eight shakes of a real camera, whose targets lie a little beside the
  results: aligned as RealBlur's. Publications compare by error ratios, which need the kernels.
* SOTS, O-HAZE and NH-HAZE: RGB of 8-bit results. AirNet's tables have SOTS' outdoor part, and
  Rain100L on RGB: a set of its own, of the pictures of the other.
* Raindrops: luma over the full range, rounded, and SSIM with a 7 x 7 window of equal weights, as in
  `metrics.py` of the data set's own code (rui1996/DeRaindrop). Shadows: Lab (see `Protocol`).
* PolyU: 100 crops of 512 x 512 (`CroppedImages`: 200 files).
"""

from dataclasses import replace
from pathlib import Path

from drcnet_cli.datasets import layouts, matlab
from drcnet_cli.datasets.hybrid_sets import HYBRID_SETS, LEVELS, QUALITIES
from drcnet_cli.datasets.search import Finder
from drcnet_cli.datasets.suite import CONTAINERS, TestSet
from drcnet_cli.degrade.noise import VARYING
from drcnet_cli.errors import UsageError
from drcnet_cli.tasks import ANY_DAMAGE, TASKS, Protocol

SIGMAS = (15, 25, 50)

_BLUR = Protocol(ssim_variant="3d")
_BLOCKS = Protocol(ssim_variant="3d", rounded=False)


def available(root: Path) -> tuple[TestSet, ...]:
    """Return the sets below `root` whose targets are public, in the table's order.

    A set counts where a folder is called like it or files have names that only it has.
    """
    return tuple(
        test_set
        for test_set in TEST_SETS.values()
        if test_set.public
        and any(named or found.sure for found, named in test_set.find(root, CONTAINERS))
    )


def sets_named(name: str) -> tuple[TestSet, ...]:
    """Return the set, or the sets of the group, of this name; raises UsageError listing all names.

    Upper and lower case are the same, and so are `_` and `-`.
    """
    key = name.lower().replace("_", "-")
    if key in TEST_SETS:
        return (TEST_SETS[key],)
    if key in GROUPS:
        return tuple(TEST_SETS[member] for member in GROUPS[key])
    raise UsageError(
        f"There is no data set {name!r}.",
        f"Choose from {', '.join(TEST_SETS)}; several at once: {', '.join(GROUPS)}.",
    )


def _rain(title: str, count: int, *finders: Finder) -> TestSet:
    return TestSet(
        title.lower(),
        title,
        "derain",
        count,
        "Get the test sets that MPRNet and Restormer link in their README (Deraining), and put "
        f"{title}'s pairs into DIR/{title}/input and DIR/{title}/target.",
        (title,),
        (layouts.paired_folders, *finders),
        TASKS["derain"].protocol,
    )


def _noise(title: str, count: int, source: str, *folders: str) -> list[TestSet]:
    return [
        TestSet(
            f"{title.lower()}-{sigma}",
            f"{title}, sigma {sigma}",
            "denoise",
            count,
            f"Get {source}, and put the {count} clean pictures into DIR/{title}.",
            (title, *folders),
            (layouts.clean_pictures,),
            sigma=sigma,
        )
        for sigma in SIGMAS
    ]


def _raindrop(letter: str, count: int) -> TestSet:
    return TestSet(
        f"raindrop-{letter}",
        f"Raindrop test {letter}",
        "raindrop",
        count,
        "Get the raindrop data set of Qian et al., CVPR 2018 (rui1996/DeRaindrop on GitHub), and "
        f"put its test_{letter} (data and gt) into DIR/raindrop_data.",
        ("raindrop_data", "raindrop", "agan", f"test_{letter}"),
        (layouts.raindrop_scenes(f"test_{letter}"),),
        TASKS["raindrop"].protocol,
    )


def _shadow(name: str, title: str, count: int, where: str, finder: Finder, *own: str) -> TestSet:
    return TestSet(
        name, title, "deshadow", count, where, (name, *own), (finder,), TASKS["deshadow"].protocol
    )


def _cbsd68() -> list[TestSet]:
    """Return BSD68 with noise of one level, and with AirNet's four levels in a picture."""
    whole = _noise("CBSD68", 68, "CBSD68 (clausmichele/CBSD68-dataset on GitHub)", "cbsd68-dataset")
    title = f"CBSD68, sigma {VARYING[0]} to {VARYING[-1]} in quarters"
    return [*whole, replace(whole[0], name="cbsd68-varying", title=title, sigma=VARYING)]


def _realblur(letter: str) -> TestSet:
    listing = f"RealBlur_{letter}_test_list.txt"
    return TestSet(
        f"realblur-{letter.lower()}",
        f"RealBlur-{letter}",
        "deblur",
        980,
        "Get RealBlur from the page of Rim et al., ECCV 2020 (POSTECH), and unpack it into "
        f"DIR/RealBlur, with {listing} beside the folders of scenes.",
        (f"realblur-{letter}", f"realblur_{letter}", f"realblur{letter}"),
        (layouts.listed_pairs(listing), layouts.paired_folders),
        Protocol(aligned=True),
    )


def _sots(part: str, *folders: str) -> TestSet:
    return TestSet(
        f"sots-{part}",
        f"SOTS {part}",
        "dehaze",
        500,
        "Get SOTS from the page of Li et al., TIP 2019 (RESIDE-standard), and put its "
        f"{part} part's folders hazy and gt into DIR/SOTS/{part}.",
        (part, f"sots_{part}", f"sots-{part}", f"reside-{part}", *folders),
        (layouts.hazy_folders,),
    )


_SIDD_PAGE = "from the Smartphone Image Denoising Dataset's page (York University)"

TEST_SETS: dict[str, TestSet] = {
    test_set.name: test_set
    for test_set in (
        _rain("Test100", 98),
        _rain("Rain100H", 100, layouts.rain100_original),
        _rain("Rain100L", 100, layouts.rain100_original),
        replace(
            _rain("Rain100L", 100, layouts.rain100_original),
            name="rain100l-rgb",
            title="Rain100L on RGB",
            task=ANY_DAMAGE,
            protocol=Protocol(),
        ),
        _rain("Test2800", 2800),
        _rain("Test1200", 1200),
        TestSet(
            "sidd",
            "SIDD validation",
            "denoise",
            1280,
            f"Get ValidationNoisyBlocksSrgb.mat and ValidationGtBlocksSrgb.mat {_SIDD_PAGE}, and "
            "put both into DIR/SIDD.",
            ("sidd", "sidd_validation_srgb", "sidd_validation", "sidd_val"),
            (matlab.sidd_validation, layouts.validation_crops),
            _BLOCKS,
        ),
        TestSet(
            "sidd-benchmark",
            "SIDD benchmark",
            "denoise",
            1280,
            f"Get BenchmarkNoisyBlocksSrgb.mat {_SIDD_PAGE}, and put it into DIR/SIDD.",
            ("sidd", "sidd_benchmark_srgb", "sidd_benchmark"),
            (matlab.sidd_benchmark,),
            _BLOCKS,
            public=False,
        ),
        TestSet(
            "sidd-samples",
            "SIDD samples",
            "denoise",
            None,
            "Put pairs of your choice from SIDD into DIR/SIDD_samples/input and "
            "DIR/SIDD_samples/target.",
            ("sidd_samples", "sidd-samples"),
        ),
        TestSet(
            "dnd",
            "DND",
            "denoise",
            1000,
            "Get the Darmstadt Noise Dataset (TU Darmstadt), and put its info.mat and images_srgb "
            "into DIR/DND.",
            ("dnd", "dnd_2017"),
            (matlab.dnd,),
            _BLOCKS,
            public=False,
        ),
        TestSet(
            "polyu",
            "PolyU",
            "denoise",
            100,
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
        TestSet(
            "gopro",
            "GoPro",
            "deblur",
            1111,
            "Get GOPRO_Large from the page of Nah, Kim and Lee, CVPR 2017 (Seoul National "
            "University), and unpack it into DIR/GOPRO_Large.",
            ("gopro", "gopro_large"),
            (layouts.paired_folders, layouts.gopro_scenes("test")),
            _BLUR,
        ),
        TestSet(
            "gopro-sample",
            "GoPro sample",
            "deblur",
            None,
            "Put pairs of your choice from GoPro into DIR/GoPro_sample/input and "
            "DIR/GoPro_sample/target.",
            ("gopro_sample", "gopro-sample"),
            protocol=_BLUR,
        ),
        TestSet(
            "gopro-pairs",
            "GoPro pairs",
            "deblur",
            None,
            "Put pairs that were published as samples of GoPro into DIR/GoPro_pairs/input and "
            "DIR/GoPro_pairs/target.",
            ("gopro_pairs", "gopro-pairs"),
            protocol=_BLUR,
        ),
        TestSet(
            "levin",
            "Levin",
            "deblur",
            32,
            "Get the 32 pictures of Levin et al., CVPR 2009, as PNG into DIR/Levin/input and "
            "DIR/Levin/target.",
            ("levin", "levin09"),
            protocol=Protocol(aligned=True),
        ),
        TestSet(
            "hide",
            "HIDE",
            "deblur",
            2025,
            "Get HIDE from joanshen0508/HA_deblur on GitHub, and unpack it into DIR/HIDE_dataset.",
            ("hide", "hide_dataset"),
            (layouts.paired_folders, layouts.hide_original),
            _BLUR,
        ),
        _realblur("J"),
        _realblur("R"),
        *_cbsd68(),
        *_noise("Kodak24", 24, "the Kodak Lossless True Color Image Suite (r0k.us)", "kodak"),
        TestSet(
            "kodak24-blur",
            "Kodak24, blurred",
            "deblur",
            24,
            "Get the Kodak Lossless True Color Image Suite (r0k.us), and put the 24 clean pictures "
            "into DIR/Kodak24.",
            ("kodak24", "kodak"),
            (layouts.clean_pictures,),
            degradation="blur",
        ),
        _raindrop("a", 58),
        _raindrop("b", 249),
        _shadow(
            "istd",
            "ISTD",
            540,
            "Get ISTD from the page of Wang et al., CVPR 2018 (DeepInsight-PCALab/ST-CGAN on "
            "GitHub), and unpack it into DIR/ISTD_Dataset.",
            layouts.istd_scenes("test"),
            "istd_dataset",
        ),
        _shadow(
            "istd-plus",
            "ISTD+",
            540,
            "Get the adjusted targets of Le and Samaras, ICCV 2019 (cvlab-stonybrook/SID on "
            "GitHub), and put test_C_fixed_official beside test_A in DIR/ISTD_Dataset/test.",
            layouts.istd_scenes("test", adjusted=True),
            "istd_dataset",
            "istd",
            *sorted(layouts.ADJUSTED),
        ),
        _shadow(
            "srd",
            "SRD",
            408,
            "Get SRD from the page of Qu et al., CVPR 2017 (DeshadowNet), and put its folders "
            "shadow and shadow_free into DIR/SRD/Test, masks (DHAN's) into DIR/SRD/Test/mask.",
            layouts.srd_scenes("test"),
        ),
        TestSet(
            "spanet",
            "SPANet",
            "derain",
            1000,
            "Get the test set of Wang et al., CVPR 2019 (stevewongv/SPANet on GitHub), and put "
            "real_test_1000 (rain and gt) into DIR/real_test_1000.",
            ("spanet", "real_test_1000", "spa-data"),
            (layouts.spanet_scenes,),
            TASKS["derain"].protocol,
        ),
        _sots("indoor", "nyuhaze500"),
        _sots("outdoor"),
        TestSet(
            "o-haze",
            "O-HAZE",
            "dehaze",
            45,
            "Get O-HAZE from the page of Ancuti et al., CVPRW 2018 (NTIRE), and put its folders "
            "hazy and GT into DIR/O-HAZE.",
            ("o-haze", "o_haze", "ohaze", "# o-hazy ntire 2018"),
            (layouts.hazy_folders,),
        ),
        TestSet(
            "nh-haze",
            "NH-HAZE",
            "dehaze",
            55,
            "Get NH-HAZE from the page of Ancuti et al., CVPRW 2020 (NTIRE), and put its pictures "
            "(01_hazy.png, 01_GT.png, ...) into DIR/NH-HAZE.",
            ("nh-haze", "nh_haze", "nhhaze"),
            (layouts.nh_haze_original, layouts.hazy_folders),
        ),
        *_noise("McMaster", 18, "McMaster from the page of Zhang et al., JEI 2011", "mcm"),
        *_noise("Urban100", 100, "Urban100 from the page of Huang et al., CVPR 2015"),
        *HYBRID_SETS,
    )
}

GROUPS: dict[str, tuple[str, ...]] = {
    "rain": ("test100", "rain100h", "rain100l", "test2800", "test1200"),
    "realblur": ("realblur-j", "realblur-r"),
    "raindrop": ("raindrop-a", "raindrop-b"),
    "shadow": ("istd", "istd-plus", "srd"),
    "sots": ("sots-indoor", "sots-outdoor"),
    "rlrestore": tuple(f"rlrestore-{level}" for level in LEVELS),
    "kodak24-hybrid": tuple(f"kodak24-hybrid-{level}" for level in LEVELS),
    "kodak24-jpeg": tuple(f"kodak24-jpeg-{quality}" for quality in QUALITIES),
    # AirNet's table 4, whose mean is published.
    "airnet": ("cbsd68-15", "cbsd68-25", "cbsd68-50", "rain100l-rgb", "sots-outdoor"),
    **{
        name: tuple(f"{name}-{sigma}" for sigma in SIGMAS)
        for name in ("cbsd68", "kodak24", "mcmaster", "urban100")
    },
}

# What networks for any damage are measured on without being asked for more: AirNet's tables.
ALL_IN_ONE = (*GROUPS["airnet"], "cbsd68-varying")
