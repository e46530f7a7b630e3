"""What Vela is asked, once for several who ask the same, and how it fails."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from unskip.errors import UnskipError
from unskip.runtimes import Estimator, configured, ending_of, find_runtime, runtime_for, runtimes

pytest.importorskip("ethosu", reason="the extra ethos-u is not installed")

from unskip.runtimes import _vela

from .tosa_writing import GraphWriter


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNSKIP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def graph():
    random, graph = np.random.default_rng(0), GraphWriter((1, 8, 8, 4))
    sums = graph.convolution((1, 8, 8, 4), random.integers(-127, 128, (4, 1, 1, 4)), np.zeros(4), 0)
    graph.rescale(sums, (1, 8, 8, 4), [2**30] * 4, [38] * 4)
    return graph.written()


def test_of_two_that_ask_the_same_one_compiles(graph, cache, monkeypatch):
    compiled = []
    compile_ = _vela._compiled
    monkeypatch.setattr(_vela, "_compiled", lambda *asked: compiled.append(asked) or compile_(*asked))
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(lambda _: _vela.estimate(graph, configured("ethos-u55-128")), range(2))
    assert one == other
    assert one.cycles > 0
    assert one.fallback == ()
    assert len(compiled) == 1
    (kept,) = (cache / "vela").glob("*.json")
    kept.write_bytes(kept.read_bytes()[:100])
    assert _vela.estimate(graph, configured("ethos-u55-128")) == one, "a damaged file is no answer"
    assert len(compiled) == 2


def test_a_vela_that_is_killed(graph, cache):
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(_vela.estimate, graph, configured("ethos-u55-64"))
        while not (children := vela_processes()):
            time.sleep(0.01)
        for child in children:
            os.kill(child, signal.SIGKILL)
        with pytest.raises(UnskipError, match=r"Vela was killed by SIGKILL for ethos-u55-64 \(Ethos_U55"):
            asked.result()
    assert not list(cache.rglob("*.json"))


def vela_processes():
    """Those that this process has started, by their numbers."""
    children = [
        child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [int(child) for child in children if b"ethosu.vela" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_bytes_that_vela_cannot_place(cache):
    with pytest.raises(UnskipError, match="Vela cannot place this network"):
        _vela.estimate(b"no graph", configured("ethos-u55-128"))
    assert not list(cache.rglob("*.json"))


def test_names_of_targets():
    assert configured(" Ethos_U65_256 ").target == "ethos-u65-256"
    with pytest.raises(UnskipError, match=r"no target 'ethos-u55-129'; did you mean 'ethos-u55-128'\?.*ethos-u85-2048"):
        configured("ethos-u55-129")
    with pytest.raises(UnskipError, match=r"several kinds of ethos-u65, .*: ethos-u65-256, ethos-u65-512$"):
        configured("ethos-u65")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            {"memory_mode": "Dedicated_Sram_384KB"},
            "`memory_mode` Dedicated_.* puts feature maps where .* of Sram_Only, ",
        ),
        ({"memory_mode": "shared"}, "`memory_mode` 'shared'.*Shared_Sram"),
        ({"system_config": "Ethos_U65_High_End"}, "`system_config` 'Ethos_U65_High_End'.*Ethos_U55_High_End_Embedded"),
        ({"optimise": "both"}, "`optimise` 'both'.*speed, size"),
        ({"clock": "1"}, "`clock` is no option of ethos-u55-128; it has `system_config`"),
    ],
)
def test_settings_that_do_not_go_with_the_target(setting, said):
    with pytest.raises(UnskipError, match=said):
        configured("ethos-u55-128", setting)


@pytest.mark.parametrize("name", ["ethos_u", "cortex_m"])
def test_a_missing_extra_is_named(name, monkeypatch):
    runtime = find_runtime(name)
    target = runtime.targets[-1]
    monkeypatch.setattr(type(runtime), "module", "a_module_that_is_not_here")
    hint = rf"^{runtime.software or runtime.title} is not installed: pip install 'unskip\[{runtime.extra}\]'$"
    for ask in (lambda: configured(target), lambda: runtime.read_metadata(Path(f"net{runtime.ending(target)}"))):
        with pytest.raises(UnskipError, match=hint):
            ask()


def test_endings_name_devices():
    assert ending_of(Path("a/Net.Ethos-U85-2048.PTE")) == ".ethos-u85-2048.pte"
    assert runtime_for(Path("net.ethos-u55-32.pte")).name == "ethos_u"
    assert runtime_for(Path("net.pte")).name == "executorch"


@pytest.mark.parametrize(
    "estimator", [each for each in runtimes() if isinstance(each, Estimator)], ids=lambda each: each.name
)
def test_every_device_has_its_ending_and_its_usual_setting(estimator):
    assert len(set(estimator.endings)) == len(estimator.targets)
    for target in estimator.targets:
        file = Path(f"net{estimator.ending(target)}")
        assert target in file.name
        assert runtime_for(file).name == estimator.name
        usual = configured(target)
        assert (usual.runtime, usual.target) == (estimator.name, target)
        assert usual.setting.keys() <= estimator.options.keys()
        assert configured(target, usual.setting) == usual
