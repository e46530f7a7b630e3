import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from unskip.compare import Settings, bench, workbench
from unskip.dataflow import forecast
from unskip.deploying import data_for
from unskip.errors import UnskipError
from unskip.evaluation import evaluate, evaluate_file
from unskip.export import planned_arena
from unskip.measures import Timing
from unskip.records import Comparison
from unskip.runtimes import find_runtime
from unskip.weights import load_net

QUICK = {"repeats": 4, "processes": 2}
UNTIMED = {"timed": False, "quick": True}


@pytest.fixture(autouse=True)
def _at_home(home, monkeypatch):
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def comparison(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        targets = ["run:teacher", "run", "plain.onnx", "inside.onnx", "fixed.onnx"]
        settings = Settings(batch_sizes=(1, 2), **QUICK)
        return bench(targets, settings, data="digits", data_settings=("data.test_limit=60",))


def cells(comparison, group=0):
    return {cell.subject: cell for cell in comparison.groups[group].cells}


def test_every_target_is_measured_in_every_setting(comparison):
    assert [(group.threads, group.batch_size) for group in comparison.groups] == [(1, 1), (1, 2)]
    for group in comparison.groups:
        assert [cell.subject for cell in group.cells] == [subject.label for subject in comparison.subjects]
        for cell in group.cells:
            if cell.refused is None:
                latency = cell.figures["latency"]
                assert len(latency.samples) == 4
                assert latency.low <= latency.value <= latency.high
                images = cell.figures["throughput"].value
                assert images == pytest.approx(1e3 * group.batch_size / latency.value)


def test_a_file_for_another_batch_size_is_refused_alone(comparison):
    assert cells(comparison)["fixed.onnx"].refused == "fixed.onnx takes batches of 2, not of 1"
    assert cells(comparison)["fixed.onnx"].figures == {}
    assert [cell.refused for cell in cells(comparison).values()].count(None) == 4
    assert cells(comparison, 1)["fixed.onnx"].figures["latency"].value > 0


def test_ratios_are_to_the_first(comparison):
    """Of what these files take, whichever is faster: times as fast is the first one's time over this one's."""
    group = comparison.groups[0]
    first, second, *_ = group.cells
    assert first.speedup is None
    pairs = zip(first.figures["latency"].samples, second.figures["latency"].samples, strict=True)
    ratios = sorted(slow / fast for slow, fast in pairs)
    assert second.speedup.median == pytest.approx((ratios[1] + ratios[2]) / 2)
    assert ratios[0] <= second.speedup.low <= second.speedup.median <= second.speedup.high <= ratios[3]


@pytest.mark.parametrize(
    ("times", "median", "shown"),
    [((2.0, 1.0), 2.0, True), ((1.0, 2.0), 0.5, True), ((1.0, 1.0), 1.0, False)],
)
def test_a_difference_is_shown_where_the_rounds_show_one(monkeypatch, times, median, shown):
    """With timings that are known: the same files, as if they took these milliseconds."""
    monkeypatch.setattr(
        workbench,
        "measure_files",
        lambda jobs, **settings: {
            name: Timing([each] * 4, [None], [None]) for name, each in zip(jobs, times, strict=True)
        },
    )
    comparison = bench(["plain.onnx", "inside.onnx"], Settings(**QUICK), accuracy=False)
    speedup = cells(comparison)["inside.onnx"].speedup
    assert (speedup.median, speedup.shows_difference) == (median, shown)
    assert cells(comparison)["inside.onnx"].figures["resident"].unknown == "this system does not tell"


def test_memory_by_three_definitions(comparison, home):
    teacher, _ = load_net(home / "run/nets/teacher.safetensors")
    for number, batch in enumerate((1, 2)):
        figures = cells(comparison, number)["run:teacher"].figures
        assert figures["peak"].value == batch * forecast(teacher, (1, 8, 8)).peak_bytes
        assert figures["resident"].value > figures["file_bytes"].value
        if find_runtime("executorch").installed:
            assert figures["arena"].value == planned_arena(teacher, (1, 8, 8), batch)
        else:
            assert "not installed" in figures["arena"].unknown
    assert cells(comparison)["run"].figures["peak"] == cells(comparison)["plain.onnx"].figures["peak"]
    assert (
        comparison.first.figures["peak"].value
        == comparison.first.memory.peak_bytes
        == forecast(teacher, (1, 8, 8)).peak_bytes
    )


def test_the_accuracy_is_that_of_the_file(comparison, home):
    file = home / "run/nets/ce.safetensors"
    net, info = load_net(file)
    data = data_for(file, info, "digits", ("data.test_limit=60",))
    expected = evaluate(net, data.test_batches(60).epoch(0))
    for name in ("run", "plain.onnx", "inside.onnx"):
        top1 = cells(comparison)[name].figures["top1"]
        assert (top1.value, top1.images) == (pytest.approx(expected.value, abs=0.02), 60), name


def test_an_export_is_compared_with_its_net_on_test_images(comparison):
    figures = cells(comparison)["run"].figures
    assert figures["parity"].value < 1e-4
    assert (figures["parity"].allowed, figures["parity"].images, figures["parity"].remark) == (1e-3, 16, None)
    assert figures["same_answer"].value == 1
    assert cells(comparison)["plain.onnx"].figures["parity"].unknown == "the file was not exported here"


def test_the_json_is_complete_and_reads_back(comparison):
    text = json.dumps(comparison.model_dump(mode="json"), allow_nan=False)
    again = Comparison.model_validate_json(text)
    assert again == comparison
    assert {"python", "torch", "onnxruntime", "cores", "cpu"} <= again.environment.keys()
    assert again.load.cores >= 1
    assert (again.repeats, again.processes) == (4, 2)
    assert all(len(cell.sha256) == 64 for group in again.groups for cell in group.cells if not cell.refused)


def test_accuracies_that_are_not_known_have_a_reason():
    comparison = bench(["resnet8+width=2", "plain.onnx"], Settings(**UNTIMED), image_size=(16, 16))
    figures = {name: cell.figures for name, cell in cells(comparison).items()}
    assert figures["resnet8+width=2"]["top1"].unknown == "the weights are random"
    assert "say with" in figures["plain.onnx"]["top1"].unknown
    assert figures["resnet8+width=2"]["parity"].remark == "on random images"
    assert "differ in their shape" in comparison.notes[0]
    assert "resnet8+width=2 3x16x16, plain.onnx 1x8x8" in comparison.notes[0]
    off = bench(["run"], Settings(**UNTIMED), accuracy=False)
    assert cells(off)["run"].figures["top1"].unknown == "not asked for"


def test_data_of_other_classes_is_a_reason(home):
    for label in ("cat", "dog"):
        (home / "pets" / label).mkdir(parents=True, exist_ok=True)
        for index in range(4):
            grey = 20 * index + 100 * (label == "dog")  # no image twice
            Image.new("L", (8, 8), grey).save(home / "pets" / label / f"{index}.png")
    comparison = bench(["run"], Settings(**UNTIMED), data="pets")
    assert "the network" in cells(comparison)["run"].figures["top1"].unknown


def test_equal_files_are_evaluated_once(monkeypatch):
    seen = []
    monkeypatch.setattr(
        workbench, "evaluate_file", lambda path, *images: seen.append(path) or evaluate_file(path, *images)
    )
    comparison = bench(["inside.onnx", "inside.onnx"], Settings(threads=(1, 2), **UNTIMED), data="digits")
    assert len(seen) == 1
    assert all(cell.figures["top1"].value for group in comparison.groups for cell in group.cells)


def test_a_file_is_judged_by_its_own_test_images(home):
    """Also beside an equal one that belongs to no run."""
    (home / "run/export").mkdir(exist_ok=True)
    shutil.copy("plain.onnx", "run/export/plain.onnx")
    comparison = bench(["plain.onnx", "run/export/plain.onnx"], Settings(**UNTIMED))
    alone, of_run = (cell.figures["top1"] for cell in comparison.groups[0].cells)
    assert "say with" in alone.unknown
    assert of_run.images == 100


@pytest.mark.parametrize(
    ("settings", "saying"),
    [
        ({"runtimes": ("onnxruntim",)}, "no runtime 'onnxruntim'.*did you mean 'onnxruntime'"),
        ({"runtimes": ()}, "at least one runtime"),
        ({"threads": (0,)}, "whole numbers of 1 or more"),
        ({"repeats": 0}, "whole numbers of 1 or more"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"data": "nowhere"}, "nowhere"),
        ({"data_settings": ("training.epochs=3",)}, "only the data can change here"),
        ({"data_settings": ("data.test_limt=3",)}, "did you mean 'test_limit'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(settings, saying, monkeypatch):
    monkeypatch.setattr(workbench, "measure_files", None)
    named = {name: settings.pop(name) for name in ("data", "data_settings") if name in settings}
    with pytest.raises(UnskipError, match=saying):
        bench(["run"], Settings(**settings), **named)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_cuda_is_refused():
    with pytest.raises(UnskipError, match="there is no CUDA device here"):
        bench(["run"], Settings(device="cuda"))


def test_a_runtime_that_does_not_run_on_the_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UnskipError, match="OpenVINO runs on cpu here, not on cuda; leave it out"):
        bench(["run"], Settings(runtimes=("openvino",), device="cuda"))


def test_nothing_to_measure_is_refused():
    with pytest.raises(UnskipError, match=r"nothing could be measured: fixed\.onnx takes batches of 2, not of 3"):
        bench(["fixed.onnx"], Settings(batch_sizes=(3,), **QUICK))


def test_a_runtime_that_cannot_run_a_file_is_said():
    torch_only = bench(["plain.onnx", "run"], Settings(("torch",), repeats=2, processes=1, quick=True), accuracy=False)
    assert "PyTorch does not run .onnx files; ONNX Runtime and OpenVINO do" in cells(torch_only)["plain.onnx"].refused
    assert cells(torch_only)["run"].speedup is None, "the first was not measured"


def test_a_busy_machine_is_warned_about(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (2.5, 0, 0))
    comparison = bench(["plain.onnx"], Settings(repeats=1, processes=1), accuracy=False)
    assert "load average 2.5 on 4 cores" in comparison.load.warning


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    bench([str(Path("run").resolve())], Settings(repeats=1, processes=1, quick=True), accuracy=False)
    assert list(tmp_path.glob("unskip*")) == []
