"""A new analysis that takes time is found by help and made where it is named."""

import json
import subprocess
import sys

FILE = '''"""The widest layer, by its channels."""

from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text

from unskip.analyses import Analysis


@dataclass(frozen=True)
class Widest(Analysis):
    """How many channels."""

    takes_time: ClassVar[bool] = True

    channels: int

    @classmethod
    def of(cls, network):
        return cls(max(len(parameter) for parameter in network.plain.parameters()))

    def show(self, console):
        yield Text(f"the widest layer has {self.channels} channels")
'''
MAIN = """
import sys
import unskip.analyses
unskip.analyses.__path__.append(sys.argv.pop(1))
from unskip.cli import main
main()
"""
NET = ["resnet14", "--set", "width=4", "--image-size", "16"]


def unskip(folder, *arguments):
    command = [sys.executable, "-c", MAIN, str(folder), "inspect", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_one_that_takes_time_is_shown_when_it_is_named(tmp_path):
    (tmp_path / "widest.py").write_text(FILE)
    assert "widest" in unskip(tmp_path, "--help")
    assert "widest" not in unskip(tmp_path, *NET)
    assert json.loads(unskip(tmp_path, *NET, "--also", "widest", "--json"))["widest"] == {"channels": 16}
