"""The tables that `experiments.py` trains: their rows, and what the papers print for them."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One row: settings of `drcnet train` that are its own, and what the paper prints.

    `kinds`: the table's columns that it is measured in; None: all. `at`: in a figure, the curve it
    is a point of ("" of all) and where on the axis.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""
    kinds: Sequence[str] | None = None
    at: tuple[str, float] | None = None

    @property
    def folder(self) -> str:
        """Return the name of its folder."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    def measured(self, table: "Table") -> Sequence[str]:
        """Return the kinds of degradation that it is measured in."""
        return table.columns if self.kinds is None else self.kinds


@dataclass(frozen=True)
class Table:
    """A table: `columns` are kinds of degradation, `settings` those of all its rows.

    `ssim`: it is measured, too. `axis`: what the paper's figure has along x, if that is what it is.
    `note` makes a line below.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    settings: Mapping[str, Any] = field(default_factory=dict)
    ssim: bool = False
    axis: str = ""
    note: Callable[[], str] | None = None


_NOISE, _RAIN, _HAZE = ("gaussian-15", "gaussian-25", "gaussian-50"), ("rain",), ("haze",)
# How the small networks of all tables learn.
COMMON = {
    "optimizer": "muon",
    "betas": [0.9, 0.95],
    "clip": 0.1,
    "weight_decay": 0.1,
    "unusual": 0.0,
}
# Small enough for a CPU; the paper's sizes are the network's defaults.
_SMALL_AIRNET = {
    "network": "airnet",
    "task": "auto",
    "patches": "64x15",
    **COMMON,
    "lr": 3e-3,
}
_SIZES = ["features=24", "groups=2", "blocks=2", "encoder_widths=[16,32,64]", "shrink=2"]
_SIZES.append("input_skip=true")


def _combination(name: str, kinds: Sequence[str], paper: str) -> Row:
    return Row(name, {"degrade": ",".join(kinds), "set": _SIZES}, paper, kinds)


# SPAIR's sizes for a CPU.
_SMALL_SPAIR = {
    "network": "spair",
    "patches": "64x8",
    **COMMON,
    "lr": 4e-3,
    "localise_first": 0.3,
}
_SPAIR_SIZES = ["widths=[16,24,32]", "localisation_widths=[12,16,24]", "shrink=2"]
_SPAIR_ROWS = (
    ("Net1", ("modulation", "sparse_convolution", "sparse_non_local"), "30.72 / 30.84"),
    ("Net2: SFM", ("sparse_convolution", "sparse_non_local"), "31.48 / 31.55"),
    ("Net3: SFM, SC", ("sparse_non_local",), "31.83 / 31.62"),
    ("Net4: SFM, SC, NL", ("sparse_non_local",), "32.19 / 31.81"),
    ("SPAIR: SFM, SC, SNL", (), "32.73 / 32.06"),
)


def _spair(task: str, kind: str) -> "Table":
    """Make SPAIR's table 6 for one kind of damage."""
    rows = []
    for name, off, paper in _SPAIR_ROWS:
        more = [f"{switch}=false" for switch in off]
        more += ["non_local=true"] if "NL" in name.split(", ") else []
        rows.append(Row(name, {"set": [*_SPAIR_SIZES, *more]}, paper))
    title = f"SPAIR, table 6: its modules, {kind} (dB; the paper's of AGAN / GoPro)"
    return Table(title, (kind,), rows, {**_SMALL_SPAIR, "task": task, "degrade": kind})


# FDR-Net's sizes for a CPU. DID-HY, which is rain with blur, noise and JPEG, was not released.
_SMALL_FDRNET = {
    "network": "fdrnet",
    "task": "hybrid",
    "degrade": "rain+hybrid-moderate",
    "patches": "64x8",
    **COMMON,
    "lr": 3e-3,
}
_FDRNET_SIZES = ["phases=2", "process_blocks=1", "auxiliary_blocks=2", "shrink=2"]
_FDRNET_SIZES.append("input_skip=true")


def _fdrnet(name: str, paper: str, *settings: str, channels: int = 32) -> Row:
    return Row(name, {"set": [*_FDRNET_SIZES, f"channels={channels}", *settings]}, paper)


TABLES = {
    "fdrnet-5": Table(
        "FDR-Net, table 5: without FDM, without the auxiliary branch (dB; the paper's of DID-HY)",
        ("rain+hybrid-moderate",),
        (
            _fdrnet("FDM, auxiliary", "24.97"),
            _fdrnet("without FDM", "23.91", "disentangle=false"),
            _fdrnet("without auxiliary", "24.27", "auxiliary=false"),
        ),
        _SMALL_FDRNET,
    ),
    "fdrnet-6": Table(
        "FDR-Net, table 6: layers of an FDM, channels (dB; the paper's of DID-HY)",
        ("rain+hybrid-moderate",),
        (
            *(
                _fdrnet(f"{layers} layers", paper, f"layers={layers}")
                for layers, paper in enumerate(("24.63", "24.70", "24.97", "24.98", "24.99"), 1)
            ),
            # 32 channels are the row of three layers.
            *(
                _fdrnet(f"{channels} channels", paper, channels=channels)
                for channels, paper in ((16, "24.47"), (48, "24.98"), (64, "25.00"))
            ),
        ),
        _SMALL_FDRNET,
    ),
    "spair-6-raindrop": _spair("raindrop", "raindrop"),
    "spair-6-deshadow": _spair("deshadow", "shadow"),
    "spair-6-deblur": _spair("deblur", "blur"),
    "airnet-5": Table(
        "AirNet, table 5: combinations of degradations, one by one against all in one (dB)",
        (*_NOISE, *_RAIN, *_HAZE),
        (
            _combination("noise", _NOISE, "34.14, 31.49, 28.23"),
            _combination("rain", _RAIN, "34.90"),
            _combination("haze", _HAZE, "23.18"),
            _combination("noise + rain", _NOISE + _RAIN, "34.11, 31.46, 28.19; 38.31"),
            _combination("noise + haze", _NOISE + _HAZE, "33.97, 31.32, 28.06; 23.72"),
            _combination("rain + haze", _RAIN + _HAZE, "32.50; 26.78"),
            _combination(
                "noise + rain + haze", _NOISE + _RAIN + _HAZE, "33.92, 31.26, 28.01; 34.90; 27.94"
            ),
        ),
        _SMALL_AIRNET,
    ),
    "airnet-7": Table(
        "AirNet, table 7: without SFT, without DCN (dB; the paper's of BSD68)",
        _NOISE,
        (
            Row("without SFT", {"set": [*_SIZES, "modulation=false"]}, "34.12, 31.47, 28.22"),
            Row("without DCN", {"set": [*_SIZES, "deformable=false"]}, "34.03, 31.36, 28.08"),
            Row("AirNet", {"set": _SIZES}, "34.14, 31.49, 28.23"),
        ),
        {**_SMALL_AIRNET, "degrade": ",".join(_NOISE)},
    ),
}
