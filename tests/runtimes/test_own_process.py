"""Files that a process of its own reads, here by a probe that says which process it is."""

import os
import signal
import time

import pytest

from unskip.errors import UnskipError
from unskip.processes import AnsweringProcess
from unskip.runtimes import _own_process, find_runtime
from unskip.runtimes._own_process import metadata_by_own_process

NAME = "own_probe:probe"
PROBE = """
import os

def probe(path):
    if path.read_text() == "fatal":
        os.abort()
    print("words of a library")
    return {"process": os.getpid(), "content": path.read_text()[:int(len(path.read_text()) / (path.stem != "damaged"))]}
"""


@pytest.fixture
def read(tmp_path, monkeypatch):
    (tmp_path / "own_probe.py").write_text(PROBE)
    monkeypatch.syspath_prepend(tmp_path)

    def reading(name, content):
        path = tmp_path / name
        path.write_text(content)
        return metadata_by_own_process(path, find_runtime("onnxruntime"), NAME)

    yield reading
    if NAME in _own_process._readers:
        _own_process._end(NAME)


def test_one_process_reads_all_files_until_one_is_damaged_or_ends_it(read, capfd):
    first = read("one.net", "1")
    assert first["process"] != os.getpid()
    assert read("two.net", "2") == {"process": first["process"], "content": "2"}
    with pytest.raises(UnskipError, match=r"damaged\.net is no .* file that can be read: .*division by zero"):
        read("damaged.net", "1")
    second = read("one.net", "1")
    assert second["process"] != first["process"]
    with pytest.raises(UnskipError, match=r"three\.net is no .* can be read: ONNX Runtime \S+ was killed by SIGABRT"):
        read("three.net", "fatal")
    assert read("one.net", "1")["process"] not in (first["process"], second["process"])
    assert capfd.readouterr() == ("", "")


def test_one_that_was_killed_meanwhile_is_replaced_and_no_file_is_blamed(read):
    first = read("one.net", "1")
    os.kill(first["process"], signal.SIGKILL)
    while not _own_process._readers[NAME].is_gone:
        time.sleep(0.01)
    assert read("two.net", "2")["content"] == "2"


def test_after_an_interruption_the_next_file_gets_its_own_answer(read, monkeypatch):
    def interrupted(reader):
        raise KeyboardInterrupt

    read("one.net", "1")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(AnsweringProcess, "answer", interrupted)
        read("two.net", "2")
    assert read("three.net", "3")["content"] == "3"
