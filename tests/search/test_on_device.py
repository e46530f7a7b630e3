"""Budgets of devices, with a compiler by formula in the place of a real one."""

import io

import pytest
from rich.console import Console

from search.known import DEVICE, Compiler, estimated, meta_net
from unskip import Budget, UnskipError
from unskip.search import fit_budget, headline, on_device, render_answer

SHAPE = (3, 64, 64)
KIB = 1024


def net():
    return meta_net("resnet18", {"width": 8, "num_classes": 10})


def paying_together(edits, device):
    """Each of two edits makes it slower, both together make it fast; the more stages are plain, the faster."""
    removed = edits.get("without_shortcuts")
    stages = 0 if removed is None else len(removed.get("only", range(4)))
    lean = "with_lean_stem" in edits
    cycles = 1000 * (1.5 - 0.25 * stages if lean and stages else 1.1 if lean or stages else 1.0)
    return estimated(int(cycles), 300 * KIB, cache=384 * KIB)


@pytest.fixture
def compiler(monkeypatch):
    compiler = Compiler(paying_together)
    monkeypatch.setattr(on_device, "compile_all", compiler)
    return compiler


def answered(limits, **more):
    return fit_budget(net(), SHAPE, Budget(limits, "int8"), device=DEVICE, limit=1, **more)


def test_two_edits_that_win_together_are_found(compiler):
    answer = answered({"cycles_ratio": 0.6})
    assert answer.fits
    best = answer.best
    assert best.student.lean
    assert best.student.removed is None
    assert best.figures["cycles_ratio"].value == 0.5
    assert best.verdict == "meets"
    assert answer.own.figures["cycles"].value == 1000
    assert answer.runtime == "A compiler 1.0"


def test_no_more_are_compiled_than_was_said(compiler):
    told = []
    answer = answered({"cycles_ratio": 0.6}, compiles=5, compiled=lambda done, of: told.append((done, of)))
    assert len(compiler.asked) == 6, "the network itself too"
    assert len({repr(spec) for spec in compiler.asked}) == 6
    assert answer.num_measured == 5
    assert answer.num_left > 5
    assert told[0] == (1, 6)
    assert told[-1] == (6, 6)


def test_a_network_that_cannot_be_compiled_is_refused(monkeypatch):
    refused = Compiler(lambda edits, device: UnskipError("2 of its 9 operations do not run on the ethos-u65-256: elu"))
    monkeypatch.setattr(on_device, "compile_all", refused)
    with pytest.raises(UnskipError, match="do not run on the ethos-u65-256: elu"):
        answered({"cycles_ratio": 0.5})


def test_a_student_that_is_killed_has_its_sentence(monkeypatch):
    def cost(edits, device):
        return UnskipError("the process was killed by SIGKILL") if edits else estimated(1000)

    monkeypatch.setattr(on_device, "compile_all", Compiler(cost))
    answer = answered({"cycles_ratio": 0.9}, compiles=4)
    assert not answer.fits
    assert "none of the 4 that were tried could be exported (the process was killed by SIGKILL)" in headline(answer)


def test_a_limit_of_what_the_compiler_does_not_say(monkeypatch):
    silent = Compiler(lambda edits, device: estimated(None, 64 * KIB))
    monkeypatch.setattr(on_device, "compile_all", silent)
    with pytest.raises(UnskipError, match=r"`cycles_ratio` is no limit for ethos-u65-256: A compiler 1\.0"):
        answered({"cycles_ratio": 0.5})


def test_limits_of_a_device_and_of_this_machine_do_not_mix():
    with pytest.raises(UnskipError, match="`sram` is a limit of a device: name it with `target`"):
        fit_budget(net(), SHAPE, Budget({"sram": "256KiB"}))
    with pytest.raises(UnskipError, match="`latency_ratio` is about this machine"):
        answered({"latency_ratio": 0.5})


def test_the_compiler_is_told_the_sram(compiler, monkeypatch):
    pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")
    from unskip.runtimes import configured

    told = Compiler(lambda edits, device: estimated(1000, int(device.setting.get("sram", 0))))
    monkeypatch.setattr(on_device, "compile_all", told)
    device = configured("ethos-u55-128")
    answer = fit_budget(net(), SHAPE, Budget({"sram": "64KiB"}, "int8"), device=device, limit=1, compiles=2)
    assert answer.own.figures["sram"].value == 64 * KIB
    assert answer.own.verdict == "meets"
    assert answer.device.setting["sram"] == str(64 * KIB)


def test_print_says_what_was_asked_and_how_to_deploy(compiler):
    pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")
    from unskip.runtimes import configured

    device = configured("ethos-u65-256", {"optimise": "size"})
    answer = fit_budget(net(), SHAPE, Budget({"cycles_ratio": 0.6}, "int8"), device=device, limit=1, compiles=5)
    file = io.StringIO()
    render_answer(answer, Console(file=file, width=80))
    text = file.getvalue()
    words = " ".join(text.split())
    assert "Compiled: 5 students beside line 0" in words
    assert f"Not compiled: {answer.num_left}, which" in words
    assert "Estimated by A compiler 1.0 for ethos-u65-256" in words
    assert "nothing was measured on a device" in words
    assert "unskip export RUN --to ethos-u --target ethos-u65-256 --optimise size\n" in text
    assert answer.to_json()["device"] == {"target": "ethos-u65-256", "setting": dict(device.setting)}
