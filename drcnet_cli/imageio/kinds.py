"""Pictures that take one more package to read, or that are not read at all: by name and by content.

They are pictures, so a folder's are counted and named; what they are is said with what helps.
"""

import importlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType

from drcnet_cli.errors import ImageError
from drcnet_cli.files.addresses import Place
from drcnet_cli.files.mistaken import GIT_LFS_POINTER


@dataclass(frozen=True)
class Kind:
    """A kind of picture: what users call it, its suffixes, and what reads it.

    `extra`: the extra of this package that installs `module`; None where nothing does.
    """

    name: str
    suffixes: frozenset[str]
    extra: str | None = None
    module: str = ""

    @property
    def is_read(self) -> bool:
        """Tell whether pictures of this kind can be read here."""
        return self.extra is not None and _is_installed(self.module)


def _kind(name: str, suffixes: str, extra: str | None = None, module: str = "") -> Kind:
    return Kind(name, frozenset(f".{suffix}" for suffix in suffixes.split()), extra, module)


HEIC = _kind("HEIC", "heic heif hif", "heic", "pillow_heif")
JXL = _kind("JPEG XL", "jxl", "jxl", "pillow_jxl")
RAW = _kind(
    "camera RAW",
    "3fr arw cr2 cr3 crw dcr dng erf fff iiq k25 kdc mef mos mrw nef nrw orf pef raf rw2 rwl sr2 "
    "srf srw x3f",
    "raw",
    "rawpy",
)
EXR, RADIANCE = _kind("OpenEXR", "exr"), _kind("Radiance HDR", "hdr")
PHOTOSHOP, GIMP = _kind("Photoshop", "psd psb"), _kind("GIMP", "xcf")
JPEG_XR, JPEG_LS = _kind("JPEG XR", "jxr wdp hdp"), _kind("JPEG-LS", "jls")
DDS = _kind("DirectDraw", "dds")
# No pictures, but what a folder of a camera's has beside them. TypeScript's .ts is none of these.
VIDEO = _kind(
    "video",
    "3gp asf avi dv flv m2ts m2v m4v mkv mov mp4 mpeg mpg mts mxf ogv vob webm wmv",
    "video",
    "av",
)
KINDS = (HEIC, JXL, RAW, EXR, RADIANCE, PHOTOSHOP, GIMP, JPEG_XR, JPEG_LS, DDS, VIDEO)

_BY_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}
_BY_START = (
    (b"\xff\x0a", JXL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", JXL),
    (b"IIRO", RAW), (b"IIRS", RAW), (b"MMOR", RAW),  # Olympus
    (b"IIU\0", RAW),  # Panasonic
    (b"FUJIFILMCCD-RAW", RAW),
    (b"II\x1a\0\0\0HEAPCCDR", RAW),  # Canon's first
    (b"FOVb", RAW), (b"\0MRM", RAW),  # Sigma, Minolta
    (b"v/1\x01", EXR),
    (b"#?RADIANCE", RADIANCE), (b"#?RGBE", RADIANCE),
    (b"8BPS", PHOTOSHOP),
    (b"gimp xcf", GIMP),
    (b"II\xbc\x01", JPEG_XR),
    (b"\xff\xd8\xff\xf7", JPEG_LS),
    (b"DDS |", DDS),
)  # fmt: skip
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1"}
_TIFF_RAW_MARKS = (b"CR\2\0", b"IIII", b"MMMM")  # at byte 8: Canon, Phase One
_VIDEO = re.compile(  # Matroska, AVI, MP4 and its like, MPEG, Flash, ASF, transport streams
    rb"\x1a\x45\xdf\xa3|RIFF....AVI |.{4}(?:ftyp(?!avi[fs])|moov|mdat|wide)|\x00\x00\x01\xba"
    rb"|FLV\x01|\x30\x26\xb2\x75|(?:.{4})?\x47.{187}\x47",
    re.S,
)
_HTML = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)


def kind_of_name(path: Place) -> Kind | None:
    """Return the kind that a file's name says, None for other names."""
    return _BY_SUFFIX.get(path.suffix.lower())


def is_unread_name(path: Place) -> bool:
    """Tell whether a file's name is that of a picture which cannot be read here."""
    kind = kind_of_name(path)
    return kind is not None and not kind.is_read


def kind_of_data(data: bytes) -> Kind | None:
    """Return the kind that a file's first bytes say; TIFF-based RAW takes the TIFF reader."""
    if data[4:8] == b"ftyp":
        brands = data[8 : max(12, min(int.from_bytes(data[:4], "big"), 256))]
        marks = {brands[at : at + 4] for at in range(0, len(brands), 4)}
        if b"crx " in marks:
            return RAW
        return HEIC if marks & _HEIF_BRANDS and not marks & {b"avif", b"avis"} else None
    if data[:4] in (b"II*\0", b"MM\0*") and data[8:12] in _TIFF_RAW_MARKS:
        return RAW
    return next((kind for start, kind in _BY_START if data.startswith(start)), None)


def unread(kind: Kind) -> ImageError:
    """Make the error for a picture of a kind that cannot be read; the caller names the file."""
    if kind.extra is None:
        return ImageError(
            f"is a {kind.name} picture, which is not read.",
            "Save it as a 16-bit PNG or TIFF first.",
        )
    what = kind.name if kind is VIDEO else f"{kind.name} picture"
    return ImageError(f"is a {what}, which takes one more package to read.", install_hint([kind]))


def unread_error(path: Place) -> ImageError | None:
    """Return the error for a file of a kind that its name says and that cannot be read here."""
    kind = kind_of_name(path)
    if kind is None or kind.is_read:
        return None
    error = unread(kind)
    return ImageError(f"{path} {error.message}", error.hint)


def install_hint(kinds: list[Kind]) -> str:
    """Return the command that installs what reads these kinds; empty where nothing does."""
    extras = sorted({kind.extra for kind in kinds if kind.extra and not kind.is_read})
    return f"Type: pip install 'drcnet[{','.join(extras)}]'" if extras else ""


def reader_module(kind: Kind) -> ModuleType:
    """Import what reads a kind; raises ImageError, its file still to be named, without it."""
    if not kind.is_read:
        raise unread(kind)
    try:
        return importlib.import_module(kind.module)
    except ImportError as error:
        raise ImageError(
            f"is a {kind.name} picture, whose reader does not load ({error}).",
            f"Type: pip install --force-reinstall 'drcnet[{kind.extra}]'",
        ) from error


@cache
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


def is_video(data: bytes) -> bool:
    """Tell whether a file's first bytes are those of a video, as far as they tell."""
    return _VIDEO.match(data) is not None


def explain_no_picture(data: bytes) -> tuple[str, str] | None:
    """Return what bytes that are no picture are instead, and what helps, if that can be told."""
    if data.startswith(GIT_LFS_POINTER):
        return "is a Git LFS pointer, not the picture itself.", "Type: git lfs pull"
    if _HTML.match(data[:4096]):
        return (
            "is a web page (HTML), not a picture: a download that went wrong.",
            "Download the picture itself.",
        )
    if data.startswith(b"%PDF"):
        return "is a PDF document, not a picture.", "Export its pages as PNG first."
    if is_video(data):
        return (
            "is a video, not a picture.",
            "Videos are restored from files with a video's name: "
            "drcnet restore -t denoise clip.mp4 out.mp4",
        )
    if not any(data):
        return (
            "holds nothing but zeros: an unfinished download or copy.",
            "Copy or download it again.",
        )
    return None
