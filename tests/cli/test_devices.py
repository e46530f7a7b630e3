"""Commands that ask a device's compiler: what they refuse, how they end, and that a second one is instant."""

import json
import sys
import time

import pytest
from search.known import Compiler, estimated

from cli.commands import refused, unskip
from unskip.cli import _console
from unskip.search import compiling, device_plan

pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")

SMALL = ("resnet8", "--set", "width=4", "--image-size", "16")
TARGET = ("--target", "ethos-u55-64")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """What the commands of this file compile is compiled once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def at(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("UNSKIP_CACHE", str(cache))
    return tmp_path


@pytest.mark.slow
def test_what_does_not_fit_ends_with_exit_code_1_and_the_reason(at, monkeypatch):
    """Of an inspection, again from the cache, and of a budget with the same SRAM."""
    tight = unskip("inspect", *SMALL, *TARGET, "--sram", "2KiB", "--optimise", "size", at=at)
    assert tight.code == 1
    assert "Does not fit 2.00 KiB of SRAM: needs" in tight.out
    assert "Most is in use at" in tight.out
    monkeypatch.setattr(compiling, "COMMAND", (sys.executable, "-c", "import sys; sys.exit('asked again')"))
    again = unskip("inspect", *SMALL, *TARGET, "--sram", "2KiB", "--optimise", "size", "--json", at=at)
    found = json.loads(again.out)["device"]
    assert (again.code, found["fits"]) == (1, False)
    assert [group["refused"] for group in found["groups"]] == [None] * len(found["groups"])


@pytest.mark.parametrize(
    ("command", "saying"),
    [
        (("inspect", *SMALL, "--sram", "256KiB"), "--sram belongs to --target"),
        (("inspect", *SMALL, "--compiles", "3"), "--compiles belongs to --target"),
        (("inspect", *SMALL, "--target", "ethos-u55-46"), "did you mean 'ethos-u55-64'"),
        (("inspect", *SMALL, *TARGET, "--sram", "256XB"), "--sram 256XB: no unit"),
        (("inspect", *SMALL, "--target", "ethos-u55-64,ethos-u55-32"), "--target names one device"),
        (("fit-budget", *SMALL, "--sram", "256KiB"), "--sram is a limit of a device: name it with --target"),
        (("fit-budget", *SMALL, *TARGET, "--cycles-ratio", "1.2"), "--cycles-ratio 1.2: expected a number"),
        (("fit-budget", *SMALL, *TARGET, "--latency-ms", "3"), "--latency-ms is about this machine"),
        (("fit-budget", *SMALL, "--memory", "1MiB", "--compiles", "3"), "--compiles belongs to --target"),
        (("bench", "resnet8", *TARGET, "--sram", "no"), "--sram no: "),
    ],
)
def test_wrong_input_is_refused_before_anything_is_compiled(command, saying, at):
    refused(*command, at=at, saying=saying)


class SlowCompiler(Compiler):
    """Ends when the words are on standard error, or after a while."""

    def __init__(self, words, seconds):
        super().__init__(lambda edits, device: estimated(1000))
        self.words, self.seconds = words, seconds

    def __call__(self, specs, input_shape, device, *, compiled):
        compiled(1, len(specs))
        until = time.monotonic() + self.seconds
        while self.words not in sys.stderr.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        return super().__call__(specs, input_shape, device, compiled=compiled)


def test_where_nobody_watches_lines_say_how_many_are_compiled(at, monkeypatch):
    monkeypatch.setattr(_console, "_SECONDS_BETWEEN_LINES", 0.01)
    words = "unskip: compiling for ethos-u55-64, 1 of 5 done, after "
    monkeypatch.setattr(device_plan, "compile_all", SlowCompiler(words, 60))
    ended = unskip("inspect", *SMALL, *TARGET, at=at)
    assert ended.code == 0
    assert ended.err.count(words) == 1
    assert "compiling for" not in ended.out
    monkeypatch.setattr(device_plan, "compile_all", SlowCompiler(words, 0.2))
    assert unskip("inspect", *SMALL, *TARGET, "--json", at=at).err == ""
    monkeypatch.setattr(_console, "_SECONDS_BETWEEN_LINES", 3600)
    assert unskip("inspect", *SMALL, *TARGET, at=at).err == ""


def test_how_long_the_rest_takes_is_said_where_it_is_long(monkeypatch):
    clock = iter([0.0, 5.0, 10.0, 30.0, 70.0, 80.0])
    monkeypatch.setattr(_console.time, "monotonic", lambda: next(clock))
    progress = _console.Progress()  # begun at 0 s
    progress.say("compiling")  # at 5 s
    said = []
    for done in (0, 1, 3, 4):  # at 10, 30, 70 and 80 s
        progress.counted(done, 4)
        said.append("".join(progress._now))
    assert said[0] == "compiling, 0 of 4 done"
    assert said[1] == "compiling, 1 of 4 done, about 1 min 00 s left"
    assert said[2] == "compiling, 3 of 4 done, about 20 s left"
    assert said[3] == "compiling, 4 of 4 done"


UNPLACED = """
from torch import nn

class Sorted(nn.Module):
    def forward(self, x):
        return x.sort(1).values

def build():
    first = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.ReLU()]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2), Sorted()]
    return nn.Sequential(*first, nn.Conv2d(4, 4, 3), *last)
"""


@pytest.mark.slow
def test_an_operation_that_the_device_does_not_have_is_named(at, monkeypatch):
    monkeypatch.setattr(_console, "_SECONDS_BETWEEN_LINES", 3600)  # the refusal is all that is said
    (at / "mine.py").write_text(UNPLACED)
    said = refused(
        "inspect", "mine:build", "--image-size", "16", *TARGET, at=at, saying="1 of its .* do not run on the"
    )
    assert said.endswith("aten.sort.default")


@pytest.mark.slow
@pytest.mark.parametrize(("net", "ratio"), [("resnet18", 1.6), ("resnet50", 1.67)])
def test_plans_for_a_cache_in_front_of_a_dram(net, ratio, at):
    """Of ResNet-18, two edits win together where each alone loses: minutes of compiling.

    The stem runs on the device, as its convolution of stride 4 is exported as two; left to the CPU, as ExecuTorch
    leaves it, it would be in no figure, and the ratio 1.74.
    """
    answer = unskip("inspect", net, "--target", "ethos-u65-256", "--also", "plan", "--json", at=at)
    lines = json.loads(answer.out)["plan"]["lines"]
    best = min(lines, key=lambda line: line["figures"]["cycles"])
    assert lines[0]["figures"]["cycles"] / best["figures"]["cycles"] >= ratio


@pytest.mark.slow
def test_a_network_that_is_too_large_is_refused(at):
    answer = unskip("inspect", "resnet50", "--target", "ethos-u55-128", "--sram", "256KiB", at=at)
    assert answer.code == 1
    assert "Does not fit" in answer.out
