import numpy as np
import pytest

from unskip.data import kept as module
from unskip.data.kept import KeptPixels, room

IMAGE = np.full((2, 3, 3), 7, np.uint8)


@pytest.fixture
def memory(monkeypatch):
    """Lets the machine have so many bytes of room."""

    def has(amount):
        monkeypatch.setattr(module, "room", lambda: amount)

    has(1)
    return has


def test_what_is_kept_is_there(memory):
    kept = KeptPixels()
    assert kept.get(3) is None
    kept.put(3, IMAGE)
    assert kept.get(3) is IMAGE
    assert len(kept) == 1


def test_a_full_memory_takes_no_more_and_is_looked_at_again(memory):
    memory(0)
    kept = KeptPixels()
    for row in range(64):
        kept.put(row, IMAGE)
    assert len(kept) == 0
    memory(1)
    for row in range(64, 128):
        kept.put(row, IMAGE)
    memory(0)
    for row in range(128, 200):
        kept.put(row, IMAGE)
    assert len(kept) == 64


@pytest.mark.parametrize(
    ("meminfo", "cgroup", "expected"),
    [
        ("MemTotal: 1000 kB\nMemAvailable: 600 kB\n", {}, 350 * 1024),
        ("MemTotal: 1000 kB\nMemAvailable: 200 kB\n", {}, 0),
        ("MemTotal: 1000 kB\nMemAvailable: 600 kB\n", {"memory.max": "max", "memory.current": "5"}, 350 * 1024),
        ("MemTotal: 1000 kB\nMemAvailable: 600 kB\n", {"memory.max": "100000", "memory.current": "50000"}, 25_000),
        ("MemTotal: 1000 kB\n", {}, 0),
        ("", {}, 0),
    ],
)
def test_a_quarter_of_the_memory_stays_free(meminfo, cgroup, expected, tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text(meminfo)
    for name, text in cgroup.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(module, "Path", lambda *parts: tmp_path / parts[-1].rpartition("/")[2])
    assert room() == expected


def test_this_machine_can_tell():
    if not module.Path("/proc/meminfo").exists():
        pytest.skip("not Linux")
    assert room() >= 0
