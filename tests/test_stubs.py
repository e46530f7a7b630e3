"""A package whose names stand in a stub gives each when it is asked for, and no others."""

import subprocess
import sys

import pytest

import unskip
from unskip import recipe, records


def test_every_name_of_a_stub_is_there():
    for package in (unskip, recipe, records):
        assert dir(package) == package.__all__ == sorted(set(package.__all__))
        assert all(hasattr(package, name) for name in package.__all__)


def test_one_name_imports_its_own_module_alone():
    code = """
import sys
from unskip.records import Figure
names = {name for name in sys.modules if name.startswith("unskip.records.")}
assert Figure.__module__ == "unskip.records.figures" and names == {"unskip.records.figures"}, names
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_that_a_stub_lacks_is_named():
    with pytest.raises(AttributeError, match="no attribute 'Figur'"):
        records.Figur  # noqa: B018
