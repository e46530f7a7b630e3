"""The package as it is installed: a wheel with all that it needs, in an environment without the source."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from unskip.listing import named_recipes

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints, somewhere else than in the source, and without what points there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*pip, "--wheel-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("unskip-*.whl")
    return built


def test_it_holds_types_recipes_and_studies(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"unskip/py.typed", "unskip/__init__.pyi"} <= names
    assert {f"unskip/recipes/{name}.yaml" for name in named_recipes()} <= names
    assert {"unskip/studies/printed.json", "unskip/data/digits.npz", "unskip/data/digits.txt"} <= names
    source = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src" / "unskip").rglob("*.j2")}
    assert source <= names


@pytest.mark.slow
def test_it_installs_in_a_bare_environment(wheel, tmp_path):
    """With its dependencies from the package index, torch among them: minutes."""
    venv.create(tmp_path / "bare", with_pip=True)
    bin_ = tmp_path / "bare" / ("Scripts" if os.name == "nt" else "bin")
    run(bin_ / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    assert "demo" in run(bin_ / "unskip", "recipes", cwd=tmp_path)
    assert "Removal pays" in run(bin_ / "unskip", "inspect", "resnet50", cwd=tmp_path)
    small = ["--set", "data.limit=200", "--set", "teacher.net=resnet14", "--set", "measure.latency=false"]
    run(bin_ / "unskip", "run", "demo", "--method", "align_kd", "--epochs", "1", *small, "--out", "small", cwd=tmp_path)
    assert (tmp_path / "small" / "report.html").is_file()
