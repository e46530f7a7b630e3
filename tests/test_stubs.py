"""A package whose names stand in a stub gives each when it is asked for, and no others."""

import inspect
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


def test_a_public_function_that_takes_a_path_takes_a_string():
    taking = [
        (name, str(parameter.annotation))
        for name in unskip.__all__
        if inspect.isfunction(function := getattr(unskip, name))
        for parameter in inspect.signature(function).parameters.values()
        if "Path" in str(parameter.annotation)
    ]
    assert {"load_net", "run_recipe", "distill"} <= {name for name, _ in taking}
    assert [name for name, annotation in taking if "str" not in annotation] == []
