"""What a command cannot use: code 2, one sentence, nothing lost."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

from cli.commands import FILES, TINY, refused, unskip
from unskip.nets import make_net


@pytest.mark.parametrize(
    ("setting", "saying"),
    [
        ("training.epoch=3", r"small.yaml: training.epoch: unknown key; did you mean 'epochs'\?"),
        ("training.epochs=many", r"training.epochs .*whole number.*'many'"),
        ("training.epochs=0", r"training.epochs .*at least 1 \(given: 0\)"),
        ("training.optimizer.name=sdg", r"training.optimizer.name: no 'sdg'; did you mean 'sgd'"),
        ("training.batch_size=2.5", r"training.batch_size .*whole number"),
        ("seed=-1", r"seed .*at least 0"),
        ("data.seed=-1", r"data.seed .*at least 0"),
        ("data.name=digit", r"data.name .*'digits'.*\(given: 'digit'\)"),
        ("data.limit=5", r"data.limit: 5 images cannot cover the 10 classes"),
        ("data.name=image_folder", r"data.name: image_folder needs data.path"),
        ("methods.align_kd.alfa=3", r"methods.align_kd: alfa: unknown key; did you mean 'alpha'"),
        ("methods={}", "methods is empty"),
        ("methods=3", r"methods .*group of settings"),
        ("teacher.net=resnt14", r"no network 'resnt14'; did you mean 'resnet14'"),
        ("teacher.options.widht=4", r"resnet14: widht: unknown key; did you mean 'width'"),
        ("student.net=resnet15", r"no network 'resnet15'; did you mean"),
        ("teacher.weights=nowhere.pth", r"no file nowhere.pth"),
        ("training.epochs", r"--set 'training.epochs': expected KEY=VALUE"),
        ("methods=[1", r"--set 'methods=\[1': the value is not YAML"),
        ("seed.x=1", r"--set 'seed.x=1': seed|seed .*whole number"),
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
        (["run", "demo", "--data", "."], r"--data .: there are no images in this folder; looked for"),
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
    for known in ([], ["--data", images / "split"]):
        assert unskip("evaluate", "r", *known, at=tmp_path).out.endswith("on 18 images")
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
    assert unskip("run", recipe, "--method", "ce", *FILES, "--out", "mine", at=tmp_path).code == 0


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
    ended = unskip("run", "small.yaml", "--method", "ce", *larger, *FILES, at=home)
    assert ended.code == 0, ended.err
    assert "digits: 1,438 training and 100 test images" in ended.out


@pytest.mark.parametrize("full", ["checkpoints/ce.ckpt", "run.json"])
def test_a_full_disk_is_said_and_the_same_command_goes_on(full, home, tmp_path, monkeypatch):
    shutil.copytree(home / "runs/teachers", tmp_path / "teachers")
    arguments = ["run", home / "small.yaml", "--method", "ce", *FILES, "--out", "run"]
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
