"""Weight files with code in them, or made to break their reader: none runs, none is used."""

import json
import pickle
import random
import struct
import time
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from campaign import hostile_files as hostile
from conftest import save_photograph
from safetensors.torch import save_file

from drcnet_cli.errors import CheckpointFormatError, WeightsError
from drcnet_cli.networks.checkpoint import CheckpointInfo, load_checkpoint, save_checkpoint
from drcnet_cli.networks.convert import convert_file, read_released
from drcnet_cli.networks.drcnet import MAX_DEPTH, MAX_WIDTH, DRCNetConfig
from drcnet_cli.networks.drcnet.network import DRCNet
from drcnet_cli.networks.drcnet.released import sniff_size
from drcnet_cli.networks.pth import read_state_dict
from drcnet_cli.train.state import State, TrainingProgress, check_state, load_state, save_state
from drcnet_cli.train.vgg import load_vgg

CONFIG = DRCNetConfig(width=2, depth=2)
INFO = json.loads(CheckpointInfo(CONFIG, "tiny", "denoise", 64).to_json())


def read(path: Path) -> dict[str, torch.Tensor]:
    return read_state_dict(path, ("params",), "Give another file.")


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def assert_sentence(error: WeightsError) -> None:
    assert error.exit_code == 3
    assert error.message.isprintable()
    assert error.message.endswith(".")
    assert len(error.message) < 900


# Code in pickles


@pytest.mark.parametrize("layout", hostile.FORMATS)
@pytest.mark.parametrize("payload", hostile.PAYLOADS)
def test_code_never_runs(tmp_path, layout, payload):
    mark = tmp_path / hostile.CANARY
    readers = {"w.pth": read_released, "v.pth": load_vgg, "w.safetensors": load_checkpoint,
               "v.safetensors": load_vgg, "s.safetensors": load_state}  # fmt: skip
    for protocol in range(6):
        for nesting in hostile.NESTINGS:
            program = hostile.with_code(mark, payload, protocol, nesting)
            data = hostile.wrapped(program, layout)
            name = list(readers)[protocol % 5]
            for file, reader in ((name, readers[name]), ("w.pth", read_released)):
                with pytest.raises(WeightsError) as caught:
                    reader(write(tmp_path / file, data))
                assert_sentence(caught.value)
            assert not mark.exists()


def test_the_payloads_do_run_where_nothing_stops_them(tmp_path):
    # Else the test above would prove nothing.
    for payload in hostile.PAYLOADS:
        mark = tmp_path / payload
        for nesting in ("alone", "deep", "as an argument"):
            pickle.loads(hostile.with_code(mark, payload, 2, nesting))
            mark.rmdir()


def test_the_refusal_names_what_the_file_wanted(tmp_path):
    program = hostile.with_code(tmp_path / "mark", "os.system", 2, "deep")
    with pytest.raises(CheckpointFormatError, match=r"posix\.system|nt\.system") as caught:
        read(write(tmp_path / "w.pth", hostile.wrapped(program, "zip")))
    assert "none was run" in caught.value.message
    with pytest.raises(CheckpointFormatError, match="TorchScript program"):
        read(write(tmp_path / "w.pth", hostile.wrapped(program, "jit")))


# PyTorch's files: what is good is read, whatever wrote it


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_whole_files_are_read_as_torch_reads_them(tmp_path, zipped, protocol):
    shared = torch.arange(12.0)
    state = OrderedDict(
        a=torch.rand(3, 4).t(),
        half=torch.rand(5).half(),
        brain=torch.rand(2).bfloat16(),
        scalar=torch.tensor(3),
        empty=torch.zeros(0, 3),
        flag=torch.tensor([True, False]),
        parameter=torch.nn.Parameter(torch.rand(2)),
        first=shared[:6],
        second=shared[4:].view(2, 4),
    )
    state._metadata = OrderedDict({"": {"version": 1}})  # as a module's state dict has it
    path = tmp_path / "s.pth"
    torch.save({"params": state, "epoch": 3} if protocol == 4 else state, path,
               _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)  # fmt: skip
    found = read(path)
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)
    found["first"].zero_()
    assert torch.equal(found["second"], shared[4:].view(2, 4))


