"""The rules of docs/concepts.md about which part of the package may import which."""

import ast
import subprocess
import sys
from pathlib import Path

import unskip

ROOT = Path(unskip.__file__).parent

# Each part and all that it may import; imports inside functions count too.
ALLOWED = {
    "errors": set(),
    "chance": set(),
    "settings": {"errors"},
    "files": {"errors"},
    "environment": set(),
    "quiet": set(),
    "images": set(),
    "preprocessing": {"errors", "images"},
    "data_info": {"errors", "files", "preprocessing"},
    "torchvision_compat": set(),
    "losses": set(),
    "listing": {"errors", "settings"},
    "own_code": {"errors", "settings", "torchvision_compat"},
    "tasks": {"errors", "chance", "losses"},
    "evaluation": {"errors", "runtimes", "tasks"},
    "recipe": {"errors", "settings", "methods", "surgery"},
    "nets": {"errors", "settings", "own_code", "torchvision_compat"},
    "surgery": {"errors", "settings", "nets"},
    "methods": {"errors", "settings", "listing", "own_code", "nets", "surgery", "losses", "tasks"},
    "data": {"errors", "images", "data_info", "preprocessing", "recipe", "torchvision_compat"},
    "runtimes": {"errors", "files", "settings", "quiet"},
    "dataflow": {"errors", "settings", "nets", "surgery"},
    "records": {"errors", "chance"},
    "measures": {"errors", "settings", "units", "listing", "records", "nets", "dataflow", "export", "tasks"},
    "measure": {"errors", "chance", "runtimes"},
    "export": {"errors", "files", "nets", "surgery", "environment", "quiet", "runtimes", "settings"},
    "state_dicts": {"errors"},
    "weights": {"errors", "files", "data_info", "nets", "state_dicts", "surgery"},
    "training": {"errors", "files", "nets", "surgery", "recipe", "methods", "data", "tasks", "evaluation"},
    "report": {"errors", "chance", "files", "units"},
    "papers": {"errors", "settings", "nets", "surgery", "dataflow"},
    "units": {"errors", "settings"},
    "terminal": set(),
    "planning": {"errors", "nets", "surgery", "dataflow", "units", "terminal"},
    "bench": {
        *("errors", "settings", "environment", "data_info", "recipe", "nets", "surgery", "weights", "data"),
        *("terminal", "dataflow", "measure", "runtimes", "export", "report", "targets", "run_folder", "trained"),
    },
    "budget": {
        *("errors", "settings", "files", "nets", "surgery", "methods", "runtimes", "measure", "export", "tasks"),
        *("dataflow", "planning", "units", "terminal"),
    },
    "inspection": {"errors", "nets", "surgery", "dataflow", "units", "terminal"},
}
TOP = {
    *("__main__", "run", "results", "run_folder", "targets", "inputs", "teacher_check", "teacher_causes", "trained"),
    *("cli", "__init__"),
}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "unskip":
            names |= {node.module.split(".")[1]} if "." in node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("unskip.")}
    return names


def test_imports_point_one_way():
    wrong = {}
    for path in ROOT.rglob("*.py"):
        part = part_of(path)
        if part in TOP:
            continue
        extra = imported_parts(path) - ALLOWED[part] - {part}
        if extra:
            wrong[str(path.relative_to(ROOT))] = extra
    assert not wrong


def test_the_loop_names_no_method():
    methods = {path.stem for path in (ROOT / "methods").glob("*.py")} - {"__init__", "base"}
    assert methods
    for path in (ROOT / "training").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("unskip.methods"):
                assert node.module == "unskip.methods.base", path


def test_the_command_line_answers_without_torch():
    code = "import sys, unskip.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_runtimes_are_reached_without_torch():
    """A process that measures a file holds what its runtime needs and no more."""
    code = "import sys, unskip.runtimes; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_can_be_imported():
    for name in unskip.__all__:
        found = getattr(unskip, name)
        assert callable(found), name
        assert found.__doc__, name
    assert set(unskip.__all__) == set(unskip._HOME_OF)
