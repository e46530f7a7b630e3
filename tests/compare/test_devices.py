"""What is said of devices that are not here: estimates of their compilers, and the answers of their integers."""

import pytest

from unskip.compare import Settings, bench
from unskip.errors import UnskipError
from unskip.runtimes import configured

pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")


def test_a_network_is_estimated_and_not_timed(home, monkeypatch, tmp_path):
    monkeypatch.chdir(home)
    monkeypatch.setenv("UNSKIP_CACHE", str(tmp_path))
    device = configured("ethos-u55-128")
    settings = Settings(runtimes=(), devices=(device,), quick=True)
    comparison = bench(["run"], settings, data="digits", data_settings=("data.test_limit=60",))
    (group,) = comparison.groups
    assert group.target == str(device)
    (cell,) = group.cells
    assert cell.refused is None
    assert "latency" not in cell.figures
    assert cell.figures["cycles"].value == cell.estimate.cycles > 0
    assert cell.figures["sram"].value == cell.estimate.memory_bytes["sram"]
    assert cell.estimate.target == "ethos-u55-128"
    assert list(tmp_path.rglob("*.json"))


def test_a_device_is_no_runtime_of_this_machine():
    with pytest.raises(UnskipError, match="Ethos-U is no runtime of this machine; name a device with `target`"):
        Settings(runtimes=("ethos_u",)).check()
    with pytest.raises(UnskipError, match="at least one runtime"):
        Settings(runtimes=()).check()
