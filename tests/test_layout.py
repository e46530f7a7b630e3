"""The rules of docs/explanation/architecture.md: imports point one way, and a file fits in the head."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import unskip
from unskip.methods import METHODS

ROOT = Path(unskip.__file__).parent
ARCHITECTURE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "architecture.md"
ABOVE_ALL = {"__main__", "__init__", "cli"}  # what users begin with


def module_of(path: Path) -> str:
    """The name under which a file is imported."""
    return ".".join(("unskip", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


STUB_LINE = re.compile(r"^from \.(\S+) import .*$", re.MULTILINE)
FILES = {module_of(path): path for path in ROOT.rglob("*.py")}


def imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, inside functions, for type checkers, and by its stub."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name if name in FILES else str(node.module) for name in names}
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    if path.with_suffix(".pyi").is_file():
        modules |= set(STUB_LINE.sub(rf"{module_of(path)}.\1", path.with_suffix(".pyi").read_text()).split())
    return modules & set(FILES)


IMPORTS = {module: imported(path) for module, path in FILES.items()}


def part_of(module: str) -> str:
    return "__init__" if module == "unskip" else module.split(".")[1]


def layers() -> list[set[str]]:
    """The parts of every layer, the lowest layer first, as the page lists them."""
    _, _, section = ARCHITECTURE.read_text().partition("## Which part imports which")
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    return [set(re.findall(r"`(\w+)`", row)) for row in reversed(rows)]


def test_every_part_has_its_layer():
    named = [part for layer in layers() for part in layer]
    assert sorted(named) == sorted({part_of(module) for module in FILES} - ABOVE_ALL)


def test_imports_point_to_lower_layers():
    height = {part: index for index, layer in enumerate(layers()) for part in layer}
    height |= dict.fromkeys(ABOVE_ALL, len(height))
    wrong = {
        module: other
        for module, others in IMPORTS.items()
        for other in others
        if part_of(other) != part_of(module) and height[part_of(other)] >= height[part_of(module)]
        if {part_of(module), part_of(other)} != {"__main__", "cli"}
    }
    assert not wrong


def test_no_module_imports_itself_through_others():
    TopologicalSorter(IMPORTS).prepare()  # raises CycleError with the circle


def test_a_file_fits_in_the_head():
    lines = {module: len(path.read_text().splitlines()) for module, path in FILES.items()}
    assert {module: count for module, count in lines.items() if count > 300} == {}


def test_the_loop_names_no_method():
    methods = {path.stem for path in (ROOT / "methods").glob("*.py")} - {"__init__", "base"}
    assert methods
    for path in (ROOT / "training").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("unskip.methods"):
                assert node.module == "unskip.methods.base", path


def test_the_command_line_answers_without_torch():
    code = "import sys, unskip.cli; unskip.cli.app(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_runtimes_are_reached_without_torch():
    """A process that measures a file holds what its runtime needs and no more."""
    code = "import sys, unskip.runtimes; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_can_be_imported_and_says_what_it_is():
    methods = {method.__name__ for method in METHODS.values()}
    assert methods < set(unskip.__all__), "one has a method that is not among them, at the head of __init__.pyi"
    assert 20 <= len(set(unskip.__all__) - methods) <= 31
    for name in unskip.__all__:
        assert getattr(unskip, name).__doc__, name


def test_public_names_are_imported_when_they_are_used():
    code = "import sys, unskip; assert 'torch' not in sys.modules; unskip.make_net; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_edits_are_an_attribute_in_a_fresh_process():
    code = "import unskip; assert callable(unskip.edits.without_shortcuts) and 'without_shortcuts' in dir(unskip.edits)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