def recipe(numel=4, offset=0, size=(4,), stride=(1,), real=16, dtype="FloatStorage"):
    """Return a zip with one tensor described so, and `real` bytes for it."""
    numbers = "".join(f"I{n}\n" for n in size), "".join(f"I{n}\n" for n in stride)
    program = (
        "}X\x01\0\0\0x"
        "ctorch._utils\n_rebuild_tensor_v2\n("
        f"(X\x07\0\0\0storagectorch\n{dtype}\nX\x01\0\0\0"
        f"0X\x03\0\0\0cpuI{numel}\ntQ"
        f"I{offset}\n({numbers[0]}t({numbers[1]}tI00\n}}tRs."
    ).encode("latin-1")
    return hostile.zip_of({"archive/data.pkl": program, "archive/data/0": bytes(real)})


def test_an_honest_recipe_is_read(tmp_path):
    found = read(write(tmp_path / "w.pth", recipe(offset=1, size=(3,))))
    assert torch.equal(found["x"], torch.zeros(3))


@pytest.mark.parametrize(
    "lie",
    [
        {"numel": 1000, "size": (1000,)},  # torch 2.4 reads past the storage's end here
        {"numel": 10**15, "size": (10**15,)},
        {"numel": -4},
        {"numel": 3},
        {"size": (5,)},
        {"size": (10**12,), "stride": (0,)},
        {"size": (4,), "stride": (-1,)},
        {"size": (-4,)},
        {"size": (2, 2), "stride": (1,)},
        {"offset": 1},
        {"offset": -1},
        {"offset": 10**30},
        {"size": (2,) * 9, "stride": (0,) * 9},
        {"size": (2**40, 0, 2**40), "stride": (1, 1)},
        {"real": 15},
        {"real": 17},
        {"real": 0},
        {"dtype": "QInt8Storage"},
        {"dtype": "DoubleStorage"},
        {"dtype": "UntypedStorage"},
    ],
    ids=str,
)
def test_a_tensor_that_lies_about_its_size_is_refused(tmp_path, lie):
    with pytest.raises(CheckpointFormatError) as caught:
        read(write(tmp_path / "w.pth", recipe(**lie)))
    assert_sentence(caught.value)


@pytest.mark.parametrize(
    "program",
    [
        b"N.", b"}.", b"].", b".", b"", b"(", b"}q\0r\xff\xff\xff\x7f.", b"h\0.", b"0.", b"}(u.",
        b"\x8b\xff\xff\xff\x7f", b"X\xff\xff\xff\xff", b"B\xff\xff\xff\xff", b"}N}s.",
        b"}))))))))tK\0s.", b"\x80\xff}.", b"\x95" + b"\xff" * 8 + b"}.",
        b"}X\1\0\0\0xK\1s.", b"}X\1\0\0\0x)Rs.", b"I" + b"9" * 9000 + b"\n.", b"]" * 10**5 + b".",
        b"}" + b")\x85" * 40 + b"N" + b"s.", b"(" * 10**5 + b"l.", b"cposix\nsystem\n.",
        b"\x93.", b"NN\x93.", b"}N\x81.", b"P0\n.", b"}Q.", b"(tQ.", b"\x82\x01.",
    ],
    ids=lambda program: repr(program[:12]),
)  # fmt: skip
@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_programs_that_describe_nothing_are_refused(tmp_path, program, layout):
    with pytest.raises(CheckpointFormatError) as caught:
        read(write(tmp_path / "w.pth", hostile.wrapped(program, layout)))
    assert_sentence(caught.value)


def test_keys_that_take_for_ever_to_hash_are_refused(tmp_path):
    # Each tuple holds the one before twice: 2**60 visits, if anything hashed it.
    nested = b"}N" + b"q\0h\0\x86" * 60 + b"Ns."
    started = time.monotonic()
    with pytest.raises(CheckpointFormatError, match="keys are no texts"):
        read(write(tmp_path / "w.pth", hostile.wrapped(nested, "zip")))
    assert time.monotonic() - started < 5


