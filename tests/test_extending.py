"""Adding a thing is adding a file: one of each kind, in a folder of its own, is found in help, docs and use."""

import contextlib
import importlib
import io
import json
import runpy
import sys
from pathlib import Path

import pytest

from unskip.cli import main
from unskip.recipe import load_recipe

GENERATE = Path(__file__).resolve().parents[1] / "docs" / "generate.py"

FILES = {
    "methods/even_kd.py": '''
"""Distillation with equal shares."""

from unskip.methods.kd import KD


class EvenKD(KD):
    """KD by another name."""
''',
    "surgery/with_doubled_logits.py": '''
"""Twice the logits."""

import torch

from unskip.surgery._edit import edit


@edit
def with_doubled_logits(net):
    """A copy of a network that gives twice its logits."""
    with torch.no_grad():
        for parameter in net.head.parameters():
            parameter *= 2
    return net
''',
    "measures/tensors.py": '''
"""How many tensors a network has."""

from unskip.measures import Measure
from unskip.records import Figure


class Tensors(Measure):
    """Parameter tensors."""

    title, unit, kind, order = "Tensors", "count", "size", 99
    definition = "Tensors: how many tensors are trained"

    def of_net(self, net):
        return None if net.net is None else Figure(value=len(list(net.net.parameters())))
''',
    "tasks/doubled.py": '''
"""Classification with half of a score for everybody."""

from dataclasses import replace

from unskip.tasks.classification import Classification


class Doubled(Classification):
    """Half of the score is given."""

    metric = "half_given"

    def evaluate(self, predict, batches):
        score = super().evaluate(predict, batches)
        return replace(score, figures={"half_given": 0.5 + score.figures["top1"] / 2}, chance=None)
''',
    "measures/half_given.py": '''
"""What the task answers."""

from unskip.measures._scores import Scored


class HalfGiven(Scored):
    """At least half."""

    title, order = "Half given", 98
    definition = "Half given: at least half"
''',
    "export/formats/renamed_torch.py": '''
"""PyTorch's files, written twice."""

from unskip.export.formats.torch import Torch


class RenamedTorch(Torch):
    """Files of the runtime of this name."""

    order, runtime_name = 9, "renamed_torch"
''',
    "runtimes/renamed_torch.py": '''
"""PyTorch under another ending."""

from unskip.runtimes.torch import PyTorch


class RenamedTorch(PyTorch):
    """Runs .pt3 files."""

    title, endings = "Renamed PyTorch", (".pt3",)
''',
    "analyses/deepest.py": '''
"""How many layers the network has."""

from dataclasses import dataclass

from unskip.analyses import Analysis


@dataclass(frozen=True)
class Deepest(Analysis):
    """Layers."""

    layers: int

    @classmethod
    def of(cls, network):
        return cls(len(list(network.net.modules())))

    def show(self, console):
        yield f"it has {self.layers} layers"
''',
    "run_analyses/largest_weight.py": '''
"""The largest weight of every network."""

from dataclasses import dataclass

from unskip.records.run_analysis import WordTable
from unskip.run_analyses import AnalysisOfRuns


@dataclass(frozen=True)
class LargestWeight(AnalysisOfRuns):
    """By network."""

    title = "Largest weight"

    weights: dict[str, float]

    @classmethod
    def of(cls, runs, *, among: int = 1000):
        found = {}
        for subject in runs.subjects:
            for run, net in subject.nets():
                found[subject.label] = max(float(each.detach().abs().max()) for each in list(net.parameters())[:among])
        return cls(runs.about, found)

    def how(self):
        return "All of them."

    def tables(self):
        rows = tuple((label, f"{weight:.2f}") for label, weight in self.weights.items())
        return [WordTable(title="Weights", columns=("network", "largest"), rows=rows)]
''',
    "runtimes/renamed_onnx.py": '''
"""ONNX files under another ending."""

from unskip.runtimes.onnxruntime import OnnxRuntime


class RenamedOnnx(OnnxRuntime):
    """Runs .renamed files."""

    title, endings = "Renamed ONNX", (".renamed",)
''',
    "study/engines/one_by_one.py": '''
"""Processes on this machine, one after the other."""

from unskip.study.engines.local import Local


class OneByOne(Local):
    """It has no settings of its own."""

    def __init__(self, *, jobs: int | None = None, patience: float = 2.5) -> None:
        super().__init__(jobs=1)
''',
    "cli/greet_all.py": '''
"""A command."""


def greet_all(name: str = "you") -> None:
    """Say hello."""
    print("hello", name)
''',
}
SMALL = {
    "task": "doubled",
    "data": {"name": "digits", "limit": 100, "test_limit": 50},
    "teacher": {"net": "resnet8", "options": {"width": 4}, "accept_weak": True},
    "student": {"edits": ["without_shortcuts", "with_doubled_logits"]},
    "methods": {"even_kd": {}},
    "training": {"epochs": 1, "batch_size": 50},
    "measure": {"latency": False, "parity_images": 20},
}


