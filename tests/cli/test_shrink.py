"""`unskip shrink` on the command line."""

import pytest
from typer.testing import CliRunner

import unskip
from unskip.cli import app
from unskip.data_info import DataInfo
from unskip.errors import UnskipError
from unskip.recipe import DataRecipe
from unskip.weights import save_net

NET = ["shrink", "resnet8", "--data", "digits"]
FEW = ["--set", "data.limit=200", "--set", "data.test_limit=100", "--set", "training.batch_size=32"]


def given(*arguments):
    return CliRunner().invoke(app(), [*arguments], catch_exceptions=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "at least one limit"),
        (["--memory", "3KiB", "--target", "tensorrt"], "no target"),
        (["--memory", "3KiB", "--time", "soon"], "--time soon"),
        (["--memory", "3KiB", "--memory-mode", "Sram_Only"], "--memory-mode"),
        (["--memory", "3KiB", "--compiles", "3"], "--compiles"),
        (["--cycles-ratio", "0.5"], "--cycles-ratio"),
        (["--latency-ms", "1", "--target", "cortex-m55"], "--latency-ms"),
        (["--memory", "3KiB", "--weights", "nowhere.pth"], "nowhere.pth"),
        (["--memory", "3KiB", "--set", "student.edits=[]"], "student.edits"),
        (["--memory", "3KiB", "--or-image-size", "big"], "big"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(arguments, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = given(*NET, *arguments)
    assert isinstance(result.exception, UnskipError)
    assert sentence in str(result.exception)
    assert not (tmp_path / "shrinks").exists() or not list((tmp_path / "shrinks").rglob("plan.json"))


def test_a_budget_that_nothing_meets_ends_with_1_and_what_comes_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = given(*NET, *FEW, "--memory", "1KiB")
    assert result.exit_code == 1
    assert "plain in stage1" in result.output
    (report,) = tmp_path.rglob("report.html")
    assert "not trained" in report.read_text()


def test_a_plan_is_printed_and_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = given(*NET, *FEW, "--memory", "9KiB", "--parameters", "70k", "--dry-run")
    assert result.exit_code == 0
    assert "plain in stage1" in result.output
    assert "will take" in result.output
    assert not list(tmp_path.iterdir())


def test_a_teacher_at_chance_stops_it(tmp_path):
    data = unskip.load_data(DataRecipe(name="digits", limit=40, test_limit=200), device="cpu")
    info = DataInfo(data.classes, data.image_shape, data.mean, data.std, data.preprocessing)
    save_net(unskip.make_net("resnet8", {"in_channels": 1}), tmp_path / "net.safetensors", info)
    result = given(
        "shrink",
        str(tmp_path / "net.safetensors"),
        "--data",
        "digits",
        "--memory",
        "9KiB",
        "--out",
        str(tmp_path / "out"),
    )
    assert isinstance(result.exception, UnskipError)
    assert "chance" in str(result.exception)