def test_storage_keys_that_take_for_ever_to_hash_are_refused(tmp_path):
    keys = b"]N" + b"q\0h\0\x86" * 60 + b"a."
    data = hostile.wrapped(recipe_program(), "legacy").removesuffix(pickle.dumps([], 2)) + keys
    started = time.monotonic()
    with pytest.raises(CheckpointFormatError):
        read(write(tmp_path / "w.pth", data))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_not_unpacked(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as archive:
        archive.writestr("archive/data.pkl", recipe_program())
    data = hostile.zip_of(
        {"archive/data.pkl": recipe_program(), "archive/data/0": bytes(1 << 24)}, method
    )
    with pytest.raises(CheckpointFormatError, match="compressed"):
        read(write(tmp_path / "w.pth", data))


def recipe_program() -> bytes:
    import io

    with zipfile.ZipFile(io.BytesIO(recipe(numel=1 << 22, size=(1 << 22,)))) as archive:
        return archive.read("archive/data.pkl")


@pytest.mark.parametrize("zipped", [True, False])
def test_every_cut_of_a_released_file_is_refused(tmp_path, zipped):
    path = tmp_path / "w.pth"
    torch.save({"params": {"a": torch.rand(300), "b": torch.rand(20, 3)}}, path,
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    whole = path.read_bytes()
    for percent in range(100):
        with pytest.raises(CheckpointFormatError) as caught:
            read(write(path, whole[: len(whole) * percent // 100]))
        assert_sentence(caught.value)


# The released names, and what they may ask for


def test_a_level_number_without_end_is_refused_at_once():
    first = {"conv_01.weight": torch.zeros(4, 3, 3, 3)}
    with pytest.raises(CheckpointFormatError, match="not DRCNet's"):
        sniff_size({**first, f"down_path_1.{'9' * 5000}.x": torch.zeros(1)})
    assert sniff_size({**first, "down_path_1.3.x": torch.zeros(1)}) == (4, 4)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_weights_that_are_no_fractions_are_not_converted(tmp_path, dtype):
    golden = Path(__file__).parents[1] / "golden" / "drcnet_wf8_depth4_sf2-3.pth"
    state = read_released(golden)
    state["last.bias"] = state["last.bias"].to(dtype)
    torch.save({"params": state}, tmp_path / "w.pth")
    with pytest.raises(CheckpointFormatError, match=r"last\.bias"):
        convert_file(tmp_path / "w.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


# Checkpoints


def described(tmp_path, info: dict | str, **tensors: torch.Tensor) -> Path:
    state = {**DRCNet(CONFIG).state_dict(), **tensors}
    text = info if isinstance(info, str) else json.dumps(info)
    path = tmp_path / "w.safetensors"
    save_file({n: v.contiguous() for n, v in state.items()}, path, metadata={"drcnet": text})
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"width": 10**9}},
        {"config": {"width": 4, "depth": 10**9}},
        {"config": {"width": 4, "depth": -(10**9)}},
        {"config": {"width": 10**400}},
        {"config": {"width": 4, "delta": 10**400}},
        {"config": {"width": 4, "delta": 1e-320}},
        {"config": {"width": 4, "threshold": 10**400}},
        {"config": {"width": 4, "filter_levels": [10**400]}},
        {"config": {"width": 4, "x" * 10**5: 1}},
        {"config": {"width": "x" * 10**6}},
        {"config": {"width": MAX_WIDTH, "depth": MAX_DEPTH}},
        {"arch": ["drcnet"]},
        {"arch": {}},
        {"arch": "x" * 10**6},
        {"format": [1]},
        {"training_patch": 10**400},
        {"training_patch": 64.0},
    ],
    ids=lambda change: str(change)[:50],
)
def test_a_description_cannot_ask_for_the_impossible(tmp_path, change):
    started = time.monotonic()
    with pytest.raises(CheckpointFormatError) as caught:
        load_checkpoint(described(tmp_path, {**INFO, **change}))
    assert_sentence(caught.value)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("text", ['{"width": ' + "1" * 5000 + "}", "[" * 200_000, "", "\ufeff{}"])
def test_a_description_that_is_no_json(tmp_path, text):
    with pytest.raises(CheckpointFormatError, match="not JSON"):
        load_checkpoint(described(tmp_path, text))


def test_a_name_from_a_file_is_one_printable_line(tmp_path):
    odd = {**INFO, "name": "\x1b[2J\ud800\n" + "n" * 10**5, "task": "\x07derain"}
    info = load_checkpoint(described(tmp_path, odd))[1]
    assert info.name.startswith("?[2J??nnn")
    assert len(info.name) == 200
    assert info.task == "?derain"
    assert load_checkpoint(described(tmp_path, {**INFO, "name": ["x"]}))[1].name == ""


@pytest.mark.parametrize("dtype", [torch.int32, torch.bool, torch.float8_e5m2])
def test_weights_of_another_type_are_refused(tmp_path, dtype):
    bias = torch.zeros(2).to(dtype)
    with pytest.raises(CheckpointFormatError, match=r"merge\.bias is of type"):
        load_checkpoint(described(tmp_path, INFO, **{"merge.bias": bias}))


def test_random_damage_to_a_checkpoint(tmp_path):
    save_checkpoint(tmp_path / "good", DRCNet(CONFIG).state_dict(), CheckpointInfo(CONFIG))
    good = (tmp_path / "good").read_bytes()
    for number in range(300):
        rng = random.Random(number)
        change = hostile.odd_safetensors if number % 2 else hostile.damaged
        try:
            model, _ = load_checkpoint(write(tmp_path / "w.safetensors", change(good, rng)))
        except WeightsError as error:
            assert_sentence(error)
        else:
            assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**32, 2**62, 2**63, 2**64 - 1])
