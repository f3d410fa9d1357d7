"""One damaged picture, or a pair that is none, ends no training: left out, counted and named."""

from pathlib import Path

import numpy as np
import pytest
from training_helpers import photographs, tiny, write_picture

from drcnet_cli.datasets.pairs import Pair
from drcnet_cli.errors import ImageError, UsageError
from drcnet_cli.train.batches import load_batches, requests
from drcnet_cli.train.cache import PictureCache
from drcnet_cli.train.data import open_data
from drcnet_cli.train.loop import train
from drcnet_cli.train.samples import PairSource
from drcnet_cli.train.synthetic import SyntheticSource, degradation


def damage(path: Path, kept: int = -300) -> Path:
    path.write_bytes(path.read_bytes()[:kept])
    return path


@pytest.fixture
def folder(tmp_path):
    """Photographs of which one has a damaged end and another a damaged header."""
    folder = photographs(tmp_path / "clean", 6)
    damage(folder / "02.png")
    (folder / "04.png").write_bytes(b"\x89PNG, once")
    return folder


def paths(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


class Ear:
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def progress(self, snapshot):
        pass


@pytest.mark.parametrize("limit_mb", [0, 16])
def test_the_next_picture_takes_its_place(folder, limit_mb):
    def source() -> SyntheticSource:
        return SyntheticSource(
            PictureCache(paths(folder), limit_mb), degradation("gaussian")[0], 3, vary=False
        )

    one, other = source(), source()
    for number in range(12):
        sample = one.sample(number, 16)
        assert np.isfinite(sample[0]).all()
    # Whether the damage is known by then or not: the same samples.
    for number in reversed(range(12)):
        np.testing.assert_array_equal(one.sample(number, 16)[1], other.sample(number, 16)[1])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("limit_mb", [0, 16])
def test_what_any_worker_finds_is_known_here(folder, workers, limit_mb):
    cache = PictureCache(paths(folder), limit_mb)
    source = SyntheticSource(cache, degradation("gaussian")[0], 3)
    batches = load_batches(source, requests(0, 16, 3, 0, 1), workers, pin=False)
    for _ in range(4):
        next(batches)
    assert [path.name for path in cache.left_out()] == ["02.png", "04.png"]


def test_where_no_picture_can_be_read_it_ends(tmp_path):
    folder = photographs(tmp_path / "clean", 3)
    for path in paths(folder):
        damage(path)
    source = SyntheticSource(PictureCache(paths(folder), 16), degradation("gaussian")[0], 3)
    for _ in range(2):
        with pytest.raises(ImageError, match=r"0\d\.png"):
            source.sample(0, 16)


def test_a_training_goes_on_and_says_so(folder, tmp_path):
    ear = Ear()
    result = train(tiny(folder, tmp_path / "out", steps=12, holdout=0), ear)
    assert result.final is not None
    assert result.left_out == 2
    said = [note for note in ear.notes if "left out" in note]
    assert len(said) == 1
    assert said[0].startswith("2 pictures could not be used")
    assert "02.png" in said[0]
    assert "04.png" in said[0]


def test_held_pictures_are_left_out_too(tmp_path):
    folder = photographs(tmp_path / "clean", 12)
    config = tiny(folder, tmp_path / "out", holdout=0.5, val_count=3)
    held = list(open_data(config).held)
    damage(folder / held[1])
    data = open_data(config)
    assert len(data.held) == 3
    assert held[1] not in data.held
    notes = " ".join(data.notes)
    assert "1 held pictures cannot be used" in notes
    assert held[1] in notes


def make_pairs(tmp_path, sizes) -> dict[str, tuple[str, ...]]:
    for number, (degraded, clean) in enumerate(sizes):
        write_picture(tmp_path / "lq" / f"{number}.png", number, *degraded)
        write_picture(tmp_path / "gt" / f"{number}.png", number, *clean)
    return {"lq": str(tmp_path / "lq"), "gt": str(tmp_path / "gt"), "clean": (), "degrade": ""}


def pair_config(tmp_path, sizes, **more):
    return tiny(Path(), tmp_path / "out", **make_pairs(tmp_path, sizes), holdout=0, **more)


SAME, OTHER = ((40, 48), (40, 48)), ((40, 48), (40, 50))


def test_unequal_pairs_are_named_before_training(tmp_path):
    data = open_data(pair_config(tmp_path, [SAME, OTHER, SAME]))
    assert "1 pairs have pictures of two sizes: 1.png (48 x 40, 50 x 40)" in " ".join(data.notes)
    assert data.summary["training_pairs"] == 2
    with pytest.raises(UsageError, match="two sizes"):
        open_data(pair_config(tmp_path / "all", [OTHER]))


def test_a_damaged_side_leaves_out_the_pair(tmp_path):
    config = pair_config(tmp_path, [SAME, SAME, SAME])
    damage(tmp_path / "gt" / "1.png")
    damage(tmp_path / "lq" / "2.png", 8)
    data = open_data(config)
    for number in range(9):
        data.source.sample(number, 16)
    assert {path.name for path in data.left_out()} == {"1.png", "2.png"}


def test_pairs_that_only_decoding_tells_apart_are_left_out(tmp_path):
    make_pairs(tmp_path, [SAME, ((40, 48), (48, 40))])
    pairs = [
        Pair(f"{n}", tmp_path / f"lq/{n}.png", tmp_path / f"gt/{n}.png", f"{n}") for n in (0, 1)
    ]
    source = PairSource(pairs, 16, 0)
    for number in range(6):
        source.sample(number, 16)
    assert [path.parent.name for path in source.cache.left_out()] == ["lq"]
