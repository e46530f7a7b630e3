"""Networks compiled in processes of their own: once each, and one that is killed costs no other."""

import sys
import threading
import time

import pytest

from search.known import DEVICE, estimated
from unskip import UnskipError
from unskip.nets import NetSpec
from unskip.processes import num_cores
from unskip.runtimes import configured
from unskip.search import compiling
from unskip.search.compiling import compile_all

SHAPE = (3, 16, 16)
FAKE = """
import json, os, signal, sys, time
json.loads(sys.stdin.readline())
for line in sys.stdin:
    width = json.loads(line)["options"]["width"]
    if width == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    if width == 99:
        time.sleep(1000)
    answer = {"error": "it has no network"} if width == 0 else {"estimate": {**ESTIMATE, "cycles": width}}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def fake(monkeypatch):
    """Compilers that answer with a net's width as its cycles; nothing is cached."""
    estimate = f"ESTIMATE = {estimated(1).model_dump(mode='json')!r}\n"
    monkeypatch.setattr(compiling, "COMMAND", (sys.executable, "-c", estimate + FAKE))
    monkeypatch.setattr(compiling, "known_estimate", lambda *asked: None)


def specs(*widths):
    return [NetSpec("resnet8", {"width": width}) for width in widths]


def test_answers_come_in_order_with_how_many_of_how_many(fake):
    told = []
    answers = compile_all(specs(3, 1, 4, 1, 5), SHAPE, DEVICE, compiled=lambda done, of: told.append((done, of)))
    assert [answer.cycles for answer in answers] == [3, 1, 4, 1, 5]
    assert told[0] == (0, 5)
    assert sorted(told)[-1] == (5, 5)


def test_a_process_that_is_killed_costs_its_own_network_only(fake):
    first, killed, refused, *others = compile_all(specs(1, 13, 0, 2, 3), SHAPE, DEVICE)
    assert isinstance(killed, UnskipError)
    assert str(killed) == "the process that compiles for ethos-u65-256 was killed by SIGKILL"
    assert str(refused) == "it has no network"
    assert [answer.cycles for answer in (first, *others)] == [1, 2, 3]


def test_what_ends_a_call_ends_its_processes(fake):
    """As Ctrl-C does: the first that is told of an answer raises, while another one computes without end."""

    def interrupted(done, of):
        if done:
            raise KeyboardInterrupt

    before = threading.active_count()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        compile_all(specs(*[99] * (num_cores() - 1), 1, 99), SHAPE, DEVICE, compiled=interrupted)
    assert time.monotonic() - started < 500
    assert threading.active_count() <= before + 1


@pytest.mark.slow
def test_a_network_is_compiled_once(tmp_path, monkeypatch):
    pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")
    monkeypatch.setenv("UNSKIP_CACHE", str(tmp_path))
    device = configured("ethos-u55-64")
    wanted = [NetSpec("resnet8", {"width": 4}, edits) for edits in ((), (("without_shortcuts", {}),))]
    full, plain = compile_all(wanted, SHAPE, device)
    assert full.operations > plain.operations
    assert full.cycles > plain.cycles > 0
    assert (full.target, full.setting) == ("ethos-u55-64", dict(device.setting))
    monkeypatch.setattr(compiling, "COMMAND", (sys.executable, "-c", "import sys; sys.exit('asked again')"))
    told = []
    assert compile_all(wanted, SHAPE, device, compiled=lambda done, of: told.append(done)) == [full, plain]
    assert told == [2]
    (again,) = compile_all(wanted[:1], (3, 24, 24), device)
    assert "asked again" in str(again), "another image is another question"
