import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from unskip.bench import BenchSettings, accuracies, bench, names_in, numbers_in, render
from unskip.bench.comparison import _load
from unskip.dataflow import forecast
from unskip.errors import UnskipError
from unskip.evaluation import evaluate
from unskip.export import planned_arena
from unskip.report.bench_record import Bench
from unskip.runtimes import RUNTIMES
from unskip.trained import data_for
from unskip.weights import load_net

QUICK = {"repeats": 4, "processes": 2}


@pytest.fixture(autouse=True)
def _at_home(home, monkeypatch):
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def found(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        targets = ["run:teacher", "run", "plain.onnx", "inside.onnx", "fixed.onnx"]
        return bench(
            targets, BenchSettings(batch_sizes=(1, 2), data="digits", data_settings=("data.test_limit=60",), **QUICK)
        )


def cells(found, group=0):
    return {cell.subject: cell for cell in found.groups[group].cells}


def test_every_target_is_measured_in_every_setting(found):
    assert [(group.threads, group.batch_size) for group in found.groups] == [(1, 1), (1, 2)]
    for group in found.groups:
        assert [cell.subject for cell in group.cells] == [subject.label for subject in found.subjects]
        for cell in group.cells:
            if cell.refused is None:
                assert len(cell.latency.samples_ms) == 4
                assert cell.latency.p10_ms <= cell.latency.median_ms <= cell.latency.p90_ms
                assert cell.latency.images_per_second == pytest.approx(1e3 * group.batch_size / cell.latency.median_ms)


def test_a_file_for_another_batch_size_is_refused_alone(found):
    assert cells(found)["fixed.onnx"].refused == "fixed.onnx takes batches of 2, not of 1"
    assert cells(found)["fixed.onnx"].latency is None
    assert [cell.refused for cell in cells(found).values()].count(None) == 4
    assert cells(found, 1)["fixed.onnx"].latency is not None


def test_ratios_are_to_the_first(found):
    first, second, *_ = found.groups[0].cells
    assert first.ratio is None
    pairs = zip(first.latency.samples_ms, second.latency.samples_ms, strict=True)
    ratios = sorted(slow / fast for slow, fast in pairs)
    assert second.ratio.median == pytest.approx((ratios[1] + ratios[2]) / 2)
    assert second.ratio.difference_shown == (not second.ratio.p10 <= 1 <= second.ratio.p90)


def test_memory_by_three_definitions(found, home):
    teacher, _ = load_net(home / "run/nets/teacher.safetensors")
    for number, batch in enumerate((1, 2)):
        memory = cells(found, number)["run:teacher"].memory
        assert memory.forecast_bytes == batch * forecast(teacher, (1, 8, 8)).peak_bytes
        assert memory.resident_rise_bytes > cells(found, number)["run:teacher"].file_bytes
        if RUNTIMES["executorch"].installed:
            assert memory.arena_bytes == planned_arena(teacher, (1, 8, 8), batch)
            assert memory.unknown == {}
        else:
            assert "not installed" in memory.unknown["arena_bytes"]
    assert cells(found)["run"].memory.forecast_bytes == cells(found)["plain.onnx"].memory.forecast_bytes


def test_the_accuracy_is_that_of_the_file(found, home):
    file = home / "run/nets/ce.safetensors"
    net, info = load_net(file)
    data = data_for(file, info, "digits", ("data.test_limit=60",))
    expected = evaluate(net, data.test_batches(60).epoch(0))
    for name in ("run", "plain.onnx", "inside.onnx"):
        accuracy = cells(found)[name].accuracy
        assert (accuracy.top1, accuracy.images) == (pytest.approx(expected.value, abs=0.02), 60), name


def test_an_export_is_compared_with_its_net_on_test_images(found):
    parity = cells(found)["run"].parity
    assert parity.max_difference < 1e-4
    assert parity.real_images
    assert cells(found)["plain.onnx"].parity is None


def test_the_json_is_complete_and_reads_back(found):
    text = json.dumps(found.model_dump(mode="json"), allow_nan=False)
    again = Bench.model_validate_json(text)
    assert again == found
    assert {"python", "torch", "onnxruntime", "cores", "cpu"} <= again.environment.keys()
    assert again.load.cores >= 1
    assert (again.repeats, again.processes) == (4, 2)
    assert all(len(cell.sha256) == 64 for group in again.groups for cell in group.cells if cell.latency)


def test_the_table_names_all_and_says_what_is_not_there(found):
    console = Console(width=150, record=True, file=io.StringIO())
    render(found, console)
    text = " ".join(console.export_text().split())
    for subject in found.subjects:
        assert subject.label in text
    for words in ("Forecast", "Arena", "Resident", "fixed.onnx: not measured: fixed.onnx takes batches of 2"):
        assert words in text
    assert "plain.onnx, inside.onnx: no parity: the file was not exported here." in text
    assert "4 rounds over 2 fresh processes" in text


def test_accuracies_that_are_not_known_have_a_reason():
    settings = BenchSettings(image_size=(16, 16), **QUICK)
    found = bench(["resnet8+width=2", "plain.onnx"], settings)
    assert cells(found)["resnet8+width=2"].no_accuracy == "the weights are random"
    assert "say with --data" in cells(found)["plain.onnx"].no_accuracy
    assert not cells(found)["resnet8+width=2"].parity.real_images
    assert "differ in their shape" in found.notes[0]
    assert "resnet8+width=2 3x16x16, plain.onnx 1x8x8" in found.notes[0]
    off = bench(["run"], BenchSettings(accuracy=False, **QUICK))
    assert cells(off)["run"].no_accuracy == "not asked for"


def test_data_of_other_classes_is_a_reason(home):
    for label in ("cat", "dog"):
        (home / "pets" / label).mkdir(parents=True, exist_ok=True)
        for index in range(4):
            grey = 20 * index + 100 * (label == "dog")  # no image twice
            Image.new("L", (8, 8), grey).save(home / "pets" / label / f"{index}.png")
    found = bench(["run"], BenchSettings(data="pets", **QUICK))
    assert "the network" in cells(found)["run"].no_accuracy


def test_equal_files_are_evaluated_once(monkeypatch):
    seen = []
    evaluate_file = accuracies.evaluate_file
    monkeypatch.setattr(
        accuracies, "evaluate_file", lambda path, images: seen.append(path) or evaluate_file(path, images)
    )
    found = bench(["inside.onnx", "inside.onnx"], BenchSettings(threads=(1, 2), data="digits", **QUICK))
    assert len(seen) == 1
    assert all(cell.accuracy for group in found.groups for cell in group.cells)


@pytest.mark.parametrize(
    ("settings", "saying"),
    [
        ({"runtimes": ("onnxruntim",)}, "no runtime 'onnxruntim'.*did you mean 'onnxruntime'"),
        ({"runtimes": ()}, "at least one runtime"),
        ({"threads": (0,)}, "whole numbers of 1 or more"),
        ({"repeats": 0}, "whole numbers of 1 or more"),
        ({"device": "gpu"}, "no device 'gpu'"),
        ({"data": "nowhere"}, "--data nowhere"),
        ({"data_settings": ("training.epochs=3",)}, "only the data can change here"),
        ({"data_settings": ("data.test_limt=3",)}, "did you mean 'test_limit'"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(settings, saying, monkeypatch):
    monkeypatch.setattr("unskip.bench.comparison.measure_files", None)
    with pytest.raises(UnskipError, match=saying):
        bench(["run"], BenchSettings(**settings))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_cuda_is_refused():
    with pytest.raises(UnskipError, match="there is no CUDA device here"):
        bench(["run"], BenchSettings(device="cuda"))


def test_a_runtime_that_does_not_run_on_the_device_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(UnskipError, match="OpenVINO runs on cpu here, not on cuda; leave it out"):
        bench(["run"], BenchSettings(runtimes=("openvino",), device="cuda"))


def test_nothing_to_measure_is_refused():
    with pytest.raises(UnskipError, match=r"nothing could be measured: fixed\.onnx takes batches of 2, not of 3"):
        bench(["fixed.onnx"], BenchSettings(batch_sizes=(3,), **QUICK))


def test_a_runtime_that_cannot_run_a_file_is_said():
    torch_only = bench(
        ["plain.onnx", "run"], BenchSettings(runtimes=("torch",), accuracy=False, repeats=2, processes=1)
    )
    assert "PyTorch does not run .onnx files; ONNX Runtime and OpenVINO do" in cells(torch_only)["plain.onnx"].refused
    assert cells(torch_only)["run"].ratio is None, "the first was not measured"


def test_a_busy_machine_is_warned_about(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr("os.getloadavg", lambda: (0.9, 0, 0))
    assert _load().warning is None
    monkeypatch.setattr("os.getloadavg", lambda: (2.5, 0, 0))
    assert "load average 2.5 on 4 cores" in _load().warning


def test_lists_on_the_command_line():
    assert names_in("torch, openvino,torch,") == ("torch", "openvino")
    assert numbers_in("--batch", "8,1,8") == (8, 1)
    for text in ("", "1,x", "0", "-1", "1.5"):
        with pytest.raises(UnskipError, match=r"--batch '.*': expected whole numbers of 1 or more"):
            numbers_in("--batch", text)


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    bench([str(Path("run").resolve())], BenchSettings(accuracy=False, **QUICK))
    assert list(tmp_path.glob("unskip*")) == []
