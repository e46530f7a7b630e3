"""The whole job on a small set of real digits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import onnx
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from unskip import DataRecipe, UnskipError, build, load_data, load_net, make_net, run_recipe, save_net
from unskip.data_info import DataInfo
from unskip.deploying import evaluate_target
from unskip.evaluation import evaluate_file
from unskip.exporting import export_target
from unskip.recipe import load_recipe, recipe_from
from unskip.records import Run
from unskip.report.sentences import sentences
from unskip.run_folder import RunFolder
from unskip.run_plan import data_of_run, planned_trainings
from unskip.surgery import residual_blocks

SMALL = {
    "data": {"name": "digits", "limit": 300, "test_limit": 100},
    "teacher": {"net": "resnet14", "options": {"width": 4}, "accept_weak": True},
    "methods": {"ce": {}, "align_kd": {}},
    "training": {"epochs": 2, "batch_size": 50},
    "measure": {"repeats": 5, "parity_images": 20},
}
UNTIMED = ["measure.latency=false", "measure.runtime=torch"]  # the cheapest files, where they are not what is tested


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
    labels = ("teacher", "ce", "align_kd")
    nets = {f"trained/{label}{ending}" for label in labels for ending in (".safetensors", ".json")}
    nets |= {f"nets/{label}.safetensors" for label in labels}
    exported = {f"export/{label}.onnx" for label in ("teacher", "ce", "align_kd")}
    whole = {"recipe.yaml", "environment.json", "inputs.json", "metrics.jsonl", "run.json", "report.html"}
    assert files == nets | exported | whole


def test_the_results_are_the_nets(finished):
    folder, results = finished
    assert [net.label for net in results.nets] == ["teacher", "ce", "align_kd"]
    assert [results.subject(net).shortcuts for net in results.nets] == [6, 0, 0]
    assert results.score(results.best_student) == max(map(results.score, results.students))
    for net in results.nets:
        assert results.score(net) == pytest.approx(results.epochs_of(net)[-1].score, abs=0.05)
        cell = results.cell(net)
        assert cell.figures["parity"].value < cell.figures["parity"].allowed
        assert (cell.figures["parity"].images, cell.figures["parity"].remark) == (20, None)
        assert cell.figures["top1"].value == results.score(net)
        assert len(cell.figures["latency"].samples) == 5
        assert (cell.speedup is None) == (net == results.teacher)
        loaded, _ = load_net(folder / "nets" / f"{net.label}.safetensors")
        assert len(residual_blocks(loaded)) == results.subject(net).shortcuts
        assert results.figure(net, "parameters").value == sum(p.numel() for p in loaded.parameters())
        file = onnx.load(folder / cell.file)
        assert not any("bn" in initializer.name for initializer in file.graph.initializer), "BatchNorm is folded away"
        assert {prop.key: prop.value for prop in file.metadata_props}["normalization"] == "inside"
    answers = results.answers
    assert answers.images == results.data.num_test
    for who, net in (("teacher", results.teacher), ("winner", results.best_student)):
        assert sum(getattr(each, who) for each in answers.classes) == round(results.score(net) * answers.images)
    peaks = [results.subject(net).memory.peak_bytes for net in results.nets]
    assert peaks == [results.figure(net, "peak").value for net in results.nets]
    assert peaks[0] > peaks[1]
    assert json.loads((folder / "run.json").read_text()) == results.model_dump(mode="json")


def test_the_recipe_in_the_folder_can_be_run_again_and_its_report_grows_meanwhile(finished, runs, monkeypatch):
    monkeypatch.setattr("unskip.run._WORTH_A_REPORT", 0.0)
    folder, pages = runs / "again", {}

    def look(row):
        page = folder / "report.html"
        pages[row["net"]] = page.read_text() if page.exists() else ""

    assert load_recipe(finished[0] / "recipe.yaml") == recipe_from(SMALL)
    again = run_recipe(load_recipe(finished[0] / "recipe.yaml", UNTIMED), folder, on_epoch=look)
    assert not pages["ce"], "a page needs a student"
    assert "1 of 2 students are trained. To come: align_kd" in pages["align_kd"]
    assert 'http-equiv="refresh"' in pages["align_kd"]
    assert not any(word in (folder / "report.html").read_text() for word in ("To come", 'http-equiv="refresh"'))
    assert again.teacher.reused, "the teacher is found again by its recipe's hash"
    assert "latency" not in again.comparison.measures
    for label in ("teacher", "ce", "align_kd"):
        name = f"nets/{label}.safetensors"
        assert (folder / name).read_bytes() == (finished[0] / name).read_bytes()


def test_a_complete_run_is_not_run_again(finished):
    folder, results = finished
    before = (folder / "run.json").stat().st_mtime_ns
    assert run_recipe(recipe_from(SMALL), str(folder)) == results
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
    """By the plan, which asks as a run does; runs that find it and that do not are those beside."""
    recipe, folder = recipe_from(SMALL, settings), RunFolder(runs / "another")
    left = planned_trainings(recipe, data_of_run(recipe, folder), folder, unless_shorter=60.0)
    assert [training.label for training in left] == [*(() if reused else ("teacher",)), *recipe.methods]


def test_snapshots_are_kept_and_found_again_with_the_teacher(finished, runs):
    """A teacher that was kept without them is trained again, ends with the same bytes, and has them from then on."""
    wanted = ["methods={ce: {}}", "training.snapshots=[0, 1]", *UNTIMED]
    first, again = runs / "snapshots", runs / "snapshots again"
    assert not run_recipe(recipe_from(SMALL, wanted), first).teacher.reused
    assert run_recipe(recipe_from(SMALL, wanted), again).teacher.reused
    assert {path.name for path in (first / "snapshots").iterdir()} == {"teacher", "ce"}
    for place in ("trained/teacher", "snapshots/teacher/epoch-0", "snapshots/teacher/epoch-1", "snapshots/ce/epoch-1"):
        file = f"{place}.safetensors"
        assert (first / file).read_bytes() == (again / file).read_bytes()
    name = "trained/teacher.safetensors"
    assert (first / name).read_bytes() == (finished[0] / name).read_bytes()
    fresh, _ = load_net(first / "snapshots/ce/epoch-0.safetensors")
    trained, _ = load_net(first / "trained/ce.safetensors")
    assert fresh.spec == trained.spec
    assert int(fresh.stem[1].num_batches_tracked) == 0 < int(trained.stem[1].num_batches_tracked)


def test_a_students_start(finished, runs):
    """From the teacher's weights, with a rate of almost nothing, the student is the teacher without shortcuts."""
    settings = [
        "methods={ce: {}}",
        "student.init=teacher",
        *UNTIMED,
        "student.edits=[{without_shortcuts: {keep: [projection]}}]",
    ]
    still = "{epochs: 1, schedule: {name: constant}, optimizer: {lr: 1.0e-12, weight_decay: 0.0}}"
    settings.append(f"methods.ce.training={still}")
    weights = f"teacher.weights={finished[0] / 'nets' / 'teacher.safetensors'}"
    results = run_recipe(recipe_from(SMALL, [*settings, weights]), runs / "still")
    assert [len(results.history[label]) for label in ("teacher", "ce")] == [0, 1]
    student, _ = load_net(runs / "still" / "nets" / "ce.safetensors")
    teacher, _ = load_net(runs / "still" / "nets" / "teacher.safetensors")
    assert len(residual_blocks(student)) == 2
    for name, parameter in student.named_parameters():
        assert torch.allclose(parameter, teacher.get_parameter(name), atol=1e-6)


