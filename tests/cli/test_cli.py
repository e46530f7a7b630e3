"""The command line as its reader meets it: what it prints, what it writes, how it refuses."""

import contextlib
import errno
import io
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from unskip.cli import COMMANDS, main
from unskip.nets import make_net
from unskip.recipe import load_recipe

HELPED = [name.replace("_", "-") for name in COMMANDS]
SMALL = {
    "data": {"name": "digits", "limit": 200, "test_limit": 100},
    "teacher": {"net": "resnet14", "options": {"width": 4}},
    "methods": {"ce": {}, "align_kd": {}},
    "training": {"epochs": 1, "batch_size": 50},
    "measure": {"latency": False, "parity_images": 20},
}


@dataclass(frozen=True)
class Ended:
    """How a command ended; white space, which depends on the terminal's width, is single."""

    code: int
    out: str
    err: str


def unskip(*arguments, at: Path) -> Ended:
    """Run a command in a folder, in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["unskip", *map(str, arguments)])
        patch.chdir(at)
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
    return Ended(code, " ".join(out.getvalue().split()), err.getvalue())


def refused(*arguments, at: Path, saying: str) -> str:
    """Assert that a command ends with code 2 and a sentence that matches, and nothing else on stderr."""
    ended = unskip(*arguments, at=at)
    assert ended.code == 2, (ended.out, ended.err)
    assert ended.err.startswith("unskip: ")
    assert ended.err.count("\n") == 1
    assert "Traceback" not in ended.err
    said = " ".join(ended.err.split())
    assert re.search(saying, said), said
    return said


def write_recipe(path: Path, **changes) -> Path:
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


@pytest.fixture
def recipe(tmp_path):
    return write_recipe(tmp_path / "small.yaml")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder in which a small recipe has run."""
    folder = tmp_path_factory.mktemp("home")
    ended = unskip("run", write_recipe(folder / "small.yaml"), at=folder)
    assert ended.code == 0, ended.err
    (folder / "said.txt").write_text(ended.out)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Digits as files: ``split/`` with train and test folders, ``plain/`` with class folders, ``parquet/``."""
    folder = tmp_path_factory.mktemp("images")
    digits = load_digits(n_class=3)
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    rows = {"train": [], "test": []}
    names = ("zero", "one", "two")
    for index, (image, label) in enumerate(zip(pixels[:90], digits.target[:90], strict=True)):
        split, ending = "test" if index % 5 == 0 else "train", ("png", "jpg", "jpeg")[index % 3]
        for place in (folder / "split" / split, folder / "plain"):
            file = place / names[label] / f"{index}.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).convert("RGB").save(file)
        rows[split].append({"image": {"bytes": file.read_bytes(), "path": None}, "label": int(label)})
    (folder / "parquet").mkdir()
    for split, found in rows.items():
        pq.write_table(pa.Table.from_pylist(found), folder / "parquet" / f"{split}-00000-of-00001.parquet")
    return folder


FAST = ["--set", "training.epochs=1", "--set", "training.batch_size=30", "--set", "measure.latency=false"]
TINY = ["--teacher", "resnet14", "--set", "teacher.options.width=2", *FAST]


# What commands say


@pytest.mark.parametrize("command", HELPED)
def test_help_teaches(command, tmp_path):
    ended = unskip(command, "--help", at=tmp_path)
    assert ended.code == 0
    assert f"unskip {command}" in ended.out
    assert re.search(r"[Ee]xamples?:|unskip (inspect|run) ", ended.out)


def test_bare_help_names_every_command_and_where_to_start(tmp_path):
    bare, asked = unskip(at=tmp_path), unskip("-h", at=tmp_path)
    for ended in (bare, asked):
        assert "unskip inspect resnet50" in ended.out
        for command in HELPED:
            assert f" {command} " in ended.out


def test_every_name_that_is_listed_is_known(tmp_path):
    for listing, show in (("methods", "methods"), ("recipes", "recipes")):
        listed = unskip(listing, at=tmp_path)
        assert listed.code == 0
        for name in re.findall(r"(?:^| )(align_kd|ce|kd|demo|cifar10-quick)(?= )", listed.out):
            assert unskip(show, name, at=tmp_path).code == 0
    assert "resnet50 3+4+6+3 bottlenecks" in unskip("nets", at=tmp_path).out


def test_a_method_s_card_names_its_fields_as_set_takes_them(tmp_path):
    card = unskip("methods", "align_kd", at=tmp_path).out
    assert "When to use it" in card
    assert "methods.align_kd.alpha = 0.5" in card


def test_a_printed_recipe_can_be_run(tmp_path):
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown):
        patch.setattr(sys, "argv", ["unskip", "recipes", "demo"])
        with pytest.raises(SystemExit, match="0"):
            main()
    tree = yaml.safe_load(shown.getvalue())
    assert tree["data"]["name"] == "digits"
    (tmp_path / "mine.yaml").write_text(shown.getvalue())
    refused("run", "mine.yaml", "--set", "training.epohcs=1", at=tmp_path, saying="mine.yaml: .*'epochs'")


def test_inspect_says_whether_removal_pays(tmp_path):
    assert "will not lower peak memory: 3.83 MiB with and without" in unskip("inspect", "resnet18", at=tmp_path).out
    assert "Removal pays" in (resnet50 := unskip("inspect", "resnet50", at=tmp_path).out)
    assert "(1.50x)" in resnet50


def test_rectangular_images_by_name(tmp_path):
    assert "image 3x96x64" in unskip("inspect", "resnet8", "--image-size", "96x64", at=tmp_path).out
    for size, wanted in (("48x24", (48, 24)), ("32x32", 32)):
        budget = ("--macs", "1G", "--no-latency", "--limit", 1, "--out", f"new/{size}")
        ended = unskip("fit-budget", "resnet8", "--image-size", size, *budget, at=tmp_path)
        assert ended.code == 0, ended.err
        (written,) = (tmp_path / "new" / size).iterdir()
        assert load_recipe(written).data.image_size == wanted
    for size in ("96x", "x", "3", "96x64x3", "-8", "1e3", "99999"):
        refused("inspect", "resnet8", f"--image-size={size}", at=tmp_path, saying="--image-size .*such as 96x64")


def test_places_that_cannot_be_written_are_said_before_anything_takes_time(home, tmp_path):
    (tmp_path / "file").write_text("")
    for option in ("--json", "--html"):
        refused("bench", "resnet8", option, "file/x", at=tmp_path, saying=f"{option} file/x: .* is no folder")
        refused("bench", "resnet8", option, tmp_path, at=tmp_path, saying=f"{option} .* is a folder; name a file")
    refused("fit-budget", "resnet8", "--macs", "1G", "--out", "file", at=tmp_path, saying="--out file.* is no folder")


def test_inspect_as_json(tmp_path):
    arguments = ["resnet20", "--image-size", 16, "--set", "width=4", "--set", "in_channels=1", "--json"]
    found = json.loads(unskip("inspect", *arguments, at=tmp_path).out)
    assert found["input_shape"] == [1, 16, 16]
    assert found["memory"]["plain_timeline"]["peak_bytes"] < found["memory"]["timeline"]["peak_bytes"]
    assert found["verdict"]["pays"]


def test_bench_prints_a_table_and_writes_json_and_a_page(home, tmp_path):
    files = ["--json", tmp_path / "bench.json", "--html", tmp_path / "bench.html"]
    quick = ["--repeats", 3, "--processes", 1, "--set", "data.test_limit=50"]
    ended = unskip("bench", "runs/small:teacher", "runs/small", *quick, *files, at=home)
    assert ended.code == 0, ended.err
    assert re.search(r"ONNX Runtime [\d.]+, 1 thread, batch 1", ended.out)
    assert "bench.json" in ended.out
    record = json.loads((tmp_path / "bench.json").read_text())
    assert [cell["figures"]["top1"]["images"] for cell in record["groups"][0]["cells"]] == [50, 50]
    assert "runs/small:teacher" in (tmp_path / "bench.html").read_text()


def test_inspect_plans_a_lower_peak(tmp_path):
    small = ["resnet18", "--image-size", 64, "--set", "width=32"]
    said = unskip("inspect", *small, "--also", "plan", at=tmp_path).out
    assert said.index("will not lower peak memory") < said.index(
        "- with_lean_stem - without_shortcuts: {only: [stage1]}"
    )
    assert "no analysis 'width'" in unskip("inspect", *small, "--also", "width", at=tmp_path).err
    plain, planned = (
        json.loads(unskip("inspect", *small, "--json", *more, at=tmp_path).out) for more in ([], ["--also", "plan"])
    )
    plan = planned.pop("plan")
    assert plain == planned
    assert plan["lines"][0]["peak_bytes"] == plain["memory"]["timeline"]["peak_bytes"]
    edits = [f"--edit={json.dumps(edit)}" for edit in plan["lines"][2]["edits"]]
    again = json.loads(unskip("inspect", *small, *edits, "--json", at=tmp_path).out)
    first, then = (found["memory"]["timeline"]["peak_bytes"] for found in (plain, again))
    assert then == plan["lines"][2]["peak_bytes"] < first


def test_fit_budget_lists_recipes(tmp_path):
    arguments = ["fit-budget", "resnet14", "--set", "width=4", "--image-size", 8, "--macs", "80k", "--no-latency"]
    said = unskip(*arguments, "--limit", 3, "--out", "students", at=tmp_path)
    assert said.code == 0, said.err
    assert "Students of resnet14 that meet the budget" in said.out
    written = sorted((tmp_path / "students").iterdir())
    assert f"recipes in students: {len(written)}" in said.out
    first = re.search(r"unskip run (students/\S+) --data MY_IMAGES", said.out)[1]
    assert tmp_path / first in written
    assert load_recipe(tmp_path / first).data.image_size == 8
    found = json.loads(unskip(*arguments, "--json", at=tmp_path).out)
    assert found["own"]["figures"]["macs"]["value"] > 80_000
    assert 3 < len(found["candidates"]) <= 10
    assert all(each["figures"]["macs"]["value"] <= 80_000 for each in found["candidates"])


def test_a_budget_that_nothing_meets_ends_with_1(tmp_path):
    ended = unskip("fit-budget", "resnet14", "--memory", "1kB", "--no-latency", "--out", "students", at=tmp_path)
    assert ended.code == 1
    assert ended.err == ""
    assert ended.out.startswith("No student of resnet14 meets the budget: no student is within the limits")
    assert "64.0" in ended.out, "half of the channels, and no shortcuts where the peak is"
    assert not (tmp_path / "students").exists()


def test_fit_budget_takes_a_trained_teacher(home):
    teacher = "runs/small/nets/teacher.safetensors"
    arguments = ["fit-budget", teacher, "--memory", "1MiB", "--macs", "100k", "--no-latency", "--json", "--limit", 1]
    found = json.loads(unskip(*arguments, at=home).out)
    assert found["input_shape"] == [1, 8, 8]
    assert found["candidates"][0]["recipe"]["teacher"] == {
        "net": "resnet14",
        "options": {"width": 4},
        "weights": teacher,
    }
    refused(*arguments, "--set", "width=8", at=home, saying="is a trained network, whose options are fixed")


# A run and what one does with it


def test_a_run_ends_with_what_it_found_and_where_the_report_is(home):
    said = (home / "said.txt").read_text()
    assert "digits: 200 training and 100 test images, 10 classes, 1x8x8" in said
    assert "align_kd: resnet14 without shortcuts, 1 epoch " in said
    assert "trained with align_kd" in said or "At chance" in said
    assert said.endswith("report: runs/small/report.html")
    assert (home / "runs/small/report.html").is_file()


def test_the_same_command_again_shows_the_same_results(home):
    before = {path: path.stat().st_mtime_ns for path in (home / "runs/small/nets").iterdir()}
    again = unskip("run", "small.yaml", at=home)
    assert again.code == 0
    assert "runs/small is complete; delete it to run again" in again.out
    assert {path: path.stat().st_mtime_ns for path in (home / "runs/small/nets").iterdir()} == before


def test_a_folder_its_net_and_its_export_have_the_same_accuracy(home):
    best = json.loads((home / "runs/small/run.json").read_text())["best"]
    targets = "runs/small", f"runs/small/nets/{best}.safetensors", f"runs/small/export/{best}.onnx"
    said = {unskip("evaluate", target, at=home).out for target in targets}
    assert len(said) == 1
    assert re.match(r"top-1 \d+\.\d\d % top-5 \d+\.\d\d % on 100 images(, at chance: |$)", said.pop())


def test_evaluate_on_other_images(home, tmp_path):
    lone = shutil.copy(home / "runs/small/nets/ce.safetensors", tmp_path)
    ended = unskip("evaluate", lone, "--data", "digits", "--set", "data.test_limit=30", at=tmp_path)
    assert ended.out.endswith("on 30 images")
    refused("evaluate", lone, at=tmp_path, saying=r"lies in no run folder; say with --data on which images")


def test_other_images_are_not_cut_to_the_run_s_limit(home):
    assert " on 359 images" in unskip("evaluate", "runs/small", "--data", "digits", at=home).out


def test_export_writes_a_file_that_evaluates_alike(home):
    ended = unskip("export", "runs/small", "--out", "there/student.onnx", "--images", 40, at=home)
    assert ended.code == 0, ended.err
    assert "answers to 40 images" in ended.out
    assert "agree with the network by 100.00 %" in ended.out
    alike = unskip("evaluate", "there/student.onnx", "--data", "digits", "--set", "data.test_limit=100", at=home)
    assert alike.out == unskip("evaluate", "runs/small", at=home).out


def test_export_writes_several_formats_into_a_folder(home):
    ended = unskip("export", "runs/small", "--net", "ce", "--to", "torch", "--to", "onnx", "--out", "there", at=home)
    assert ended.code == 0, ended.err
    said = re.findall(r"(ce\.\w+) \w+ float32 [\d.]+ [\d.e-]+ ([\d.]+) ([\d.]+) ", ended.out)
    assert [(name, file == net) for name, file, net in said] == [("ce.pt2", True), ("ce.onnx", True)]
    assert "Scores: on 100 test images" in ended.out
    alone = ("--data", "digits", "--set", "data.test_limit=100")
    alike = {unskip("evaluate", f"there/{name}", *alone, at=home).out for name, *_ in said}
    assert alike == {unskip("evaluate", "runs/small", "--net", "ce", at=home).out}


def test_a_file_that_normalises_outside_says_so(home):
    ended = unskip(
        "export", "runs/small", "--normalization", "outside", "--out", "there/out.pt2", "--batch", 7, at=home
    )
    assert re.search(r"Run by PyTorch \S+, batch 7", ended.out)
    alike = unskip("evaluate", "there/out.pt2", "--data", "digits", "--set", "data.test_limit=100", at=home)
    assert alike.out == unskip("evaluate", "runs/small", at=home).out


def test_a_file_in_8_bits_is_calibrated_on_the_run_s_images(home):
    ended = unskip("export", "runs/small", "--net", "ce", "--int8", "--calibration", 30, "--max-drop", 1, at=home)
    assert ended.code == 0, ended.err
    assert "ce-int8.onnx onnx int8 " in ended.out
    again = (home / "ce-int8.onnx").read_bytes()
    unskip("export", "runs/small", "--net", "ce", "--int8", "--calibration", 30, "--max-drop", 1, at=home)
    assert (home / "ce-int8.onnx").read_bytes() == again


def test_report_is_written_again(home):
    page = home / "runs/small/report.html"
    before = page.read_bytes()
    page.unlink()
    assert unskip("report", "runs/small", at=home).out == "runs/small/report.html"
    assert page.read_bytes() == before


def test_inspect_a_run_and_its_teacher(home):
    assert "no shortcuts, so there is nothing to remove" in unskip("inspect", "runs/small", at=home).out
    assert "image 1x8x8" in unskip("inspect", "runs/small/nets/teacher.safetensors", at=home).out


@pytest.mark.parametrize("layout", ["split", "plain", "parquet"])
def test_own_images(layout, images, tmp_path):
    ended = unskip("run", *TINY, "--method", "align_kd", "--data", images / layout, at=tmp_path)
    assert ended.code == 0, ended.err
    assert f"{layout}: 72 training and 18 test images, 3 classes, 3x8x8" in ended.out
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.name != "teachers")
    assert folder.name.startswith("resnet14-align_kd-")
    assert unskip("evaluate", folder, at=tmp_path).out.endswith("on 18 images")


def test_changes_get_a_folder_of_their_own_and_find_the_teacher_again(home):
    arguments = ["run", "small.yaml", "--method", "kd", "--set", "methods.kd.temperature=2"]
    ended = unskip(*arguments, at=home)
    assert ended.code == 0, ended.err
    assert "found again in runs/teachers" in ended.out
    report = re.search(r"report: (runs/small-[0-9a-f]{6})/report.html", ended.out)
    assert yaml.safe_load((home / report[1] / "recipe.yaml").read_text())["methods"]["kd"]["temperature"] == 2.0
    assert f"{report[1]} is complete" in unskip(*arguments, at=home).out


# What cannot be used: code 2, one sentence, nothing lost


@pytest.mark.parametrize(
    ("setting", "saying"),
    [
        ("training.epoch=3", r"small.yaml: training.epoch: unknown key; did you mean 'epochs'\?"),
        ("training.epochs=many", r"training.epochs: .*integer.*'many'"),
        ("training.epochs=0", r"training.epochs: .*greater than or equal to 1 \(given: 0\)"),
        ("training.optimizer.name=sdg", r"training.optimizer.name: no 'sdg'; did you mean 'sgd'"),
        ("training.batch_size=2.5", r"training.batch_size: .*integer"),
        ("seed=-1", r"seed: .*greater than or equal to 0"),
        ("data.seed=-1", r"data.seed: .*greater than or equal to 0"),
        ("data.name=digit", r"data.name: .*'digits'.*\(given: 'digit'\)"),
        ("data.limit=5", r"data.limit: 5 images cannot cover the 10 classes"),
        ("data.name=image_folder", r"data.name: image_folder needs data.path"),
        ("methods.align_kd.alfa=3", r"methods.align_kd: alfa: unknown key; did you mean 'alpha'"),
        ("methods={}", "methods is empty"),
        ("methods=3", r"methods: .*dictionary"),
        ("teacher.net=resnt14", r"no network 'resnt14'; did you mean 'resnet14'"),
        ("teacher.options.widht=4", r"resnet14: widht: unknown key; did you mean 'width'"),
        ("student.net=resnet15", r"no network 'resnet15'; did you mean"),
        ("teacher.weights=nowhere.pth", r"no file nowhere.pth"),
        ("training.epochs", r"--set 'training.epochs': expected KEY=VALUE"),
        ("methods=[1", r"--set 'methods=\[1': the value is not YAML"),
        ("seed.x=1", r"--set 'seed.x=1': seed|seed: .*integer"),
    ],
)
def test_wrong_settings(setting, saying, recipe, tmp_path):
    refused("run", recipe, "--set", setting, at=tmp_path, saying=saying)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["run"], "name a recipe"),
        (["run", "demoo"], r"no recipe 'demoo': .*did you mean 'demo'"),
        (["run", "demo", "--teacher", "resnet5"], r"no network 'resnet5'; did you mean 'resnet5"),
        (["run", "demo", "--method", "alignkd"], r"no method 'alignkd'; did you mean 'align_kd'"),
        (["run", "demo", "--data", "nowhere"], r"--data nowhere: neither digits, .* nor a folder"),
        (["run", "demo", "--data", "."], r"--data .: the layout of this folder is unknown; looked for"),
        (["inspect", "resnet5x"], r"no network 'resnet5x'; did you mean"),
        (["inspect", "resnet18", "--set", "widht=4"], r"did you mean 'width'"),
        (["inspect", "resnet18", "--set", "width=-4"], r"greater than 0 .given: -4"),
        (["inspect", "nowhere.safetensors"], "no file or run folder nowhere.safetensors"),
        (["fit-budget", "resnet18"], "a budget has at least one limit: .*--memory"),
        (["fit-budget", "resnet18", "--memory", "4"], "--memory 4: say in which unit, such as 4MiB"),
        (["fit-budget", "resnet18", "--memory", "4XiB"], "--memory 4XiB: no unit 'XiB'"),
        (["fit-budget", "resnet18", "--memory", "-4MiB"], "--memory -4MiB: expected 1 or more"),
        (["fit-budget", "resnet18", "--file-size", "big"], "--file-size big: expected a number and a unit"),
        (["fit-budget", "resnet18", "--parameters", "5MB"], "--parameters 5MB: no unit 'MB'"),
        (["fit-budget", "resnet18", "--macs", "0"], "--macs 0: expected 1 or more"),
        (["fit-budget", "resnet18", "--latency-ratio", "1.2"], "--latency-ratio 1.2: expected a number above 0"),
        (["fit-budget", "resnet8", "--latency-ratio", "inf"], "--latency-ratio inf: expected a number above 0"),
        (["fit-budget", "resnet8", "--latency-ms", "nan"], "--latency-ms nan: expected milliseconds above 0"),
        (["fit-budget", "resnet18", "--latency-ms", "-1"], "--latency-ms -1: expected milliseconds above 0"),
        (["fit-budget", "resnet18", "--latency-ms", "9", "--no-latency"], "--no-latency and a limit of latency"),
        (["fit-budget", "resnet18", "--macs", "1G", "--runtime", "onnx"], "no runtime 'onnx'.*known: .*onnxruntime"),
        (["fit-budget", "resnet1x", "--memory", "4MiB"], "no network 'resnet1x'; did you mean"),
        (["fit-budget", "vgg16", "--memory", "4MiB", "--image-size", "8"], "an image of 3 x 8 x 8 does not fit"),
        (["fit-budget", "nowhere.safetensors", "--memory", "4MiB"], "no file or run folder nowhere.safetensors"),
        (["methods", "aling_kd"], r"did you mean 'align_kd'"),
        (["recipes", "cifar10-quik"], r"did you mean 'cifar10-quick'"),
        (["evaluate", "nowhere"], "no file or run folder nowhere"),
        (["evaluate", "."], r"no run.json: no complete run"),
        (["export", "nowhere"], "no file or run folder nowhere"),
        (["bench", "nowhere.onnx"], "no file nowhere.onnx"),
        (["bench", "resnet5x"], "no network 'resnet5x'"),
        (["bench", "resnet20", "--runtime", "openvin"], "no runtime 'openvin'.*did you mean 'openvino'"),
        (["bench", "resnet20", "--threads", "two"], "--threads 'two': expected whole numbers of 1 or more"),
        (["bench", "resnet20", "--threads", "9" * 400], "--threads '99.* expected whole numbers of 1 or more, up to"),
        (
            ["bench", "resnet50", "--image-size", "16384", "--batch", "999"],
            "a batch of 999 would take .* lower --batch",
        ),
        (["fit-budget", "resnet18", "--memory", "1e400MiB"], "expected 1 or more, and less than 10.18"),
        (["fit-budget", "resnet18", "--memory", "infMiB"], "expected a number and a unit"),
        (["inspect", "x" * 5000], "File name too long: xxx"),
        (["bench", "x" * 5000], "File name too long: xxx"),
        (["run", "a\nb"], r"no recipe 'a.nb'"),
        (["bench", "resnet20", "--batch", "0"], "--batch '0': expected whole numbers of 1 or more"),
        (["bench", "resnet20", "--device", "gpu"], "no device 'gpu'"),
        (["bench", "resnet20", "--data", "nowhere"], "--data nowhere: neither"),
        (["bench", "resnet20", "--set", "training.epochs=1"], "only the data can change"),
        (["report", "."], r"run.json is missing"),
        (["report", "nowhere"], r"nowhere/run.json is missing"),
    ],
)
def test_wrong_names(arguments, saying, tmp_path):
    refused(*arguments, at=tmp_path, saying=saying)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["rnu"], "No such command 'rnu'.*'run'"),
        (["run", "demo", "--methd", "ce"], "No such option: --methd.*--method"),
        (["run", "demo", "another"], "unexpected extra argument"),
        (["run", "--teacher"], "requires an argument"),
        (["evaluate"], "Missing argument 'target'"),
        (["bench"], "Missing argument"),
        (["bench", "resnet20", "--repeats", "0"], "greater than or equal to 1|x>=1"),
        (["inspect", "resnet18", "--image-size", "3"], "from 4 to 16384"),
        (["export", "x", "--tolerance", "little"], "--tolerance"),
        (["export", "x", "--tolerance", "nan"], "--tolerance"),
        (["export", "x", "--tolerance", "-1"], "--tolerance"),
        (["export", "x", "--max-drop", "nan"], "--max-drop"),
        (["fit-budget", "resnet8", "--macs", "1", "--threads", "9999999"], "--threads.*1024"),
        (["inspect", "resnet8", "--image-size", "10000000"], "--image-size.*16384"),
        (["bench", "resnet8", "--repeats", "1000000000000"], "--repeats"),
    ],
)
def test_wrong_usage(arguments, saying, tmp_path):
    said = refused(*arguments, at=tmp_path, saying=saying)
    assert said.endswith(" --help`") or "--image-size" in arguments


@pytest.mark.parametrize(
    ("content", "saying"),
    [
        (b"", "must hold keys and values"),
        (b"- 1\n", "must hold keys and values"),
        (b"\x00\xff\xfe\x01", "is not YAML"),
        (b"training:\n\tepochs: 3\n", r"is not YAML.*line 2"),
    ],
)
def test_a_recipe_that_is_none(content, saying, tmp_path):
    (tmp_path / "mine.yaml").write_bytes(content)
    refused("run", "mine.yaml", at=tmp_path, saying=f"mine.yaml {saying}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.filterwarnings("default")
def test_folders_of_images_that_cannot_be_used(images, tmp_path):
    copy = shutil.copytree(images / "plain", tmp_path / "plain")
    broken = copy / "one" / "broken.png"
    broken.write_bytes(b"no image")
    arguments = ["run", *TINY, "--method", "ce", "--data", copy]
    refused(*arguments, at=tmp_path, saying=r"cannot read the image .*broken.png.*data.skip_unreadable: true")
    skipped = unskip(*arguments, "--set", "data.skip_unreadable=true", at=tmp_path)
    assert skipped.code == 0, skipped.err
    assert re.fullmatch(
        r"unskip: warning: left out 1 of \d+ \w+ images that cannot be read: .*broken.png\n", skipped.err
    )
    shutil.rmtree(copy / "zero")
    shutil.rmtree(copy / "two")
    refused(*arguments, at=tmp_path, saying=r"only one class, 'one'")
    refused("run", *TINY, "--data", broken, at=tmp_path, saying="nor a folder")
    file = ["--set", "data.name=image_folder", "--set", f"data.path={broken}"]
    refused("run", *TINY, *file, at=tmp_path, saying=r"data.path: .*broken.png is a file")
    gone = ["--set", "data.name=parquet", "--set", f"data.path={tmp_path / 'gone'}"]
    refused("run", *TINY, *gone, at=tmp_path, saying=r"data.path: .*gone does not exist")


def test_a_broken_parquet_file(images, tmp_path):
    copy = shutil.copytree(images / "parquet", tmp_path / "parquet")
    (copy / "train-00000-of-00001.parquet").write_bytes(b"PAR1 no table")
    refused("run", *TINY, "--data", copy, at=tmp_path, saying="cannot read the Parquet file .*train-00000")


def test_weights_of_another_net(home, tmp_path):
    weights = home / "runs/small/nets/teacher.safetensors"
    arguments = ["run", home / "small.yaml", "--set", f"teacher.weights={weights}"]
    refused(
        *arguments,
        "--teacher",
        "resnet20",
        at=tmp_path,
        saying="teacher.safetensors does not belong to resnet20, but looks like resnet14 .*missing",
    )
    refused(*arguments, "--set", "teacher.options.width=8", at=tmp_path, saying=r"of another shape \(stem")


def test_weights_for_other_classes(images, home, tmp_path):
    weights = home / "runs/small/nets/teacher.safetensors"
    arguments = ["run", *TINY, "--data", images / "plain", "--set", f"teacher.weights={weights}"]
    refused(*arguments, at=tmp_path, saying=r"knows 10 classes \(0, 1, 2, 3, \.\.\), the data has 3")
    torch.save(make_net("resnet14", {"width": 2, "num_classes": 10}).state_dict(), tmp_path / "ten.pth")
    arguments[-1] = "teacher.weights=ten.pth"
    refused(*arguments, at=tmp_path, saying=r"of another shape .*\(10.* in the file.*\(3")


def test_files_that_are_no_nets(home, tmp_path):
    for name in ("junk.onnx", "junk.pt2", "junk.safetensors", "junk.pth"):
        (tmp_path / name).write_bytes(b"junk")
        refused("evaluate", name, "--data", "digits", at=tmp_path, saying=f"{name} is no")
    refused("export", "junk.safetensors", at=tmp_path, saying="no safetensors file")
    refused("inspect", "junk.safetensors", at=tmp_path, saying="no safetensors file")
    weights = ["--set", "teacher.weights=junk.pth"]
    refused("run", home / "small.yaml", *weights, at=tmp_path, saying="junk.pth is no state dict")


def test_images_that_a_net_does_not_know(home, images):
    plain = images / "plain"
    refused("evaluate", "runs/small", "--data", plain, at=home, saying=r"reads grey images, and those of plain are RGB")
    wrong_size = ["--set", "data.image_size=16"]
    refused(
        "evaluate", "runs/small", *wrong_size, at=home, saying="images of 8x8 pixels, so data.image_size cannot be 16"
    )
    refused("evaluate", "runs/small", "--set", "training.epochs=1", at=home, saying="only the data can change")
    refused("inspect", "runs/small", "--set", "width=2", at=home, saying="options are fixed")


def test_classes_that_a_net_does_not_know(images, tmp_path):
    assert unskip("run", *TINY, "--method", "ce", "--data", images / "plain", "--out", "r", at=tmp_path).code == 0
    other = shutil.copytree(images / "plain", tmp_path / "other")
    (other / "two").rename(other / "three")
    refused("evaluate", "r", "--data", other, at=tmp_path, saying=r"one, two.*one, three")


def test_export_refuses_what_it_cannot_keep(home):
    refused("export", "runs/small", "--out", "student.pt", at=home, saying=r"no export format for 'student.pt'.*\.onnx")
    refused("export", "runs/small", "--to", "onyx", at=home, saying=r"no export format 'onyx'.*did you mean 'onnx'")
    other = ["--to", "onnx", "--out", "a.pt2"]
    refused("export", "runs/small", *other, at=home, saying="--out a.pt2 names .* torch; give a folder to write onnx")
    refused("export", "runs/small", "--to", "torch", "--int8", at=home, saying=r"\(--int8\) are for onnx, executorch")
    refused("export", "runs/small", "--batch", "9" * 9, at=home, saying="--batch'?: .* 65536")
    for option in ("--calibration", "--max-drop"):
        refused("export", "runs/small", option, "1", at=home, saying="belong to --int8")
    refused("export", "runs/small", "--int8", "--tolerance", "0.1", at=home, saying="--tolerance compares .*--max-drop")
    refused("export", "runs/small", "--net", "tescher", at=home, saying="has no network 'tescher'.*mean 'teacher'")
    refused(
        "export", "runs/small", "--switchable", at=home, saying="--switchable: .* no training .* as embedded_kd does"
    )
    refused("export", "runs/small/nets/ce.safetensors", "--net", "ce", at=home, saying="--net names a network of a run")
    refused("evaluate", "runs/small", "--depth", "1", at=home, saying="--depth is for deployed files of several depths")
    refused("export", "runs/small", "--tolerance", "1e-30", at=home, saying=r"\w+\.onnx was not written")
    assert not list(home.glob("align_kd.*")) + list(home.glob("ce.*"))
    refused(
        "export",
        "runs/small",
        "--out",
        "said.txt/a.onnx",
        at=home,
        saying="--out said.txt.a.onnx: .*said.txt is no folder",
    )


def test_a_folder_of_another_recipe_is_left_as_it_is(home):
    before = (home / "runs/small/run.json").read_bytes()
    arguments = ["run", "small.yaml", "--set", "seed=3", "--out", "runs/small"]
    refused(*arguments, at=home, saying=r"another recipe.*seed \(0 there, 3 now\).*--out")
    assert (home / "runs/small/run.json").read_bytes() == before


def test_a_folder_that_a_mistake_left_takes_the_right_command(recipe, home, tmp_path):
    wrong = ["run", recipe, "--out", "mine", "--set", "data.limit=5"]
    refused(*wrong, at=tmp_path, saying="data.limit")
    shutil.copytree(home / "runs/teachers", tmp_path / "teachers")
    assert unskip("run", recipe, "--method", "ce", "--out", "mine", at=tmp_path).code == 0


@pytest.mark.parametrize(("out", "said"), [("afile", "File exists"), ("afile/below", "Not a directory")])
def test_out_that_is_no_folder(out, said, recipe, tmp_path):
    (tmp_path / "afile").write_text("mine")
    refused("run", recipe, "--out", out, at=tmp_path, saying=f"cannot write into {out}: {said}; choose another .*--out")
    assert (tmp_path / "afile").read_text() == "mine"


def test_out_that_cannot_be_written(recipe, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    if os.access(tmp_path / "locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    refused("run", recipe, "--out", "locked/run", at=tmp_path, saying="cannot write into locked/run: Permission denied")


def test_results_that_are_damaged(home, tmp_path):
    copy = shutil.copytree(home / "runs/small", tmp_path / "run")
    whole = (copy / "run.json").read_text()
    for damaged in (whole[:500], "{}", ""):
        (copy / "run.json").write_text(damaged)
        refused("report", "run", at=tmp_path, saying="run.json")
        refused(
            "evaluate", "run", at=tmp_path, saying=r"run.json is damaged.*delete it and `unskip run` makes it again"
        )
        refused("run", home / "small.yaml", "--out", "run", at=tmp_path, saying="run.json is damaged")
    (copy / "run.json").unlink()
    assert unskip("run", home / "small.yaml", "--out", "run", at=tmp_path).code == 0
    refused("report", "run/report.html", at=tmp_path, saying="run.json")


def test_a_training_that_diverges_keeps_what_was_saved(recipe, tmp_path):
    """One step an epoch: the first has a rate of 1, the second one of astronomical size."""
    steep = ["schedule.max_lr=1e25", "schedule.div_factor=1e25", "schedule.warmup=0.9", "batch_size=200", "epochs=9"]
    settings = [word for field in steep for word in ("--set", f"training.{field}")]
    said = refused("run", recipe, *settings, "--out", "run", at=tmp_path, saying="no longer finite in epoch [2-9]")
    assert "Lower --set training.optimizer.lr=.. or --set training.schedule.max_lr=.." in said
    assert (tmp_path / "run/checkpoints/teacher.ckpt").is_file()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_rate_out_of_this_world(home, tmp_path):
    """The student diverges at once; the teacher stays."""
    weights = ["--set", f"teacher.weights={home / 'runs/small/nets/teacher.safetensors'}"]
    rate = ["--set", "training.schedule.name=constant", "--set", "training.optimizer.lr=1e25"]
    weak = ["--set", "teacher.accept_weak=true"]
    refused(
        "run", home / "small.yaml", *weights, *weak, *rate, "--out", "run", at=tmp_path, saying="the training diverged"
    )
    assert (tmp_path / "run/nets/teacher.safetensors").is_file()


def test_a_limit_and_a_batch_larger_than_the_data_take_all_of_it(home):
    larger = ["--set", "training.batch_size=5000", "--set", "data.limit=1000000000"]
    ended = unskip("run", "small.yaml", "--method", "ce", *larger, at=home)
    assert ended.code == 0, ended.err
    assert "digits: 1,438 training and 100 test images" in ended.out


@pytest.mark.parametrize("full", ["checkpoints/ce.ckpt", "run.json"])
def test_a_full_disk_is_said_and_the_same_command_goes_on(full, home, tmp_path, monkeypatch):
    shutil.copytree(home / "runs/teachers", tmp_path / "teachers")
    arguments = ["run", home / "small.yaml", "--method", "ce", "--out", "run"]
    rename = os.replace

    def replace(source, target):
        if Path(target) == Path("run") / full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        refused(*arguments, at=tmp_path, saying=f"no space left to write run/{full}; free some and run the same")
    assert not (tmp_path / "run" / full).exists()
    assert not list(tmp_path.rglob("*.tmp"))
    assert unskip(*arguments, at=tmp_path).code == 0
    assert json.loads((tmp_path / "run/run.json").read_text())["best"] == "ce"


def test_a_full_disk_where_lines_are_added(home, tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    shutil.copytree(home / "runs/teachers", tmp_path / "teachers")
    monkeypatch.setattr("unskip.training.monitor.open", full, raising=False)
    refused("run", home / "small.yaml", "--out", "run", at=tmp_path, saying="No space left on device; nothing")
    assert (tmp_path / "run/nets/teacher.safetensors").is_file()


@pytest.mark.parametrize("damage", [b"", b"seed: [", b"\x00", b"a: &a [*a]"])
def test_a_run_s_own_recipe_that_is_damaged(damage, home, tmp_path):
    copy = shutil.copytree(home / "runs/small", tmp_path / "run")
    (copy / "recipe.yaml").write_bytes(damage)
    said = r"run/recipe.yaml.*; so run cannot be gone on with: choose another --out, or delete it"
    refused("run", home / "small.yaml", "--out", "run", at=tmp_path, saying=said)


def test_more_images_in_a_step_than_memory_holds(home, monkeypatch):
    monkeypatch.setattr("unskip.nets.within_memory.machine_bytes", lambda: 2**20)
    large = ["--set", "training.batch_size=1000", "--method", "ce", "--set", "seed=5"]
    refused(
        "run", "small.yaml", *large, at=home, saying="a step with 200 images of 1x8x8 in resnet14 would take .* 1.0 MiB"
    )


def test_padding_larger_than_the_images(home):
    wide = ["--set", "data.padding=9", "--out", "wide"]
    refused(
        "run", "small.yaml", *wide, at=home, saying="data.padding: 9 pixels on each side of images of 8 are too many"
    )


def test_ctrl_c(home, monkeypatch):
    def interrupted(*arguments, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr("unskip.run.run_recipe", interrupted)
    ended = unskip("run", "small.yaml", at=home)
    assert ended.code == 130
    assert ended.err == "unskip: interrupted; the same `unskip run` goes on from what was saved\n"


def test_predict_names_classes_and_ends_with_2_where_an_image_cannot_be_read(home, images, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    folder = next((images / "plain").iterdir())
    seen = unskip("predict", home / "runs" / "small", folder, "--json", at=tmp_path)
    assert seen.code == 0
    found = json.loads(seen.out)
    assert len(found) == len(list(folder.iterdir()))
    assert all(len(each["classes"]) == 5 for each in found)
    assert "%" in unskip("predict", home / "runs" / "small", next(folder.iterdir()), at=tmp_path).out
    refused("predict", home / "runs" / "small", folder, "broken.png", at=tmp_path, saying="1 of .* could not be read")


def test_compare_prints_and_writes_a_page(home, tmp_path):
    ended = unskip("compare", home / "runs" / "small", "--html", "page.html", "--json", "runs.json", at=tmp_path)
    assert ended.code == 0, ended.err
    assert "small:align_kd" in ended.out
    assert "small:align_kd" in (tmp_path / "page.html").read_text().replace("<wbr>", "")
    assert json.loads((tmp_path / "runs.json").read_text())["runs"][0]["label"] == "small"
    refused("compare", "nowhere", at=tmp_path, saying="no run folder nowhere")
