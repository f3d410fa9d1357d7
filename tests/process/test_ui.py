"""`drcnet ui` before it serves: what it refuses, and what it warns of."""

import os
import socket

import pytest
from conftest import environment


@pytest.fixture
def taken():
    """Return a port of this machine that is in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_a_sentence(drcnet, taken):
    done = drcnet("ui", "--no-open", "--port", taken)
    assert done.returncode == 2
    assert f"Port {taken} of 127.0.0.1 cannot be served" in done.stderr
    assert "--port 0" in done.stderr and "WARNING" not in done.stderr


@pytest.mark.parametrize(("more", "warned"), [((), True), (("--auth", "me:secret"), False)])
def test_a_page_for_others_without_a_password_is_warned_of(drcnet, taken, more, warned):
    done = drcnet("ui", "--no-open", "--host", "127.0.0.1.invalid", "--port", taken, *more)
    assert done.returncode == 2
    assert ("WARNING: whoever reaches 127.0.0.1.invalid" in done.stderr) == warned
    assert "secret" not in done.stderr


def test_a_login_without_a_name_is_refused(drcnet):
    done = drcnet("ui", "--no-open", "--auth", ":secret")
    assert done.returncode == 2 and "--auth NAME:PASSWORD" in done.stderr


def test_without_the_extra_the_command_to_type_is_said(drcnet, tmp_path):
    for name in ("gradio", "uvicorn"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')")
    paths = os.pathsep.join([str(tmp_path), environment(tmp_path)["PYTHONPATH"]])
    env = environment(tmp_path, TMPDIR=str(tmp_path)) | {"PYTHONPATH": paths}
    done = drcnet("ui", "--no-open", "--port", "0", env=env)
    assert done.returncode == 2
    assert "pip install 'drcnet[ui]'" in done.stderr
    assert not list(tmp_path.glob("drcnet-ui-*"))
