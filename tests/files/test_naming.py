"""Patterns of outputs' names."""

import pytest

from drcnet_cli.errors import UsageError
from drcnet_cli.files.naming import FIELDS, check_pattern, check_suffix, fill


def test_a_pattern_takes_its_fields_and_nothing_else():
    pattern = "{stem} ({task}, {model}) {{x}}{ext}"
    assert check_pattern(pattern) == set(FIELDS)
    values = {"stem": "a{b}", "ext": ".png", "task": "denoise", "model": "small"}
    assert fill(pattern, **values) == "a{b} (denoise, small) {x}.png"


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{stem", "do not match"),
        ("stem}", "do not match"),
        ("{name}{ext}", "{name}"),
        ("{}{ext}", "{}"),
        ("{stem.__class__}{ext}", "a field that is none"),
        ("{stem!r}{ext}", "a field that is none"),
        ("{stem:>9}{ext}", "a field that is none"),
        ("{task}/{stem}{ext}", "no plain file name"),
        (".{stem}{ext}", "no plain file name"),
    ],
)
def test_a_pattern_that_makes_no_name_is_refused(pattern, said):
    with pytest.raises(UsageError) as refused:
        check_pattern(pattern)
    assert said in refused.value.message
    assert "{stem}" in refused.value.hint


def test_a_suffix_is_a_part_of_a_name():
    check_suffix("_clean {x}")
    with pytest.raises(UsageError, match="no part"):
        check_suffix("/x")
