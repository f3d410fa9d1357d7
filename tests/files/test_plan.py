"""Where results go: the tree mirrored, clashes refused, finished outputs skipped."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drcnet_cli.errors import UsageError
from drcnet_cli.files import plan as files
from drcnet_cli.files.plan import Job, plan_files

symlinks = pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")


def is_image(path):
    return path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def make(*names, contents=b"x"):
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)


def plan(*inputs, output="out", **options):
    return plan_files(inputs, output, is_image=is_image, **options)


def pairs(jobs):
    return [(job.source.as_posix(), job.destination.as_posix()) for job in jobs]


def jobs(*inputs, output="out", **options):
    return pairs(plan(*inputs, output=output, **options).jobs)


# --- Where results go


def test_file_to_file():
    make("a.jpg")
    assert jobs("a.jpg", output="b.png") == [("a.jpg", "b.png")]
    assert jobs("a.jpg", output="new/folder/b.png") == [("a.jpg", "new/folder/b.png")]
    assert jobs("a.jpg", output="b") == [("a.jpg", "b")]


def test_file_into_folder():
    make("in/a.jpg")
    Path("there").mkdir()
    assert jobs("in/a.jpg", output="there") == [("in/a.jpg", "there/a.jpg")]
    assert jobs("in/a.jpg", output="new/") == [("in/a.jpg", "new/a.jpg")]
    assert jobs("in/a.jpg", output=".") == [("in/a.jpg", "a.jpg")]


def test_folder_is_mirrored():
    make("in/a.jpg", "in/x/a.jpg", "in/x/y/b c.png", "in/n.txt")
    expected = [
        ("in/a.jpg", "out/a.jpg"),
        ("in/x/a.jpg", "out/x/a.jpg"),
        ("in/x/y/b c.png", "out/x/y/b c.png"),
    ]
    assert jobs("in") == jobs("in/", output="out/") == jobs(Path("in"), output=Path("out"))
    assert jobs("in") == expected
    assert plan("in").passed_over.not_images == 1
    assert not Path("out").exists()


def test_several_inputs_and_patterns():
    make("a.jpg", "in/b.jpg", "in/x/c.jpg")
    assert jobs("a.jpg", "in") == [
        ("a.jpg", "out/a.jpg"),
        ("in/b.jpg", "out/in/b.jpg"),
        ("in/x/c.jpg", "out/in/x/c.jpg"),
    ]
    assert jobs("in/**/*.jpg") == [("in/b.jpg", "out/b.jpg"), ("in/x/c.jpg", "out/x/c.jpg")]
    assert jobs("*.jpg", output="b.png") == [("a.jpg", "b.png")]
    assert jobs("*.jpg") == [("a.jpg", "out/a.jpg")]


def test_suffix_replaces_known_extensions_only():
    make("in/a.b.jpg", "in/c.JPEG", "in/d.png", "scan.0001")
    expected = ["out/a.b.png", "out/c.png", "out/d.png"]
    assert [destination for _, destination in jobs("in", suffix=".png")] == expected
    assert [destination for _, destination in jobs("in", suffix="png")] == expected
    assert jobs("scan.0001", output="out/", suffix=".png") == [("scan.0001", "out/scan.0001.png")]
    assert jobs("in/d.png", output="e.jpg", suffix=".png") == [("in/d.png", "e.jpg")]


def test_output_inside_input_is_not_read_again():
    make("in/a.jpg", "in/out/a.jpg")
    result = plan("in", output="in/out")
    assert pairs(result.finished) == [("in/a.jpg", "in/out/a.jpg")]
    assert result.jobs == ()


def test_empty_folder_gives_an_empty_plan():
    Path("in").mkdir()
    assert plan("in").jobs == ()


@settings(deadline=None, max_examples=30)
@given(
    st.sets(
        st.lists(
            st.text("ab19 é雨_-", min_size=1, max_size=4).filter(lambda name: name == name.strip()),
            min_size=1,
            max_size=3,
        ).map(tuple),
        max_size=8,
    )
)
def test_mirroring_is_one_to_one(tmp_path_factory, trees):
    folder = tmp_path_factory.mktemp("tree")
    made = set()
    for parts in trees:
        path = folder.joinpath("in", *(f"d{part}" for part in parts[:-1]), f"{parts[-1]}.png")
        make(path)
        made.add(path.resolve())
    (folder / "in").mkdir(exist_ok=True)
    result = plan(folder / "in", output=folder / "out").jobs
    assert {job.source.resolve() for job in result} == made
    assert len({job.destination for job in result}) == len(made) == len(result)
    for job in result:
        assert job.source.relative_to(folder / "in") == job.destination.relative_to(folder / "out")


# --- Refusals


@pytest.mark.parametrize("output", ["old.jpg", "old", "new.png"])
@pytest.mark.parametrize("inputs", [["in"], ["in/a.jpg", "in/b.jpg"], ["in/*.jpg"]])
def test_many_into_one_file(inputs, output):
    make("in/a.jpg", "in/b.jpg", "old.jpg", "old")
    with pytest.raises(UsageError, match="go into a folder") as caught:
        plan(*inputs, output=output)
    assert output in caught.value.message
    assert "last argument" in caught.value.hint


def test_one_image_among_several_names_never_replaces_the_last():
    make("a.jpg", "n.txt", "z.jpg")
    with pytest.raises(UsageError, match="go into a folder"):
        plan("a.jpg", "n.txt", output="z.jpg", overwrite=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"inputs": [], "output": "out"}, "No input"),
        ({"inputs": ["-", "a.jpg"], "output": "out"}, "Standard input"),
        ({"inputs": ["a.jpg"], "output": "-"}, "Standard output"),
        ({"inputs": ["a.jpg"], "output": None}, "No output"),
        ({"inputs": ["a.jpg"], "output": ""}, "No output"),
        ({"inputs": ["a.jpg"], "output": "out", "in_place": True}, "in-place"),
        ({"inputs": ["a.jpg"], "output": None, "in_place": True, "suffix": ".png"}, "in-place"),
        ({"inputs": ["b.jpg"], "output": "out"}, "no file or folder"),
        ({"inputs": [""], "output": "out"}, "empty"),
    ],
)
def test_calls_that_mean_nothing(arguments, words):
    make("a.jpg")
    with pytest.raises(UsageError, match=words) as caught:
        plan_files(**arguments, is_image=is_image)
    assert caught.value.hint


def test_a_file_named_dash():
    make("-", "a.jpg", "sub/-")
    assert jobs("./-", output="out.png") == [("-", "out.png")]


def test_clashes_name_both_inputs_and_the_output():
    make("in/a.jpg", "in/a.png", "in/b.jpg", "in/b.webp")
    with pytest.raises(UsageError) as caught:
        plan("in", suffix=".png")
    for part in (Path("in/a.jpg"), Path("in/a.png"), Path("out/a.png"), "1 more"):
        assert str(part) in caught.value.message
    assert "--format" in caught.value.hint
    assert len(jobs("in")) == 4


def test_a_lone_clash_speaks_of_no_others():
    make("in/a.jpg", "in/a.png")
    with pytest.raises(UsageError, match="both be written") as caught:
        plan("in", suffix=".png")
    assert "more" not in caught.value.message


def test_why_an_output_cannot_hold_many_is_the_true_reason():
    make("in/a.jpg", "in/b.jpg", "old")
    with pytest.raises(UsageError, match="old exists and is a file"):
        plan("in", output="old")
    with pytest.raises(UsageError, match="new.png has an image file's name"):
        plan("in", output="new.png")


def test_clash_between_folders_points_to_the_tree():
    make("x/a.jpg", "y/a.jpg")
    with pytest.raises(UsageError, match="both be written") as caught:
        plan("x/a.jpg", "y/a.jpg")
    assert "tree is mirrored" in caught.value.hint
    assert len(jobs("x", "y")) == len(jobs("*/a.jpg")) == 2


@pytest.mark.parametrize(("first", "second"), [("a.jpg", "A.jpg"), ("é.jpg", "e\u0301.jpg")])
def test_clashes_where_file_systems_fold_names(monkeypatch, first, second):
    found = [Job(Path("x") / first, Path("out") / first), Job(Path(second), Path("out") / second)]
    monkeypatch.setattr(files, "_FOLDS_NAMES", False)
    assert len(files._drop_duplicates(found)) == 2
    monkeypatch.setattr(files, "_FOLDS_NAMES", True)
    with pytest.raises(UsageError, match="both be written"):
        files._drop_duplicates(found)


def test_input_given_twice_is_one_job():
    make("in/a.jpg")
    assert jobs("in/a.jpg", "in/a.jpg", "in/../in/a.jpg") == [("in/a.jpg", "out/a.jpg")]
    assert jobs("in", "in/") == [("in/a.jpg", "out/in/a.jpg")]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        (["in/a.jpg"], "in/a.jpg"),
        (["in/a.jpg"], "in"),
        (["in/a.jpg"], "in/x/../a.jpg"),
        (["in/a.jpg", "in/b.jpg"], "in"),
        (["in/*.jpg"], "in"),
        (["in"], "in"),
        (["in"], "in/x/.."),
    ],
)
def test_output_equal_to_input(inputs, output, overwrite):
    make("in/a.jpg", "in/b.jpg", "in/x/c.png")
    with pytest.raises(UsageError) as caught:
        plan(*inputs, output=output, overwrite=overwrite)
    assert "--in-place" in caught.value.hint


@symlinks
def test_output_equal_to_input_through_links():
    make("in/a.jpg")
    Path("out").mkdir()
    Path("linked").symlink_to("in")
    with pytest.raises(UsageError, match="is the input"):
        plan("in/a.jpg", output="linked/a.jpg")
    with pytest.raises(UsageError, match="is the input"):
        plan("in", output="linked")
    Path("out/a.jpg").symlink_to(Path("in/a.jpg").resolve())
    with pytest.raises(UsageError, match="is the input"):
        plan("in")
    Path("out/a.jpg").unlink()
    os.link("in/a.jpg", "out/a.jpg")
    with pytest.raises(UsageError, match="is the input"):
        plan("in")


def test_output_equal_to_another_input():
    make("photos/raw/a.jpg", "photos/raw/raw/a.jpg")
    with pytest.raises(UsageError, match="is the input") as caught:
        plan("photos/raw", output="photos", overwrite=True)
    assert str(Path("photos/raw/a.jpg")) in caught.value.message


def test_output_that_is_a_folder_or_below_a_file():
    make("in/a.jpg", "in/x/b.jpg", "other/x")
    Path("out/a.jpg").mkdir(parents=True)
    with pytest.raises(UsageError, match="is a folder"):
        plan("in", overwrite=True)
    with pytest.raises(UsageError, match="a part of its path is a file"):
        plan("in", output="other")


@pytest.mark.skipif(os.name != "posix", reason="lengths of POSIX names")
def test_names_that_become_too_long():
    make("in/" + "n" * 251 + ".png", "in/" + "é" * 125 + ".jpg", "in/a.jpg")
    assert len(jobs("in")) == 3
    with pytest.raises(UsageError, match=r"longer than 255 bytes.*1 more"):
        plan("in", suffix=".longest")
    with pytest.raises(UsageError, match=r"n\.webp\."):
        plan("in", suffix=".webp")


# --- Skip, overwrite, in place


def test_finished_outputs_are_skipped_unless_overwritten():
    make("in/a.jpg", "in/b.jpg", "in/c.jpg", "out/a.jpg")
    make("out/b.jpg", contents=b"")
    make("out/.c.jpg.0123456789ab.tmp")
    result = plan("in")
    assert pairs(result.finished) == [("in/a.jpg", "out/a.jpg")]
    assert [job.source.name for job in result.jobs] == ["b.jpg", "c.jpg"]
    again = plan("in", overwrite=True)
    assert again.finished == ()
    assert len(again.jobs) == 3


def test_lone_finished_file_is_skipped():
    make("a.jpg", "b.jpg")
    assert pairs(plan("a.jpg", output="b.jpg").finished) == [("a.jpg", "b.jpg")]


def test_leftovers_in_a_folder_are_no_input():
    make("in/a.jpg", "in/.a.jpg.0123456789ab.tmp")
    assert jobs("in") == [("in/a.jpg", "out/a.jpg")]


def test_in_place():
    make("in/a.jpg", "in/x/b.jpg", "c.jpg", "n.txt")
    result = plan("in", "c.jpg", "n.txt", output=None, in_place=True)
    assert result.finished == ()
    assert all(job.source == job.destination for job in result.jobs)
    assert [job.source.as_posix() for job in result.jobs] == ["in/a.jpg", "in/x/b.jpg", "c.jpg"]


@symlinks
def test_in_place_restores_a_linked_file_once():
    make("in/a.jpg")
    Path("in/b.jpg").symlink_to("a.jpg")
    Path("in/again").symlink_to("../in")
    result = plan("in", "in/a.jpg", output=None, in_place=True)
    assert [job.source.as_posix() for job in result.jobs] == ["in/a.jpg"]


# --- Scale


def test_thousands_of_files_are_planned_quickly():
    for folder in range(3):
        Path(f"in/{folder}").mkdir(parents=True)
        for number in range(1000):
            os.close(os.open(f"in/{folder}/img{number}.jpg", os.O_CREAT | os.O_WRONLY))
    start = time.process_time()
    result = plan("in")
    elapsed = time.process_time() - start
    assert len(result.jobs) == 3000
    assert [job.source.name for job in result.jobs[:3]] == ["img0.jpg", "img1.jpg", "img2.jpg"]
    # 0.1 s on one core of a 2020s machine; the margin is for busy ones.
    assert elapsed < 1.0


# --- A text in the names


def renamed(stem: str, ending: str) -> str:
    return f"{stem}_x{ending}"


def test_the_name_is_made_of_stem_and_ending():
    make("in/a.jpg", "in/sub/b.png", "c.0001")
    assert jobs("in", rename=renamed) == [
        ("in/a.jpg", "out/a_x.jpg"),
        ("in/sub/b.png", "out/sub/b_x.png"),
    ]
    assert jobs("in", rename=renamed, suffix=".webp")[0] == ("in/a.jpg", "out/a_x.webp")
    assert jobs("c.0001", output="out/", rename=renamed) == [("c.0001", "out/c.0001_x")]
    assert jobs("in/a.jpg", output="in/", rename=renamed) == [("in/a.jpg", "in/a_x.jpg")]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"inputs": ["a.jpg"], "output": "b.jpg", "rename": renamed}, "b.jpg"),
        ({"inputs": ["a.jpg"], "output": None, "in_place": True, "rename": renamed}, "in-place"),
        ({"inputs": ["a.jpg"], "output": "out/", "rename": lambda *_: "x"}, "no picture's ending"),
        ({"inputs": ["a.jpg", "a.png"], "output": "o/", "rename": lambda *_: "x.png"}, "both"),
        # Two outputs in one, or an output that is an input.
        (
            {"inputs": ["a.jpg", "a.png"], "output": "o/", "rename": renamed, "suffix": "png"},
            "both",
        ),
        ({"inputs": ["a.jpg", "a_x.jpg"], "output": "./", "rename": renamed}, "is the input"),
        (
            {"inputs": ["a.jpg"], "output": "o/", "rename": lambda stem, ext: "x" * 260 + ext},
            "longer than 255",
        ),
    ],
)
def test_a_name_that_cannot_be(call, said):
    make("a.jpg", "a.png", "a_x.jpg")
    with pytest.raises(UsageError, match=said):
        plan_files(is_image=is_image, **call)


# --- Another judge than existence


@pytest.mark.parametrize("in_place", [False, True])
def test_a_judge_decides_what_is_finished(in_place):
    make("in/a.jpg", "in/b.jpg", "in/c.jpg", "out/a.jpg", "out/b.jpg", "out/c.jpg")
    verdicts = {"a.jpg": None, "b.jpg": "", "c.jpg": "odd"}

    def judge(job):
        return verdicts[job.source.name]

    output = None if in_place else "out"
    found = plan("in", output=output, in_place=in_place, judge=judge)
    assert [job.source.name for job in found.jobs] == ["a.jpg"]
    assert [job.source.name for job in found.finished] == ["b.jpg", "c.jpg"]
    assert [(job.source.name, doubt) for job, doubt in found.stale.items()] == [("c.jpg", "odd")]
    again = plan("in", output=output, in_place=in_place, judge=judge, overwrite=True)
    assert (len(again.jobs), again.finished, again.stale) == (3, (), {})
