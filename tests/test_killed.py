"""Killed at random moments and started again: the same bytes, and nothing half written."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unskip import run_recipe
from unskip.recipe import recipe_from
from unskip.records import Run
from unskip.report.pages import render

KILLS = int(os.environ.get("UNSKIP_KILLS", "6"))
SEED = int(os.environ.get("UNSKIP_KILL_SEED", "0"))
SMALL = {
    "data": {"name": "digits", "limit": 200, "test_limit": 60},
    "teacher": {"net": "resnet14", "options": {"width": 4}},
    "methods": {"ce": {}, "align_kd": {}},
    "training": {"epochs": 2, "batch_size": 50, "checkpoint_minutes": 0.0001},
    "measure": {"latency": False, "parity_images": 20},
}
OF_TIME = {"started", "seconds", "load", "images_per_second"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run_recipe(recipe_from(SMALL), folder)
    return folder


def start(*arguments: object, at: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "unskip", *map(str, arguments)]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=at, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def killed(process: subprocess.Popen[str], lines: int, seconds: float) -> bool:
    """Kill a process a while after it has printed so many lines; whether that came before its end."""
    for _ in range(lines):
        if not process.stdout.readline():
            break
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
    said = process.stdout.read()
    assert process.returncode in (0, -signal.SIGKILL), said
    return process.returncode != 0


def files_of(folder: Path) -> dict[str, bytes]:
    places = [path for part in ("nets", "trained", "export") for path in (folder / part).iterdir()]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in places if path.suffix != ".json"}


def without_times(value: object) -> object:
    if isinstance(value, dict):
        return {key: without_times(entry) for key, entry in value.items() if key not in OF_TIME}
    return [without_times(entry) for entry in value] if isinstance(value, list) else value


def test_a_run(whole, tmp_path):
    """Kills fall on training, exporting, measuring and the report; what is left is gone on from until it is done."""
    (tmp_path / "small.yaml").write_text(recipe_from(SMALL).to_yaml())
    moments, kills = random.Random(SEED), 0
    while kills < KILLS:
        folder = tmp_path / "trial" / "run"
        command = ("run", "small.yaml", "--out", folder)
        for _ in range(moments.randrange(2, 6)):
            kills += killed(start(*command, at=tmp_path), moments.randrange(9), moments.random() * 0.7)
            for path in [*folder.glob("nets/*"), *folder.glob("export/*.onnx")]:
                expected = (whole / path.relative_to(folder)).read_bytes()
                assert path.read_bytes() == expected, (path, SEED, kills)
        last = start(*command, at=tmp_path)
        said, _ = last.communicate()
        assert last.returncode == 0, said
        assert files_of(folder) == files_of(whole), (SEED, kills)
        found, expected = (json.loads((place / "run.json").read_text()) for place in (folder, whole))
        assert without_times(found) == without_times(expected), (SEED, kills)
        assert (folder / "report.html").read_text() == render(Run.read(folder))
        assert not list(folder.rglob("*.tmp"))
        shutil.rmtree(folder.parent)


@pytest.mark.parametrize("ending", [".onnx", ".pt2", ".xml"])
def test_an_export(ending, whole, tmp_path):
    moments, kills = random.Random(SEED), 0
    files = (tmp_path / f"net{ending}", tmp_path / "net.bin")
    arguments = ("export", whole, "--out", files[0])
    started = time.monotonic()
    assert start(*arguments, at=tmp_path).wait() == 0
    usual = time.monotonic() - started
    expected = {file.name: file.read_bytes() for file in files if file.exists()}
    while kills < max(1, KILLS // 3):
        kills += killed(start(*arguments, at=tmp_path), 0, usual * (0.4 + 0.6 * moments.random()))
        if files[0].exists():
            assert {file.name: file.read_bytes() for file in files if file.exists()} == expected
    assert start(*arguments, at=tmp_path).wait() == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == expected, "the same, and nothing else"
