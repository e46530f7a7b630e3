"""Processes that answer questions."""

import os
import signal
import subprocess
import sys
import time

import pytest

PARENT = """
import sys
from unskip.processes import AnsweringProcess
with AnsweringProcess([sys.executable, "-c", sys.argv[1]], "the child", threads=1, patience_seconds=600) as child:
    child.tell("a question")
    print(child.answer()["ids"], flush=True)
    child.answer()
"""
CHILD = """
import os, subprocess, sys, time
from unskip.processes import answering, questions

def answers(messages):
    next(messages)
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield {"ids": [os.getpid(), started.pid]}
    time.sleep(600)

answering(answers(questions(sys.stdin)))
"""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
def test_what_a_process_does_and_has_started_ends_with_the_one_that_asks():
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD], stdout=subprocess.PIPE, text=True)
    ids = [int(word) for word in parent.stdout.readline().strip("[]\n").split(", ")]
    assert len(ids) == 2
    assert all(map(_lives, ids))
    parent.send_signal(signal.SIGTERM)
    parent.wait()
    parent.stdout.close()
    patience = time.monotonic() + 60
    while any(map(_lives, ids)):
        assert time.monotonic() < patience
        time.sleep(0.05)


def _lives(process: int) -> bool:
    """Whether there is such a process; one that has ended and that nobody has waited for is none."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")
