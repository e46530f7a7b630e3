"""Eight unlabelled photographs and a net of the user's own that answers with maps: recipe to report."""

import sys

import numpy as np
import pytest
from PIL import Image

from unskip.compare import Settings, bench
from unskip.deploying import evaluate_target
from unskip.exporting import export_target
from unskip.own_code import allow_module
from unskip.recipe import recipe_from
from unskip.run import run_recipe

NETS = """
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.bn, self.relu = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
    def forward(self, x):
        return self.relu(x + self.bn(self.conv(x)))

def tiny(num_classes=5):
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(stem, Block(8), nn.MaxPool2d(2), Block(8), nn.Conv2d(8, num_classes, 1))

def half(net):
    return 0.5
"""


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    random = np.random.default_rng(0)
    for index in range(8):
        small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        small.resize((60, 45)).save(tmp_path / "photos" / f"{index}.jpg")
    (tmp_path / "matched_nets.py").write_text(NETS)
    yield tmp_path / "photos"
    sys.modules.pop("matched_nets", None)


def test_a_run_without_labels(photographs, tmp_path):
    allow_module("matched_nets")
    recipe = recipe_from(
        {
            "task": {"name": "matching", "score": "matched_nets:half"},
            "data": {"name": "images", "path": str(photographs), "image_size": 32, "workers": 0},
            "teacher": {"net": "matched_nets:tiny"},
            "training": {"epochs": 2, "batch_size": 4},
            "measure": {"latency": False},
        }
    )
    run = run_recipe(recipe, tmp_path / "run")
    assert (run.task, run.metric, run.data.classes, run.data.chance) == ("matching", "agreement", (), None)
    assert run.score(run.teacher) == 1
    assert {net.label: run.figure(net, "own_score").value for net in run.nets} == {"teacher": 0.5, "fade_kd": 0.5}
    student, teacher = (evaluate_target(tmp_path / "run", None, (), label=label) for label in ("fade_kd", "teacher"))
    assert student.value == pytest.approx(run.score(run.best_student), abs=1e-6)
    assert teacher.value == 1
    file = evaluate_target(tmp_path / "run" / "export" / "teacher.onnx", None, ())
    assert file.value == pytest.approx(1, abs=1e-4)
    assert "own_score" not in file.figures
    for normalization in ("inside", "outside"):
        (exported,) = export_target(tmp_path / "run", tmp_path / f"{normalization}.onnx", normalization=normalization)
        assert exported.scores.net.value == pytest.approx(student.value, abs=1e-6)
        assert exported.scores.file.value == pytest.approx(student.value, abs=1e-4)
        assert ("own_score" in exported.scores.net.figures) == (normalization == "outside")  # of nets as they are
    quick = Settings(timed=False, quick=True)
    (judged,) = bench(["run:teacher"], quick).groups[0].cells
    (unknown,) = bench(["run:teacher"], quick, accuracy=False).groups[0].cells
    assert judged.figures["agreement"].value == pytest.approx(1, abs=1e-4)
    assert unknown.figures["agreement"].unknown == "not asked for"
    assert "top1" not in judged.figures.keys() | unknown.figures.keys()
    (moved,) = (tmp_path / "run" / "nets").glob("fade_kd*")
    alone = moved.rename(tmp_path / moved.name)
    (exported,) = export_target(alone, tmp_path / "alone.onnx", data=str(photographs), settings=["data.name=images"])
    assert exported.scores.net.value == 1
