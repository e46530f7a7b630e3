"""Silence, and what is heard in it."""

import contextlib
import io
import os
import sys

import pytest

from unskip.quiet import quiet, unsilenced


def test_of_libraries_nothing_is_heard_and_of_an_unsilenced_stream_all(capfd):
    with unsilenced(sys.stderr) as heard, quiet():
        print("a library", file=sys.stderr)
        os.write(2, b"its C++ code")
        print("a person", file=heard)
    print("afterwards", file=sys.stderr)
    assert capfd.readouterr().err == "a person\nafterwards\n"


def test_a_stream_in_memory_is_taken_as_it_is():
    with contextlib.redirect_stdout(io.StringIO()) as memory, unsilenced(sys.stdout) as heard, quiet():
        print("a library")
        print("a person", file=heard)
    assert memory.getvalue() == "a person\n"


def test_nobody_reads_any_more():
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        with unsilenced(stream) as heard:
            os.close(read)
            with pytest.raises(BrokenPipeError):
                print("a person", file=heard)
        assert heard.closed
