"""The whole job on a small set of real digits."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import onnx
import pytest
import torch

from unskip import UnskipError, load_net, recipe_from, run_recipe
from unskip.recipe import load_recipe
from unskip.surgery import residual_blocks

SMALL = {
    "data": {"name": "digits", "limit": 300, "test_limit": 100},
    "teacher": {"net": "resnet14", "options": {"width": 4}},
    "methods": {"ce": {}, "align_kd": {}},
    "training": {"epochs": 2, "batch_size": 50},
    "measure": {"repeats": 5, "parity_images": 20},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def finished(runs):
    results = run_recipe(recipe_from(SMALL), runs / "first")
    return runs / "first", results


def test_the_folder_has_all_that_a_run_is(finished):
    folder, _ = finished
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    nets = {f"nets/{label}{ending}" for label in ("teacher", "ce", "align_kd") for ending in (".safetensors", ".json")}
    exported = {f"export/{label}.onnx" for label in ("teacher", "ce", "align_kd")}
    whole = {"recipe.yaml", "environment.json", "metrics.jsonl", "run.json", "report.html"}
    assert files == nets | exported | whole


def test_the_results_are_the_nets(finished):
    folder, results = finished
    assert [net["label"] for net in results["nets"]] == ["teacher", "ce", "align_kd"]
    assert [net["shortcuts"] for net in results["nets"]] == [6, 0, 0]
    teacher, *students = results["nets"]
    assert results["best"] == max(students, key=lambda net: net["top1"])["label"]
    for net in results["nets"]:
        assert net["top1"] == pytest.approx(results["history"][net["label"]][-1]["top1"], abs=0.05)
        assert net["parity"]["max_difference"] < net["parity"]["tolerance"]
        assert net["latency"]["median_ms"] > 0
        loaded, _ = load_net(folder / "nets" / f"{net['label']}.safetensors")
        assert len(residual_blocks(loaded)) == net["shortcuts"]
        assert net["parameters"] == sum(p.numel() for p in loaded.parameters())
        names = {initializer.name for initializer in onnx.load(folder / net["file"]).graph.initializer}
        assert not any("bn" in name for name in names), "BatchNorm is folded away"
    assert teacher["peak_bytes"] > students[0]["peak_bytes"]
    assert json.loads((folder / "run.json").read_text()) == results


def test_the_recipe_in_the_folder_can_be_run_again(finished, runs):
    folder, _ = finished
    recipe = load_recipe(folder / "recipe.yaml")
    assert recipe == recipe_from(SMALL)
    again = run_recipe(recipe, runs / "again")
    for label in ("teacher", "ce", "align_kd"):
        name = f"nets/{label}.safetensors"
        assert (folder / name).read_bytes() == (runs / "again" / name).read_bytes()
    assert again["nets"][0]["reused"], "the teacher is found again by its recipe's hash"


def test_a_complete_run_is_not_run_again(finished):
    folder, results = finished
    before = (folder / "run.json").stat().st_mtime_ns
    assert run_recipe(recipe_from(SMALL), folder) == results
    assert (folder / "run.json").stat().st_mtime_ns == before


def test_another_recipe_in_the_same_folder_is_refused(finished):
    folder, _ = finished
    with pytest.raises(UnskipError, match=r"another recipe.*training.epochs \(2 there, 3 now\)"):
        run_recipe(recipe_from(SMALL, ["training.epochs=3"]), folder)
    assert load_recipe(folder / "recipe.yaml") == recipe_from(SMALL)


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UnskipError, match="no run folder"):
        run_recipe(recipe_from(SMALL), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("settings", "reused"),
    [
        (["methods={kd: {}}"], True),
        (["methods={ce: {}}", "measure.repeats=6", "student.init=teacher"], True),
        (["methods={ce: {}}", "seed=1"], False),
        (["methods={ce: {}}", "data.limit=299"], False),
        (["methods={ce: {}}", "training.batch_size=49"], False),
        (["methods={ce: {}}", "data.padding=2"], False),
    ],
)
def test_a_teacher_is_found_again_when_what_made_it_is_the_same(finished, runs, settings, reused):
    name = re.sub(r"\W+", "-", "".join(settings))
    results = run_recipe(recipe_from(SMALL, [*settings, "measure.latency=false"]), runs / name)
    assert results["nets"][0]["reused"] is reused
    assert results["latency"] is None


def test_a_students_start(finished, runs):
    """From the teacher's weights, with a rate of almost nothing, the student is the teacher without shortcuts."""
    settings = ["methods={ce: {}}", "student.init=teacher", "measure.latency=false", "student.keep=[projection]"]
    still = ["training.schedule.name=constant", "training.optimizer.lr=1e-12", "training.optimizer.weight_decay=0"]
    weights = f"teacher.weights={finished[0] / 'nets' / 'teacher.safetensors'}"
    run_recipe(recipe_from(SMALL, [*settings, *still, weights]), runs / "still")
    student, _ = load_net(runs / "still" / "nets" / "ce.safetensors")
    teacher, _ = load_net(runs / "still" / "nets" / "teacher.safetensors")
    assert len(residual_blocks(student)) == 2
    for name, parameter in student.named_parameters():
        assert torch.allclose(parameter, teacher.get_parameter(name), atol=1e-6)