def test_a_header_that_lies_about_its_length(tmp_path, length):
    data = struct.pack("<Q", length) + b'{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    for reader in (load_checkpoint, load_state, load_vgg):
        with pytest.raises(WeightsError) as caught:
            reader(write(tmp_path / "w.safetensors", data))
        assert_sentence(caught.value)


# Training states


@pytest.fixture
def state(tmp_path):
    """A state of one step, which may go on."""
    network = DRCNet(CONFIG)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    average = {name: value.clone() for name, value in network.state_dict().items()}
    parts = {"network": network.state_dict(), "average": average}
    config = {"network": CONFIG.to_dict()}
    save_state(
        tmp_path, State(TrainingProgress(1, 2, 3.0), config, parts, optimizer.state_dict(), {})
    )
    loaded = load_state(tmp_path / "state.safetensors")
    check_state(loaded, "adam")
    return loaded


@pytest.mark.parametrize(
    "progress",
    [
        {"step": -1}, {"step": 2**60}, {"step": 1.5}, {"step": True}, {"step": "1"},
        {"samples": None}, {"elapsed": float("nan")}, {"elapsed": float("inf")}, {"elapsed": -1.0},
        {"best": "high"}, {"best": float("nan")}, {"patch": [8]}, {"skipped": -1},
    ],
    ids=str,
)  # fmt: skip
def test_progress_that_cannot_be(state, progress):
    state.progress.__dict__.update(progress)
    with pytest.raises(CheckpointFormatError, match=next(iter(progress))):
        check_state(state, "adam")


def test_counts_at_their_limits_are_progress(state):
    state.progress.__dict__.update(step=0, samples=2**53, elapsed=0, best=-1.5)
    check_state(state, "adam")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ([], "no network"),
        ({}, "no network"),
        ({"network": 3}, "no network"),
        ({"network": {"width": 10**9}}, "width"),
        # 100 GB of weights: compared while they are still only shapes.
        ({"network": {"width": MAX_WIDTH, "depth": MAX_DEPTH}}, "not the tensors"),
        ({"network": {**CONFIG.to_dict(), "width": MAX_WIDTH}}, "shape"),
    ],
)
def test_a_network_that_is_not_the_files_own(state, config, words):
    other = State(state.progress, config, state.parts, state.optimizer, {})
    with pytest.raises(CheckpointFormatError, match=words):
        check_state(other, "adam")


