"""The commands of the tutorials, one after the other, on photographs and networks that are small."""

import io
import os
import re
import shlex
from pathlib import Path

import pytest
import torch
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner

import unskip
from unskip.cli import app
from unskip.study.conducting import prepare
from unskip.study.reading import load_study

TUTORIALS = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
BREEDS = {2: "beagle", 7: "sheepdog", 8: "samoyed"}


def blocks(page: str, language: str) -> list[str]:
    text = (TUTORIALS / f"{page}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[list[str]]:
    lines = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("unskip ")]


def answered(arguments: list[str]) -> str:
    result = CliRunner().invoke(app(), arguments)
    assert result.exit_code == 0, (arguments, result.output, result.exception)
    return result.output


@pytest.fixture
def photographs(tmp_path, monkeypatch):
    """``MY_PHOTOS``, class folders of dogs, with a split and without one beside it."""
    data = Path(os.environ.get("UNSKIP_TEST_DATA", "")) / "imagewoof2-128"
    if not data.is_dir():
        pytest.skip("UNSKIP_TEST_DATA has no imagewoof2-128")
    rows = parquet.read_table(data / "test-00000-of-00001.parquet").slice(0, 3900).to_pylist()
    for label, breed in BREEDS.items():
        images = [row["image"]["bytes"] for row in rows if row["label"] == label][:24]
        for number, image in enumerate(images):
            split = "train" if number < 16 else "test"
            for place in (f"MY_PHOTOS/{split}/{breed}/{number % 16:04d}.jpg", f"UNSPLIT/{breed}/{number:04d}.jpg"):
                place = tmp_path / place
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.open(io.BytesIO(image)).convert("RGB").save(place)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_your_photographs_to_your_phone(photographs):
    for arguments in commands("phone"):
        less = [
            "--set",
            "teacher.training.epochs=1",
            "--epochs",
            "2",
            "--batch-size",
            "8",
            "--set",
            "measure.repeats=5",
        ]
        answered([*arguments, *less] if arguments[0] == "run" else arguments)


@pytest.mark.slow
def test_a_trained_network_to_an_ethos_u(photographs):
    """As a Lightning module saves it, but a smaller network, and so at fewer pixels."""
    pytest.importorskip("ethosu")
    (photographs / "MY_PHOTOS").rename(photographs / "SPLIT")
    (photographs / "UNSPLIT").rename(photographs / "MY_PHOTOS")
    net = unskip.make_net("resnet8", {"width": 8, "num_classes": 3})
    wrapped = {f"model.{name}": weight for name, weight in net.state_dict().items()}
    torch.save({"state_dict": wrapped, "pytorch-lightning_version": "2.6.6", "epoch": 2}, "dogs.ckpt")
    smaller = {"32": "16", "resnet18": "resnet8"}
    for arguments in commands("ethos-u"):
        small = [smaller.get(word, word) for word in arguments]
        answered([*small, "--set", "teacher.options.width=8"] if arguments[0] == "run" else small)


def test_the_study_of_a_method_of_your_own(tmp_path, monkeypatch):
    """What it says can be run: its rows, its methods and the module that is allowed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (method,) = blocks("own-method", "python")
    Path("relations.py").write_text(method)
    (study,) = blocks("own-method", "yaml")
    Path("mine.yaml").write_text(study)
    unskip.allow_module("relations")
    prepared = prepare(load_study("mine.yaml", quick=False), tmp_path / "study", seeds=range(3))
    assert len(prepared.chosen) == 3
