from pathlib import Path

import pytest

from unskip import machine_memory
from unskip.machine_memory import machine_bytes, room

MACHINE = "MemTotal: 1000 kB\nMemAvailable: 600 kB\n"
GROUP, JOB = "0::/slurm/job_7", "4:memory:/slurm/job_7\n3:cpuset:/\n0::/"
TWO, ONE = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A system that says so of its memory, of the group of this process, and of groups by their folders."""

    def told(meminfo, membership="", groups=None):
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/meminfo").write_text(meminfo)
        (tmp_path / "proc/self/cgroup").write_text(membership)
        for folder, files in (groups or {}).items():
            (tmp_path / "groups" / folder).mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (tmp_path / "groups" / folder / name).write_text(text)
        monkeypatch.setattr(machine_memory, "_PROC", tmp_path / "proc")
        monkeypatch.setattr(machine_memory, "_GROUPS", tmp_path / "groups")
        machine_bytes.cache_clear()

    yield told
    machine_bytes.cache_clear()


def group(names, most, used, stat=""):
    return dict(zip((*names, "memory.stat"), (most, used, stat), strict=True))


@pytest.mark.parametrize(
    ("membership", "groups", "expected"),
    [
        ("", {}, 350 * 1024),
        ("0::/", {"": group(TWO, "max", "5")}, 350 * 1024),
        ("0::/", {"": group(TWO, "100000", "50000")}, 25_000),
        ("0::/", {"": group(TWO, "100000", "90000", "anon 7\ninactive_file 60000\n")}, 45_000),
        (GROUP, {"slurm/job_7": group(TWO, "100000", "50000")}, 25_000),
        (GROUP, {"slurm/job_7": group(TWO, "max", "5"), "slurm": group(TWO, "100000", "60000")}, 15_000),
        (GROUP, {"slurm/job_7": group(TWO, "100000", "99000"), "slurm": group(TWO, "200000", "99000")}, 0),
        (GROUP, {"": group(TWO, "100000", "50000")}, 25_000),
        (JOB, {"memory/slurm/job_7": group(ONE, "100000", "50000", "total_inactive_file 10000\n")}, 35_000),
        (JOB, {"memory": group(ONE, "9223372036854771712", "50000")}, 350 * 1024),
    ],
)
def test_a_share_of_the_memory_and_of_every_limit_stays_free(system, membership, groups, expected):
    system(MACHINE, membership, groups)
    assert room(0.25) == expected


@pytest.mark.parametrize("meminfo", ["MemTotal: 1000 kB\nMemAvailable: 200 kB\n", "MemTotal: 1000 kB\n", ""])
def test_there_is_no_room_where_none_is_left_or_nobody_knows(system, meminfo):
    system(meminfo)
    assert room(0.25) == 0


def test_the_memory_is_that_of_the_tightest_limit(system):
    if machine_bytes() is None:
        pytest.skip("this system does not tell")
    system(MACHINE, GROUP, {"slurm/job_7": group(TWO, "200000", "1"), "slurm": group(TWO, "300000", "1")})
    assert machine_bytes() == 200_000


def test_this_machine_can_tell():
    if not Path("/proc/meminfo").exists():
        pytest.skip("not Linux")
    assert room(0.0) >= room(0.25) >= 0
