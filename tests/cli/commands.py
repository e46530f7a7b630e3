"""Commands that run in this process, and a small recipe."""

import contextlib
import io
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from unskip.cli import main

SMALL = {
    "data": {"name": "digits", "limit": 200, "test_limit": 100},
    "teacher": {"net": "resnet14", "options": {"width": 4}, "accept_weak": True},
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


FILES = ["--set", "measure.runtime=torch"]  # those that cost least
FAST = ["--set", "training.epochs=1", "--set", "training.batch_size=30", "--set", "measure.latency=false", *FILES]
TINY = ["--teacher", "resnet14", "--set", "teacher.options.width=2", *FAST]
