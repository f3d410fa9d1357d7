"""`--out` may be an address: the state goes there, and comes from there."""

import shutil

import pytest
import torch
from training_helpers import photographs, tiny

from drcnet_cli.errors import RemoteError, UsageError
from drcnet_cli.files import mirror
from drcnet_cli.networks.checkpoint import load_checkpoint
from drcnet_cli.train.loop import train

AWAY = "memory://runs/mine"


@pytest.fixture
def clean(tmp_path, monkeypatch, memory):
    monkeypatch.setenv("DRCNET_CACHE", str(tmp_path / "cache"))
    return photographs(tmp_path / "clean")


def weights(path):
    return torch.cat([value.flatten() for value in load_checkpoint(path)[0].state_dict().values()])


def test_a_run_goes_on_on_another_machine(clean, tmp_path, memory):
    for out in (tmp_path / "alone", AWAY):
        train(tiny(clean, out, steps=3))
    names = {"state.safetensors", "best.safetensors", "final.safetensors", "log.jsonl"}
    assert {path.rpartition("/")[2] for path in memory.store} == names
    shutil.rmtree(tmp_path / "cache")  # as another machine has it
    train(tiny(clean, tmp_path / "alone", steps=6))
    result = train(tiny(clean, AWAY, steps=6))
    assert str(result.final) == f"{AWAY}/final.safetensors"
    memory.get_file("/runs/mine/final.safetensors", str(tmp_path / "final.safetensors"))
    end = weights(tmp_path / "final.safetensors")
    assert torch.equal(end, weights(tmp_path / "alone" / "final.safetensors"))
    assert load_checkpoint(tmp_path / "final.safetensors")[1].name == "mine"


def test_what_cannot_be_sent_waits_for_the_next_save(clean, tmp_path, memory, monkeypatch):
    real, failures, notes = mirror.write_file, ["once"], []

    def write_file(address, path):
        if failures:
            failures.pop()
            raise RemoteError(f"{address} cannot be written.")
        real(address, path)

    class Ear:
        def note(self, text):
            notes.append(text)

        def progress(self, snapshot):
            pass

    monkeypatch.setattr(mirror, "write_file", write_file)
    train(tiny(clean, AWAY, steps=2, save_every="1"), Ear())
    assert [text for text in notes if "The next save tries again." in text] == [
        f"{AWAY}/state.safetensors cannot be written. The next save tries again."
    ]
    assert "/runs/mine/state.safetensors" in memory.store
    failures += ["and"] * 9
    with pytest.raises(RemoteError) as caught:
        train(tiny(clean, AWAY, steps=3, save_every="1000"))
    assert caught.value.hint.startswith("The same command sends it; until then it is in ")
    failures.clear()
    memory.store.clear()
    train(tiny(clean, AWAY, steps=3))
    assert "/runs/mine/final.safetensors" in memory.store


def test_an_address_that_takes_no_files_is_refused(clean):
    with pytest.raises(UsageError, match="https"):
        train(tiny(clean, "https://example.org/run", steps=1))