def test_given_teacher_weights(finished, runs):
    folder, _ = finished
    weights = folder / "nets" / "teacher.safetensors"
    results = run_recipe(recipe_from(SMALL, [f"teacher.weights={weights}", "methods={kd: {}}"]), runs / "given")
    assert results["nets"][0]["reused"]
    assert results["nets"][0]["top1"] == finished[1]["nets"][0]["top1"]
    assert results["history"]["teacher"] == []


def test_a_teacher_of_another_net_or_other_classes_is_refused(finished, runs):
    weights = finished[0] / "nets" / "teacher.safetensors"
    with pytest.raises(UnskipError, match="does not belong to resnet20"):
        run_recipe(recipe_from(SMALL, [f"teacher.weights={weights}", "teacher.net=resnet20"]), runs / "wrong")
    with pytest.raises(UnskipError, match="num_classes is 7, but digits needs 10"):
        run_recipe(recipe_from(SMALL, ["teacher.options={num_classes: 7}"]), runs / "classes")


def command(folder):
    return [sys.executable, "-m", "unskip", "run", str(folder.parent / "small.yaml"), "--out", str(folder)]


def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(finished, runs, tmp_path):
    """SIGKILL while the teacher trains, while a student trains, and while it measures."""
    recipe = recipe_from(SMALL, ["training.checkpoint_minutes=0.0001"])
    (tmp_path / "small.yaml").write_text(recipe.to_yaml())
    folder = tmp_path / "run"
    moments = ["checkpoints/teacher.ckpt", "nets/teacher.safetensors", "checkpoints/align_kd.ckpt", "export/ce.onnx"]
    for moment in moments:
        process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while not (folder / moment).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (folder / moment).exists(), (moment, process.stderr.read().decode())
    assert not (folder / "report.html").exists()
    subprocess.run(command(folder), check=True, capture_output=True)
    for label in ("teacher", "ce", "align_kd"):
        name = f"nets/{label}.safetensors"
        assert (folder / name).read_bytes() == (finished[0] / name).read_bytes(), label
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(row["net"], row["epoch"]) for row in rows] == [
        (label, epoch) for label in ("teacher", "ce", "align_kd") for epoch in (1, 2)
    ]
    left = [path.name for path in folder.rglob("*") if path.name.endswith(".tmp")]
    assert not left, "temporary files of a killed run are cleared away"


def test_two_processes_train_as_one_run(tmp_path):
    """Under torchrun the batch is shared; the run ends with one folder and no leftovers."""
    (tmp_path / "small.yaml").write_text(
        recipe_from(SMALL, ["methods={align_kd: {}}", "measure.latency=false"]).to_yaml()
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    folder = tmp_path / "run"
    done = subprocess.run(
        [*torchrun, "-m", "unskip", "run", str(tmp_path / "small.yaml"), "--out", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(row["net"], row["epoch"]) for row in rows] == [(n, e) for n in ("teacher", "align_kd") for e in (1, 2)]
    assert (folder / "report.html").exists()
    shutil.rmtree(folder)
