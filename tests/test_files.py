import errno
import json
import os
import subprocess
import sys

import pytest

from unskip.errors import UnskipError
from unskip.files import atomic_paths, check_writable, write_json, write_text


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "one")
    with pytest.raises(RuntimeError), atomic_paths([path]) as (temporary,):
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["a.txt"]


def test_several_files_are_written_all_or_none(tmp_path):
    paths = [tmp_path / "new" / name for name in ("a.bin", "a.xml")]
    with atomic_paths(paths) as temporary:
        assert [path.name for path in temporary] == ["a.bin", "a.xml"]
        for path in temporary:
            path.write_text("one")
    with pytest.raises(FileNotFoundError), atomic_paths(paths) as temporary:
        temporary[0].write_text("two")
    assert [path.read_text() for path in paths] == ["one", "one"]
    assert sorted(os.listdir(paths[0].parent)) == ["a.bin", "a.xml"]


@pytest.mark.parametrize("older", [True, False])
def test_a_file_that_cannot_be_replaced_leaves_the_other_as_it_was(older, tmp_path):
    paths = [tmp_path / "a.bin", tmp_path / "a.xml"]
    paths[1].mkdir()
    if older:
        paths[0].write_text("one")
    with pytest.raises(OSError, match=r"a\.xml"), atomic_paths(paths) as temporary:
        for path in temporary:
            path.write_text("two")
    assert sorted(os.listdir(tmp_path)) == (["a.bin", "a.xml"] if older else ["a.xml"])
    assert not older or paths[0].read_text() == "one"


def test_a_full_disk_is_said_and_nothing_is_lost(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "one")
    with pytest.raises(UnskipError, match=r"no space left.*a\.txt"), atomic_paths([path]):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_device_that_is_full(tmp_path):
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    path = tmp_path / "a.txt"
    with pytest.raises(UnskipError, match="no space left"), atomic_paths([path]) as (temporary,):
        temporary.symlink_to("/dev/full")
        with open(temporary, "w") as file:
            file.write("x")


def test_other_errors_keep_their_name(tmp_path):
    with pytest.raises(PermissionError), atomic_paths([tmp_path / "a"]):
        raise PermissionError(errno.EACCES, "no")


def test_json_refuses_nan(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"b": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"b": [1, 2.5, None]}


def test_what_killed_processes_left_is_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".a.txt.{ended.pid}.tmp").write_text("half")
    (tmp_path / f".b.xml.{ended.pid}.tmp" / "before").mkdir(parents=True)
    kept = [tmp_path / f".a.txt.{os.getppid()}.tmp", tmp_path / f".other.txt.{ended.pid}.tmp"]
    for path in kept:
        path.write_text("of a process that runs, or of another file")
    write_text(tmp_path / "a.txt", "whole")
    with atomic_paths([tmp_path / "b.xml"]) as (place,):
        place.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.txt", "b.xml", *(path.name for path in kept)])


def test_the_last_of_several_files_is_absent_while_they_are_replaced(tmp_path, monkeypatch):
    """A process that is killed between two of them leaves no pair that does not belong together."""
    paths = [tmp_path / "net.bin", tmp_path / "net.xml"]
    seen = []
    for round_ in ("old", "new"):
        with atomic_paths(paths) as places:
            for place in places:
                place.write_text(round_)
            replace = os.replace
            monkeypatch.setattr(os, "replace", lambda a, b, real=replace: (seen.append(paths[1].exists()), real(a, b)))
        monkeypatch.undo()
    assert not any(seen)
    assert [path.read_text() for path in paths] == ["new", "new"]


@pytest.mark.parametrize("name", ["file/x.onnx", "file/deep/x.onnx", "folder"])
def test_places_that_cannot_be_written_are_named_beforehand(name, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnskipError, match=r"--out .*(is no folder|is a folder)"):
        check_writable(tmp_path / name, "--out")
    check_writable(tmp_path / "new" / "deep" / "x.onnx", "--out")
    assert not (tmp_path / "new").exists()
