"""What is shown meanwhile."""

import os
import pty
import subprocess
import sys

PROGRAM = """
import select, sys
from unskip.cli import _console
from unskip.quiet import quiet

_console._SECONDS_BETWEEN_LINES = 0.01
with _console.Progress() as progress, quiet():
    for words in ("writing a file", "proving it"):
        progress.say(words)
        print("a library")
        select.select([sys.stdin], [], [], 60)  # until they are seen
        sys.stdin.readline()
_console.out.print("written")
"""


def seen_of(process: subprocess.Popen, shown: int) -> str:
    """All that the process writes to a descriptor; what it waits for is given as soon as it is there."""
    text = b""
    for words in (b"writing a file", b"proving it", b"written"):
        while words not in text:
            try:
                text += (more := os.read(shown, 4096))
            except OSError:  # a terminal that nobody writes to
                more = b""
            if not more:
                return text.decode()
        if words != b"written":
            process.stdin.write("\n")
            process.stdin.flush()
    return text.decode()


def test_a_terminal_shows_it_while_libraries_are_silent():
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=its_end, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(its_end)
        seen = seen_of(process, terminal)
        assert process.communicate()[1] == ""
    os.close(terminal)
    assert process.returncode == 0
    assert "proving it" in seen
    assert seen.rstrip().endswith("written")
    assert "a library" not in seen


def test_lines_are_said_while_libraries_are_silent():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        seen = seen_of(process, process.stderr.fileno())
        assert process.communicate() == ("written\n", "")
    first, second = (line for line in seen.splitlines() if "beginning" not in line)  # which may be said before
    assert first.startswith("unskip: writing a file, after ")
    assert second.startswith("unskip: proving it, after ")
