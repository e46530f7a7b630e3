"""The command line as its reader meets it: what it prints and what it writes."""

import contextlib
import io
import json
import re
import shutil
import sys

import pytest
import torch
import yaml

from cli.commands import TINY, refused, unskip
from unskip import make_net
from unskip.cli import COMMANDS, main
from unskip.recipe import load_recipe

HELPED = [name.replace("_", "-") for name in COMMANDS]


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


def test_inspect_says_for_which_size_the_figures_of_a_checkpoint_are(tmp_path):
    """Its images may have had another one; where a size is given, or no file, there is nothing to say."""
    torch.save(make_net("resnet14", {"width": 4}).state_dict(), tmp_path / "mine.pth")
    said = unskip("inspect", "mine.pth", at=tmp_path).out
    assert "Figures are for images of 32x32, as the file does not say their size; --image-size takes another." in said
    assert "image 3x32x32" in said
    for arguments in (("mine.pth", "--image-size", "16"), ("resnet14",)):
        assert "Figures are for" not in unskip("inspect", *arguments, at=tmp_path).out


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


def test_places_that_cannot_be_written_are_said_before_anything_takes_time(tmp_path):
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
    ended = unskip("fit-budget", "resnet8", "--memory", "1kB", "--no-latency", "--out", "students", at=tmp_path)
    assert ended.code == 1
    assert ended.err == ""
    assert ended.out.startswith("No student of resnet8 meets the budget: no student is within the limits")
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
    said = re.findall(r"(ce\.\w+) \w+ [\d.]+ [\d.e-]+ ([\d.]+) ([\d.]+) ", ended.out)
    assert [(name, file == net) for name, file, net in said] == [("ce.pt2", True), ("ce.onnx", True)]
    assert "Precision: float32" in ended.out
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
    assert "ce-int8.onnx onnx " in ended.out
    assert "Precision: int8" in ended.out
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


def test_own_images(images, tmp_path):
    """A run on one layout; the others are read as it reads them. Runs on them are in test_mistakes.py."""
    run = ["run", *TINY, "--method", "align_kd", "--data"]
    ended = unskip(*run, images / "parquet", at=tmp_path)
    assert ended.code == 0, ended.err
    assert "parquet: 72 training and 18 test images, 3 classes, 3x8x8" in ended.out
    (folder,) = (path for path in (tmp_path / "runs").iterdir() if path.name != "teachers")
    assert folder.name.startswith("resnet14-align_kd-")
    assert unskip("evaluate", folder, at=tmp_path).out.endswith("on 18 images")
    for layout in ("split", "plain"):
        asked = unskip(*run, images / layout, "--dry-run", at=tmp_path)
        assert asked.code == 0, asked.err
        assert f"{layout}: 72 training, 18 test, 3 classes, 3x8x8" in asked.out


def test_changes_get_a_folder_of_their_own_and_find_the_teacher_again(home):
    arguments = [
        "run",
        "small.yaml",
        "--method",
        "kd",
        "--set",
        "methods.kd.temperature=2",
        "--set",
        "measure.runtime=torch",
    ]
    ended = unskip(*arguments, at=home)
    assert ended.code == 0, ended.err
    assert "found again in runs/teachers" in ended.out
    report = re.search(r"report: (runs/small-[0-9a-f]{6})/report.html", ended.out)
    assert yaml.safe_load((home / report[1] / "recipe.yaml").read_text())["methods"]["kd"]["temperature"] == 2.0
    assert f"{report[1]} is complete" in unskip(*arguments, at=home).out


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
