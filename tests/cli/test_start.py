"""How fast commands start: by what they do not import, which takes no clock to see."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from unskip.cli import COMMANDS, app

IMPORTED = """
import sys
sys.argv = ["unskip", *sys.argv[1:]]
from unskip.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def imported_by(*words: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", IMPORTED, *words], check=True, capture_output=True, text=True)
    return {*done.stderr.split()}


@pytest.mark.parametrize("words", [("--help",), ("run", "--help")])
def test_help_waits_for_nothing_heavy(words):
    assert not imported_by(*words) & {"torch", "numpy", "scipy", "matplotlib", "sympy"}


def test_inspecting_a_network_waits_for_torch_alone():
    heavy = {"torch._dynamo", "sympy", "matplotlib", "scipy", "torchvision", "timm", "onnx", "lightning_fabric"}
    for_others = {"yaml", "PIL", "filelock", "safetensors", "unskip.recipe", "unskip.weights", "unskip.records.study"}
    imported = imported_by("inspect", "resnet50")
    assert "unskip.records.figures" in imported
    assert not imported & (heavy | for_others)


def test_a_search_among_students_waits_for_no_compiler():
    imported = imported_by("fit-budget", "resnet14", "--macs", "5M", "--no-latency")
    assert "torch_pruning" in imported
    assert not imported & {"torch._dynamo", "sympy"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "10000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"), ({"GOMP_SPINCOUNT": "7"}, "7")],
    ids=str,
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(given, expected):
    kept = {name: value for name, value in os.environ.items() if name not in {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}}
    program = IMPORTED.replace("*sys.modules", "sys.modules['os'].environ.get('GOMP_SPINCOUNT')")
    command = [sys.executable, "-c", program, "recipes"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=kept | given)
    assert done.stderr.split() == [expected]


def test_the_list_of_recipes_waits_for_no_torch():
    assert "torch" not in imported_by("recipes")


def test_the_list_of_commands_says_what_their_own_help_says():
    """Commands that are not asked for are listed without being put together."""
    short, whole = (CliRunner().invoke(program, ["--help"]).output for program in (app([]), app()))
    assert short == whole
    assert all(name.replace("_", "-") in short for name in COMMANDS)
