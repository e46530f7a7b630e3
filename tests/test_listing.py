"""What a folder holds is found by its name; what else is in it is not."""

import sys

import pytest

from unskip import UnskipError
from unskip.methods import METHODS


@pytest.mark.parametrize("name", ["base", "_loss", "ce.CE", ""])
def test_what_holds_nothing_is_not_found_though_it_is_imported(name):
    assert METHODS["ce"].__module__ in sys.modules
    with pytest.raises(UnskipError, match=r"no method .*known: align_kd, ce, "):
        METHODS[name]
