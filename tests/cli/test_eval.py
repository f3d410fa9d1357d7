"""What `drcnet eval` shows of its command line."""

import pytest

from drcnet_cli.cli.eval import _command


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (
            ["eval", "--reproduce", "--data-root", "DATA", "--markdown", "docs/scores.md"],
            "drcnet eval --reproduce --data-root DATA --markdown docs/scores.md",
        ),
        (
            ["eval", "-d", "polyu,b", "--data-root=a b"],
            "drcnet eval -d polyu,b '--data-root=a b'",
        ),
        (["--lq", "https://me:SECRET@host/x.zip"], "drcnet --lq https://host/x.zip"),
        (["--lq=https://host/x?sig=SEC)RET"], "drcnet '--lq=https://host/x?...'"),
        (["--lq", "zip://lq::https://me:SEC'RET@host/x"], "drcnet --lq zip://lq::https://host/x"),
    ],
)
def test_the_command_can_be_typed_again_but_for_its_secrets(arguments, shown):
    assert _command(arguments) == shown