def odd_entries(state, name):
    """Spoil the optimiser's state of the first weight, or of one that is not there."""
    entries = state.optimizer["state"]
    if name == "number":
        entries[10**9] = entries[0]
    elif name == "missing":
        del entries[0]["exp_avg"]
    elif name == "extra":
        entries[0]["max_exp_avg_sq"] = entries[0]["exp_avg"]
    elif name == "shape":
        entries[0]["exp_avg"] = torch.zeros(1)
    elif name == "type":
        entries[0]["exp_avg"] = entries[0]["exp_avg"].to(torch.int64)
    elif name == "below":
        entries[0]["exp_avg_sq"] = entries[0]["exp_avg_sq"] - 1
    elif name == "step":
        entries[0]["step"] = torch.tensor(-1.0)
    elif name == "nan":
        entries[0]["exp_avg"] = entries[0]["exp_avg"] * torch.nan


@pytest.mark.parametrize(
    "name", ["number", "missing", "extra", "shape", "type", "below", "step", "nan"]
)
def test_an_optimisers_state_that_cannot_be(state, name):
    odd_entries(state, name)
    with pytest.raises(CheckpointFormatError, match=r"optimiser|optimizer/"):
        check_state(state, "adam")


def test_another_optimisers_state_is_refused(state):
    with pytest.raises(CheckpointFormatError, match="not that of muon"):
        check_state(state, "muon")


@pytest.mark.parametrize("part", ["network", "average"])
def test_a_part_with_other_tensors_is_refused(state, part):
    tensors = state.parts[part]
    tensors["merge.bias"] = tensors["merge.bias"] * torch.inf
    with pytest.raises(CheckpointFormatError, match=f"{part}/merge.bias has values that are not"):
        check_state(state, "adam")
    del tensors["merge.bias"]
    with pytest.raises(CheckpointFormatError, match=f"{part} has not the tensors"):
        check_state(state, "adam")
    del state.parts[part]
    with pytest.raises(CheckpointFormatError, match=f"{part} has not the tensors"):
        check_state(state, "adam")


@pytest.mark.parametrize(
    "text", ["[]", "3", "{}", "[" * 200_000, '{"format": 1}', '{"format": ' + "1" * 5000 + "}",
             '{"format": 1, "progress": [], "config": {}, "param_groups": [], "scaler": {}}',
             '{"format": 1, "progress": {"x": 1}, "config": {}, "param_groups": [], "scaler": {}}']
)  # fmt: skip
def test_a_states_description_that_is_none(tmp_path, text):
    path = tmp_path / "state.safetensors"
    save_file({"network/a": torch.zeros(1)}, path, metadata={"drcnet_training_state": text})
    with pytest.raises(CheckpointFormatError, match="not a whole training state"):
        load_state(path)


# VGG files


@pytest.mark.parametrize("odd", ["nan", "integers", "shape", "one number shown often"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_vgg_weights_that_cannot_be(tmp_path, odd, suffix):
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
    state = {f"features.{n}.weight": torch.zeros(*s, 3, 3) for n, s in shapes.items()}
    state |= {f"features.{n}.bias": torch.zeros(s[0]) for n, s in shapes.items()}
    key = "features.5.bias"
    if odd == "nan":
        state[key] = state[key] * torch.nan
    elif odd == "integers":
        state[key] = state[key].long()
    elif odd == "shape":
        state[key] = state[key][None]
    elif suffix == ".safetensors":
        pytest.skip("safetensors has no strides")
    else:
        state["other"] = torch.zeros(1, dtype=torch.float16).expand(10**12)
    path = tmp_path / f"v{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    with pytest.raises(WeightsError, match="conv2_1|larger than what it holds") as caught:
        load_vgg(path)
    assert_sentence(caught.value)


# The command


def test_the_command_says_one_sentence(drcnet, tmp_path):
    mark = tmp_path / hostile.CANARY
    program = hostile.with_code(mark, "os.mkdir", 2, "alone")
    picture = save_photograph(tmp_path / "in.png")
    calls = {
        "w.safetensors": ("restore", "--weights", "w.safetensors", picture, "out.png"),
        "w.pth": ("convert", "w.pth", "out.safetensors"),
    }
    for name, call in calls.items():
        write(tmp_path / name, hostile.wrapped(program, "zip"))
        result = drcnet(*call)
        assert result.returncode == 3, result.stderr
        assert "Traceback" not in result.stderr
        assert result.stderr.startswith(f"Error: {name} ")
    assert not mark.exists()
    assert not list(tmp_path.glob("out*"))
