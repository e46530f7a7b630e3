"""Short options of `unskip run`: each is its setting, and a run that is only asked about leaves nothing."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cli.commands import SMALL, unskip
from unskip import UnskipError, make_net
from unskip.cli.run import RunOptions, asked_recipe
from unskip.recipe import load_recipe


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"epochs": 3}, ["training.epochs=3"]),
        ({"batch_size": 16}, ["training.batch_size=16"]),
        ({"lr": 0.02}, ["training.schedule.max_lr=0.02"]),
        ({"image_size": "48"}, ["data.image_size=48"]),
        ({"image_size": "48x32"}, ["data.image_size=[48, 32]"]),
        ({"seed": 7}, ["seed=7"]),
        ({"epochs": 3, "seed": 7}, ["seed=7", "training.epochs=3"]),
    ],
)
def test_an_option_is_its_setting(options, settings):
    assert asked_recipe("demo", options=RunOptions(**options)) == asked_recipe("demo", settings=settings)
    # Said twice, and alike, it is said once.
    assert asked_recipe("demo", settings=settings, options=RunOptions(**options)) == asked_recipe(
        "demo", settings=settings
    )


def test_the_rate_that_decides_is_the_schedule_s_or_the_optimiser_s():
    cosine = ["training.schedule={name: cosine}"]
    recipe, _ = asked_recipe("demo", settings=cosine, options=RunOptions(lr=0.02))
    assert recipe.training.optimizer.lr == 0.02
    assert recipe.training.highest_rate == 0.02
    recipe, _ = asked_recipe("demo", options=RunOptions(lr=0.02))
    assert recipe.training.schedule.max_lr == recipe.training.highest_rate == 0.02


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"epochs": 3}, ["training.epochs=4"]),
        ({"lr": 0.02}, ["training.schedule.max_lr=0.05"]),
        ({"image_size": "48"}, ["data.image_size=[48, 32]"]),
        ({"seed": 7}, ["seed=8"]),
    ],
)
def test_an_option_and_a_setting_that_contradict_are_refused(options, settings):
    with pytest.raises(UnskipError, match=f"--set {settings[0].split('=')[0]}"):
        asked_recipe("demo", settings=settings, options=RunOptions(**options))


def test_options_alone_are_a_run_of_the_defaults():
    assert asked_recipe(None, options=RunOptions(epochs=2))[0].training.epochs == 2


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tmp_path):
    teacher = SMALL["teacher"] | {"accept_weak": True}
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL | {"methods": {"align_kd": {}}, "teacher": teacher}))
    arguments = ("run", "small.yaml", "--epochs", "3", "--lr", "0.03")
    asked = unskip(*arguments, "--dry-run", at=tmp_path)
    assert asked.code == 0, asked.err
    assert sorted(tmp_path.iterdir()) == [tmp_path / "small.yaml"]
    for words in ("teacher", "align_kd", "without", "0.03", "200 training", ".onnx", "report.html"):
        assert words in asked.out, words
    ended = unskip(*arguments, at=tmp_path)
    assert ended.code == 0, ended.err
    (folder,) = (path.parent for path in (tmp_path / "runs").glob("*/run.json"))
    assert str(folder.relative_to(tmp_path)) in asked.out
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = unskip(*arguments, "--dry-run", at=tmp_path)
    assert "nothing is left to train" in again.out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_dry_run_refuses_what_the_run_would(tmp_path):
    (tmp_path / "small.yaml").write_text(json.dumps(SMALL))
    for arguments, words in (
        (("--set", "teacher.weights=none.pth"), "none.pth"),
        (("--out", "small.yaml"), "no run folder"),
        (("--set", "training.batch_size=0"), "batch_size"),
    ):
        refused = unskip("run", "small.yaml", "--dry-run", *arguments, at=tmp_path)
        assert refused.code == 2
        assert words in refused.err
    assert sorted(tmp_path.iterdir()) == [tmp_path / "small.yaml"]


def test_completion_offers_names_and_files(tmp_path, monkeypatch):
    (tmp_path / "cifar-own.yaml").touch()
    (tmp_path / "notes.txt").touch()

    def offered(line):
        monkeypatch.setenv("_UNSKIP_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - (0 if line.endswith(" ") else 1)))
        return unskip(at=tmp_path).out.split()

    assert offered("unskip run cif") == ["cifar10-quick", "cifar-own.yaml"]
    assert "notes.txt" not in offered("unskip run ")
    assert offered("unskip run demo --method ali") == ["align_kd"]
    assert "resnet18" in offered("unskip inspect resnet1")
    assert "ethos-u55-128" in offered("unskip inspect resnet20 --target ethos-u55")
    assert "onnxruntime,openvino" in offered("unskip bench resnet20 --runtime onnxruntime,")
    assert "fit-budget" in offered("unskip f")


def test_the_completion_script_can_be_shown(tmp_path):
    """For the shell that asks, so a bash is between: what runs the tests may be no shell of those four."""
    asked = f"{shlex.quote(sys.executable)} -m unskip --show-completion; exit $?"  # not replaced by its only command
    shown = subprocess.run(["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "_UNSKIP_COMPLETE" in shown.stdout
    assert not shown.stderr


def test_a_file_of_weights_is_the_teacher(tmp_path):
    """Recognised as by `unskip inspect`; its classes are those of the images."""
    torch.save(make_net("resnet14", {"num_classes": 7}).state_dict(), tmp_path / "mine.pth")
    recipe, folder = asked_recipe(None, teacher=str(tmp_path / "mine.pth"), methods=["fit_kd"])
    assert (recipe.teacher.net, recipe.teacher.weights) == ("resnet14", str(tmp_path / "mine.pth"))
    assert "num_classes" not in recipe.teacher.options
    assert folder.name.startswith("resnet14-fit_kd")
    (tmp_path / "other.pth").write_bytes(b"")
    with pytest.raises(UnskipError, match=r"other\.pth"):
        asked_recipe(None, teacher=str(tmp_path / "other.pth"))


def test_a_run_is_the_teacher_on_its_own_images(home):
    folder = home / "runs" / "small"
    recipe, _ = asked_recipe(None, teacher=str(folder), methods=["kd"])
    assert Path(recipe.teacher.weights).samefile(folder / "nets" / "teacher.safetensors")
    assert recipe.data == load_recipe(folder / "recipe.yaml").data
    assert asked_recipe(None, teacher=str(folder), data="cifar10")[0].data.name == "cifar10"