def command(folder: Path, *arguments: object) -> str:
    """What a command prints, white space single."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["unskip", *map(str, arguments)])
        patch.chdir(folder)
        with pytest.raises(SystemExit) as stop:
            main()
    assert not stop.value.code, err.getvalue()
    return " ".join(out.getvalue().split())


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """A folder with a file of each kind, which the package's folders are looked for in too, and a run with them."""
    folder = tmp_path_factory.mktemp("added")
    with pytest.MonkeyPatch.context() as patch:
        for place, text in FILES.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text.lstrip())
            package = importlib.import_module(f"unskip.{Path(place).parent}".replace("/", "."))
            patch.setattr(package, "__path__", [*package.__path__, str((folder / place).parent)])
        for name in (
            "analyze",
            "bench",
            "export",
            "fit_budget",
            "inspect",
            "study",
        ):  # their helps list what is there when they are read
            patch.delitem(sys.modules, f"unskip.cli.{name}", raising=False)
        (folder / "recipe.yaml").write_text(json.dumps(SMALL))
        command(folder, "run", "recipe.yaml", "--out", "run")
        yield folder
        for place in FILES:
            sys.modules.pop(f"unskip.{place.removesuffix('.py').replace('/', '.')}", None)


def test_a_method_and_an_edit_are_run(added):
    assert load_recipe(added / "run/recipe.yaml").student.edits
    assert "even_kd" in command(added, "methods")
    assert "Distillation with equal shares." in command(added, "methods", "even_kd")
    assert "even_kd" in (added / "run/report.html").read_text()
    assert "50 images" in command(added, "evaluate", "run", "--net", "even_kd")


def test_a_measure_is_in_records_and_pages(added):
    assert '"tensors"' in (added / "run/run.json").read_text()
    assert "Tensors" in (added / "run/report.html").read_text()
    quick = ["--repeats", 1, "--processes", 1, "--image-size", 8, "--json", "bench.json", "--details"]
    assert "Tensors" in command(added, "bench", "resnet8+width=4", *quick)
    assert '"tensors"' in (added / "bench.json").read_text()


def test_a_task_judges_the_run_and_its_files(added):
    run = json.loads((added / "run/run.json").read_text())
    assert (run["task"], run["metric"]) == ("doubled", "half_given")
    assert "Half given" in (added / "run/report.html").read_text()
    assert all("half_given" in subject["figures"] for subject in run["comparison"]["subjects"])
    assert command(added, "evaluate", "run", "--net", "even_kd").startswith("half_given")
    (exported,) = (added / "run/export").glob("even_kd*.onnx")
    assert command(added, "evaluate", exported).startswith("half_given")


def test_a_format_is_written_and_proved(added):
    assert ".pt3" in command(added, "export", "run", "--to", "renamed_torch")
    assert "on 359 images" in command(added, "evaluate", "even_kd.pt3", "--data", "digits")


def test_an_analysis_is_inspected(added):
    arguments = ["inspect", "resnet8", "--set", "width=4", "--image-size", 8]
    assert "it has " in command(added, *arguments)
    assert json.loads(command(added, *arguments, "--json"))["deepest"]["layers"] > 8


def test_an_analysis_of_runs_is_made_and_in_the_report(added):
    said = command(added, "analyze", "run", "--what", "largest_weight", "--set", "among=3", "--json", "found.json")
    assert "Largest weight" in said
    assert "even_kd" in json.loads((added / "found.json").read_text())["figures"]["weights"]
    assert (added / "run/analyses/largest_weight.json").is_file()
    assert "Largest weight" in (added / "run/report.html").read_text()


def test_a_runtime_runs_files(added):
    (exported,) = (added / "run/export").glob("even_kd*.onnx")
    exported.rename(added / "net.renamed")
    said = command(added, "evaluate", "net.renamed", "--data", "digits", "--set", "data.test_limit=50")
    (added / "net.renamed").rename(exported)
    assert said.endswith("on 50 images") or "at chance" in said


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ("bench", "renamed_onnx"),
        ("fit-budget", "renamed_onnx"),
        ("export", "renamed_torch"),
        ("analyze", "largest_weight"),
        ("study", "one_by_one"),
    ],
)
def test_helps_list_it(added, asked, named):
    assert named in command(added, asked, "--help").replace("│ │ ", "")


def test_an_engine_is_chosen(added):
    (added / "study.yaml").write_text("{title: Mine, recipe: demo, grids: [{rows: [{row: plain, net: ce}]}]}")
    arguments = ["study", "study.yaml", "--dry-run", "--seeds", 1, "--on", "one_by_one", "--on-set", "patience=1"]
    assert "with 1 run at once" in command(added, *arguments)


def test_a_command_is_called(added):
    assert "greet-all" in command(added, "--help")
    assert command(added, "greet-all", "--name", "all") == "hello all"


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("reference/methods.md", "## even_kd"),
        ("reference/recipe.md", "### with_doubled_logits"),
        ("reference/command-line.md", "## unskip greet-all"),
        ("reference/catalogue.md", "| `doubled` | Classification with half of a score for everybody. |"),
        ("reference/catalogue.md", "| `tensors` | Tensors | lower |"),
        ("reference/catalogue.md", "| `deepest` | How many layers the network has. |"),
        ("reference/catalogue.md", "| `largest_weight` | The largest weight of every network. |"),
        ("reference/catalogue.md", "| `largest_weight` | `among` | `1000` |"),
        ("reference/study-form.md", "### one_by_one"),
        ("reference/study-form.md", "`patience=2.5`"),
        ("reference/catalogue.md", "| `renamed_onnx` | ONNX files under another ending. |"),
    ],
)
def test_the_pages_name_it(added, page, named):
    assert named in runpy.run_path(str(GENERATE))["PAGES"][page]()
