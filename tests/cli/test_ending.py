"""How commands end: exit codes, one sentence, and tracebacks in files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from unskip import UnskipError
from unskip.cli._ending import ExitCode, ended


@pytest.fixture
def said(capsys, monkeypatch, tmp_path):
    """What was said on standard error so far; tracebacks go into ``tmp_path``."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    parts = []

    def so_far() -> str:
        parts.append(capsys.readouterr().err)
        return "".join(parts)

    return so_far


def raising(error):
    def command():
        raise error

    return command


def raising_in_a_library(error):
    """A command that leads through no user's file."""
    names = {}
    exec(compile("def raising(error):\n def command(): raise error\n return command", "<library>", "exec"), names)
    return names["raising"](error)


def test_a_command_s_own_code():
    assert ended(lambda: None) == ExitCode.DONE
    assert ended(lambda: 1) == ExitCode.NOT_MET


NO_MEMORY = "this machine's memory is not enough"
FROM_A_LOADER = "Caught it.\nTraceback (most recent call last):\n  x\nunskip.errors.UnskipError: no image"


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (UnskipError("no such net"), 2, "no such net"),
        (UnskipError("two\nlines and \x1b[31mred\x1b[0m \x07"), 2, r"two lines and red \x07"),
        (UnskipError("x" * 9000), 2, "x" * 1000 + " .. " + "x" * 1000),
        (UnskipError(FROM_A_LOADER), 2, "no image"),
        (KeyboardInterrupt(), 130, "interrupted, saved"),
        (OSError(28, "No space left on device", "here"), 2, "No space left on device: here; nothing that was"),
        (MemoryError(), 2, f"{NO_MEMORY} (MemoryError)"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), 2, NO_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory."), 2, f"{NO_MEMORY} (CUDA out of memory.)"),
    ],
)
def test_what_ends_a_command_is_one_sentence(error, code, sentence, said, tmp_path):
    assert ended(raising(error), saved=", saved") == code
    assert said().startswith(f"unskip: {sentence}")
    assert said().count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_memory_that_numpy_and_torch_do_not_get(said):
    assert ended(lambda: np.zeros(2**60, np.uint8)) == 2
    assert ended(lambda: torch.zeros(2**50)) == 2
    assert said().count("this machine's memory is not enough") == 2


@pytest.mark.parametrize(
    "error", [KeyError("a"), RecursionError("too deep"), SystemExit(0), EOFError(), Exception("é\n1")]
)
def test_what_nobody_foresaw_leaves_its_traceback_in_a_file(error, said, tmp_path):
    assert ended(raising_in_a_library(error)) == ExitCode.UNFORESEEN
    (file,) = tmp_path.iterdir()
    assert re.fullmatch(rf"unskip: this should not have happened: {type(error).__name__}.*{file}, .*\n", said())
    assert "Traceback" not in said()
    assert "Traceback (most recent call last)" in file.read_text(encoding="utf-8")
    assert "arguments: " in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [ValueError("mine"), SystemExit(0), ZeroDivisionError()])
def test_what_a_user_s_own_code_raises_names_its_place(error, said, tmp_path):
    """This file stands for one."""
    assert ended(raising(error)) == ExitCode.REFUSED
    assert re.search(rf"unskip's, {__file__}, line \d+, raised {type(error).__name__}", said())
    assert len(list(tmp_path.iterdir())) == 1


def test_a_traceback_that_cannot_be_written(said, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")
    assert ended(raising_in_a_library(KeyError("a"))) == ExitCode.UNFORESEEN
    assert "could not be written" in said()


def test_a_thread_and_an_object_that_fail_say_a_sentence(said):
    import threading

    class Falling:
        def __del__(self):
            raise ValueError("fell")

    def command():
        thread = threading.Thread(target=raising_in_a_library(KeyError("a")))
        thread.start()
        thread.join()
        Falling()

    assert ended(command) == 0
    assert "this should not have happened: KeyError" in said()
    assert "warning: while cleaning up, ValueError: fell" in said()


def unskip(command: str, **environment: str) -> subprocess.CompletedProcess:
    """The real command in a shell: what becomes of its streams cannot be tried within one process."""
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, **environment}
    command = command.replace("unskip", f"{sys.executable} -m unskip")
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    ("command", "code", "err"),
    [
        ("unskip recipes demo | true; exit ${PIPESTATUS[0]}", {0, ExitCode.NOBODY_READS}, ""),
        ("unskip --help | true; exit ${PIPESTATUS[0]}", {0, ExitCode.NOBODY_READS}, ""),
        ("unskip nets | true; exit ${PIPESTATUS[0]}", {0, ExitCode.NOBODY_READS}, ""),
        ("unskip nets >&-", {0}, ""),
        ("unskip nets 2>&- <&- | tail -1", {0}, ""),
        ("unskip nonsense 2>&-", {2}, ""),
        ("unskip nets > /dev/full", {2}, "unskip: No space left on device; nothing that was finished is lost\n"),
        ("unskip nonsense 2> /dev/full", {2}, ""),
    ],
)
def test_streams_that_are_closed_or_full(command, code, err):
    if "/dev/full" in command and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = unskip(command)
    assert (done.returncode in code, done.stderr) == (True, err), done


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "COLUMNS": "1"},
        {"COLUMNS": "0", "TERM": "dumb"},
        {"TERM": "x"},
    ],
)
def test_terminals_of_all_sorts(environment):
    done = unskip("unskip methods align_kd", **environment)
    assert (done.returncode, done.stderr) == (0, ""), done