def test_given_teacher_weights(finished, runs):
    folder, _ = finished
    weights = folder / "nets" / "teacher.safetensors"
    results = run_recipe(
        recipe_from(SMALL, [f"teacher.weights={weights}", "teacher.accept_weak=true", "methods={kd: {}}", *UNTIMED]),
        runs / "given",
    )
    assert results.teacher.reused
    assert results.score(results.teacher) == finished[1].score(finished[1].teacher)
    assert results.history["teacher"] == ()


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
    often = ["training.checkpoint_minutes=0.0001", "training.snapshots=[0, 2]", "measure.latency=false"]
    recipe = recipe_from(SMALL, often)
    (tmp_path / "small.yaml").write_text(recipe.to_yaml())
    folder = tmp_path / "run"
    moments = ["checkpoints/teacher.ckpt", "checkpoints/align_kd.ckpt", "export/teacher.onnx"]
    for moment in moments:
        process = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 120
        while not (folder / moment).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (folder / moment).exists(), (moment, process.stderr.read().decode())
    assert not (folder / "run.json").exists(), "which has the results, and is the last but for the report"
    run_recipe(recipe, folder)
    for label in ("teacher", "ce", "align_kd"):
        name = f"nets/{label}.safetensors"
        assert (folder / name).read_bytes() == (finished[0] / name).read_bytes(), label
        trained = (finished[0] / f"trained/{label}.safetensors").read_bytes()
        assert (folder / f"snapshots/{label}/epoch-2.safetensors").read_bytes() == trained, label
        assert (folder / f"snapshots/{label}/epoch-0.safetensors").read_bytes() != trained, label
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(row["net"], row["epoch"]) for row in rows] == [
        (label, epoch) for label in ("teacher", "ce", "align_kd") for epoch in (1, 2)
    ]
    left = [path.name for path in folder.rglob("*") if path.name.endswith(".tmp")]
    assert not left, "temporary files of a killed run are cleared away"


def test_two_processes_train_as_one_run(tmp_path):
    """Under torchrun the batch is shared; the run ends with one folder and no leftovers."""
    (tmp_path / "small.yaml").write_text(
        recipe_from(SMALL, ["methods={align_kd: {}}", "training.snapshots=[0, 1, 2]", *UNTIMED]).to_yaml()
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
    assert "2 processes share every batch; BatchNorm takes its statistics over its own share" in done.stdout
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [(row["net"], row["epoch"]) for row in rows] == [(n, e) for n in ("teacher", "align_kd") for e in (1, 2)]
    assert (folder / "report.html").exists()
    for label in ("teacher", "align_kd"):
        kept = [(folder / f"snapshots/{label}/epoch-{epochs}.safetensors").read_bytes() for epochs in (0, 1, 2)]
        assert len(set(kept)) == 3
        assert kept[2] == (folder / f"trained/{label}.safetensors").read_bytes()
    # Two halves of a batch, whoever computes them. BatchNorm's running statistics are the first process's there and of
    # both halves here, so the student's teacher is another.
    parts = load_recipe(folder / "recipe.yaml", ["training.gradient_accumulation=2", "methods={ce: {}}"])
    run_recipe(parts, tmp_path / "parts")
    both, one = (load_file(at / "trained/teacher.safetensors") for at in (folder, tmp_path / "parts"))
    for name, weights in both.items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(weights, one[name], rtol=1e-4, atol=1e-6)
    shutil.rmtree(folder)


def test_teacher_and_student_with_edits_of_their_own(runs):
    """A grouped student of a teacher grouped otherwise, and one that inherits the teacher's edits."""
    teacher = ["teacher.edits=[{with_grouped_convs: {groups: 2}}]", "methods={ce: {}}", *UNTIMED]
    grouped = "student.edits=[{with_grouped_convs: {channels_per_group: 2}}, without_shortcuts]"
    run_recipe(
        recipe_from(SMALL, [*teacher, "student.net=resnet14", "student.options={width: 4}", grouped]), runs / "a"
    )
    run_recipe(recipe_from(SMALL, [*teacher, "student.edits=[{at_depth: {blocks: [1, 1, 1]}}]"]), runs / "b")
    nets = {
        name: load_net(runs / name[0] / "nets" / f"{name[2:]}.safetensors")[0] for name in ("a/teacher", "a/ce", "b/ce")
    }
    convs = {name: net.stage3.block1.body.conv1.conv for name, net in nets.items()}
    assert {name: conv.groups for name, conv in convs.items()} == {"a/teacher": 2, "a/ce": 4, "b/ce": 2}
    assert [len(residual_blocks(net)) for net in nets.values()] == [6, 0, 3]
    run = Run.read(runs / "b")
    assert run.subject(run.best_student).shortcuts == 3


FAMILY = ["methods={embedded_kd: {depths: [[1, 1, 1], [1, 2, 1]]}}", "student.edits=[]"]


@pytest.fixture(scope="module")
def family(finished, runs):
    return runs / "family", run_recipe(recipe_from(SMALL, FAMILY), runs / "family")


def test_networks_of_several_depths_come_out_of_one_training(family):
    folder, results = family
    labels = ["embedded_kd-full", "embedded_kd-1-1-1", "embedded_kd-1-2-1"]
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    whole = {"recipe.yaml", "environment.json", "inputs.json", "metrics.jsonl", "run.json", "report.html"}
    trained = {
        f"trained/{label}{ending}" for label in ("teacher", "embedded_kd") for ending in (".safetensors", ".json")
    }
    places = {
        place for label in ["teacher", *labels] for place in (f"nets/{label}.safetensors", f"export/{label}.onnx")
    }
    assert files == whole | trained | places

    students = results.students
    assert [net.label for net in students] == labels
    subjects = [results.subject(net) for net in students]
    assert [(each.depth, each.shortcuts) for each in subjects] == [(None, 6), ((1, 1, 1), 3), ((1, 2, 1), 4)]
    assert {net.training for net in students} == {"embedded_kd"}
    assert list(results.history) == ["teacher", "embedded_kd"]
    assert results.score(students[0]) == pytest.approx(results.history["embedded_kd"][-1].score, abs=0.05)
    full, small, middle = (results.figure(net, "macs").value for net in students)
    assert full > middle > small
    assert all(results.figure(net, "latency").value > 0 for net in results.nets)


def test_each_of_them_is_evaluated_and_exported_by_its_file(family, tmp_path):
    folder, results = family
    for net in results.nets:
        file = folder / "nets" / f"{net.label}.safetensors"
        for target in (file, folder / results.cell(net).file):
            assert evaluate_target(target, None, ()).value == pytest.approx(results.score(net), abs=0.011), target
        assert results.figure(net, "parameters").value == sum(p.numel() for p in load_net(file)[0].parameters())
    best = max(map(results.score, results.students))
    assert evaluate_target(folder, None, ()).value == pytest.approx(best, abs=0.011)
    file = folder / "nets" / "embedded_kd-1-2-1.safetensors"
    (exported,) = export_target(file, tmp_path / "again.onnx", images=20)
    images = load_data(DataRecipe(limit=300, test_limit=100)).scaled().test_batches(50).epoch(0)
    assert evaluate_file(exported.path, images).value == pytest.approx(results.score(results.nets[3]), abs=0.011)


def test_all_of_them_in_one_file(family, tmp_path):
    folder, results = family
    top1 = [results.score(net) for net in results.students]
    done = list(export_target(folder, tmp_path, switchable=True, images=20))
    assert [path.name for path in tmp_path.iterdir()] == ["embedded_kd-switchable.onnx"]
    assert [each.scores.file.value for each in done] == pytest.approx(top1, abs=0.011)
    data = ["data.limit=300", "data.test_limit=100"]
    for depth, expected in zip(("full", "1-1-1", "1-2-1"), top1, strict=True):
        found = evaluate_target(done[0].path, "digits", data, depth=depth).value
        assert found == pytest.approx(expected, abs=0.011), depth


def test_no_sentence_says_that_their_shortcuts_are_gone(family):
    folder, results = family
    learned = results.model_dump(mode="json")
    for subject in learned["comparison"]["subjects"]:
        subject["figures"]["top1"]["value"] = 0.9  # the headline is of those that learned something
    (headline,) = sentences(Run.model_validate(learned), "headline")
    assert "with embedded_kd:" in headline
    assert "without" not in " ".join([headline, *sentences(results, "headline")])
    page = (folder / "report.html").read_text()
    assert "without shortcuts" not in page
    assert any("embedded_kd-full" in note and "embedded_kd-1-1-1" in note for note in sentences(results, "notes"))
    assert page.count("Loss terms of embedded_kd by epoch") == 1


def test_a_run_that_lost_them_makes_them_again(finished, runs):
    """From the training's own file and the same images: the same bytes, without another training."""
    fields = "methods={both: {method: embedded_kd, batch_norm: recalibrated}}"
    recipe, folder = recipe_from(SMALL, [fields, *UNTIMED]), runs / "recalibrated"
    run_recipe(recipe, folder)
    before = {path.name: path.read_bytes() for path in (folder / "nets").iterdir()}
    assert set(before) == {f"{label}.safetensors" for label in ("teacher", "both-full", "both-1-1-1")}
    shutil.rmtree(folder / "nets")
    (folder / "run.json").unlink()
    lines = (folder / "metrics.jsonl").read_text()
    results = run_recipe(recipe, folder)
    assert {path.name: path.read_bytes() for path in (folder / "nets").iterdir()} == before
    assert (folder / "metrics.jsonl").read_text() == lines
    shortcuts = [(net.label, results.subject(net).shortcuts) for net in results.students]
    assert shortcuts == [("both-full", 0), ("both-1-1-1", 0)]


def test_a_label_that_another_methods_network_takes_is_refused(finished, runs):
    labels = ["methods={embedded_kd: {}, embedded_kd-full: {method: ce}}", "training.epochs=1"]
    with pytest.raises(UnskipError, match=r"methods\.embedded_kd-full: the network full of methods\.embedded_kd"):
        run_recipe(recipe_from(SMALL, labels), runs / "taken")


def test_a_student_that_a_method_cannot_have_stops_before_the_data_is_read(runs):
    wrong = recipe_from(SMALL, ["methods={deep: {method: embedded_kd, depths: [[1, 1, 3]]}}", "data.path=/nowhere"])
    with pytest.raises(UnskipError, match=r"methods\.deep: .*stage3 has 2 blocks, 3 cannot be kept"):
        run_recipe(wrong, runs / "too_deep")
    assert not (runs / "too_deep").exists()


def test_what_cannot_be_built_stops_before_the_data_is_read(runs):
    wrong = recipe_from(SMALL, ["student.edits=[{at_depth: {blocks: [1, 0, 1]}}]", "data.path=/nowhere"])
    with pytest.raises(UnskipError, match=r"stage2\.block1 cannot be left out"):
        run_recipe(wrong, runs / "unbuildable")
    assert not (runs / "unbuildable").exists()


@pytest.mark.parametrize(
    ("method", "epochs", "reason"),
    [
        ("{method: align_kd, taps: [stage9]}", 2, "taps: 'stage9' is no stage of both networks"),
        ("{method: fitnets, hint: stage9}", 2, "hint: 'stage9' is no stage of the teacher"),
        ("{method: fitnets, guided: stage9}", 2, "guided: 'stage9' is no stage of the student"),
        ("{method: fitnets}", 1, "2 phases .* need at least as many epochs, not 1"),
        ("{method: stagewise_kd}", 3, "5 phases .* need at least as many epochs, not 3"),
    ],
)
def test_a_phase_that_cannot_be_stops_before_the_data_is_read(runs, method, epochs, reason):
    settings = [f"methods={{wrong: {method}}}", f"training.epochs={epochs}", "data.path=/nowhere"]
    with pytest.raises(UnskipError, match=rf"methods\.wrong: {reason}"):
        run_recipe(recipe_from(SMALL, settings), runs / "no_phase")
    assert not (runs / "no_phase").exists()


def test_maps_of_other_shapes_stop_before_the_data_is_read(runs):
    for name in ("joint_rd", "stagewise_kd"):
        settings = [f"methods={{{name}: {{}}}}", "student.options={width: 8}", "training.epochs=9"]
        with pytest.raises(UnskipError, match=rf"methods\.{name}: .* maps of one shape .*\(8, .*\(4, "):
            run_recipe(recipe_from(SMALL, settings), runs / "other_shapes")


def test_images_too_small_for_a_net_stop_before_training(runs):
    with pytest.raises(UnskipError, match=r"vgg11-cifar: an image of .* does not fit.*data\.image_size"):
        small = recipe_from(SMALL, ["student.net=vgg11-cifar", "student.edits=[]", "methods={ce: {}}"])
        run_recipe(small, runs / "small")
    assert not (runs / "small" / "nets" / "teacher.safetensors").exists()


@pytest.mark.parametrize("key", ["training.batch_size", "measure.batch_size"])
def test_batches_too_large_for_the_memory_stop_before_training(runs, monkeypatch, key):
    monkeypatch.setattr("unskip.nets.within_memory.machine_bytes", lambda: 2**20)
    sizes = {"training.batch_size": 10, "measure.batch_size": 10} | {key: 10_000}
    recipe = recipe_from(SMALL, [f"{name}={size}" for name, size in sizes.items()])
    with pytest.raises(
        UnskipError, match=rf" images of 1x8x8 in resnet14 would take .*; lower {key} or data\.image_size"
    ):
        run_recipe(recipe, runs / "memory")
    assert not list((runs / "memory").rglob("*.safetensors"))


def test_fine_tuning_on_other_classes(runs, tmp_path):
    """A trained teacher and a trained plain net go on with four classes: the last layer is new, the rest is not."""
    digits = load_digits()
    for index, label in enumerate(digits.target[:200]):
        (tmp_path / "some" / str(label % 4)).mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 15).astype("uint8")).save(tmp_path / f"some/{label % 4}/{index}.png")
    spec = make_net("resnet14", {"width": 4, "num_classes": 7}).spec
    starts = {"teacher": build(spec, seed=1), "ce": build(spec.edited("without_shortcuts"), seed=2)}
    known = DataInfo(tuple("abcdefg"), (3, 8, 8), (0.4, 0.5, 0.6), (0.2, 0.2, 0.2))
    for name, net in starts.items():
        save_net(net, tmp_path / f"{name}.safetensors", known)
    settings = [
        f"teacher.initial_weights={tmp_path / 'teacher.safetensors'}",
        f"student.initial_weights={tmp_path / 'ce.safetensors'}",
        "methods={ce: {}}",
        f"data={{name: image_folder, path: {tmp_path / 'some'}, image_size: 8}}",
        "training={epochs: 1, batch_size: 10, schedule: {name: constant}, optimizer: {lr: 1.0e-12, weight_decay: 0}}",
        *UNTIMED,
    ]
    results = run_recipe(recipe_from(SMALL, settings), runs / "fine-tuned")
    assert len(results.data.classes) == 4
    assert not results.teacher.reused
    for name, start in starts.items():
        after, info = load_net(runs / "fine-tuned" / "nets" / f"{name}.safetensors")
        assert (info.mean, info.std) == (known.mean, known.std)
        assert after.head.fc.out_features == 4
        for key, parameter in start.named_parameters():
            if not key.startswith("head.fc"):
                assert torch.allclose(after.get_parameter(key), parameter, atol=1e-6)
    with pytest.raises(UnskipError, match="does not belong to resnet20"):
        run_recipe(recipe_from(SMALL, [*settings, "teacher.net=resnet20"]), runs / "other")
