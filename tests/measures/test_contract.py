"""What every measure must say and do, and that a new one is a file."""

import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

import unskip.measures
from unskip import UnskipError, make_net
from unskip.compare import Settings, bench
from unskip.dataflow import count_macs, forecast, num_parameters
from unskip.edits import without_shortcuts
from unskip.export import Exported
from unskip.measures import MEASURES, MeasuredFile, MeasuredNet, Timing, limits, measures
from unskip.records import Comparison, Estimate, Figure, Traffic
from unskip.report.pages import render_bench
from unskip.report.terminal import show_bench
from unskip.tasks import Score

SHAPE = (3, 16, 16)
SCORE = Score("top1", {"top1": 0.75, "top5": 0.9, "agreement": 0.5, "same_argmax": 0.6, "own_score": 0.1}, 40)
TIMING = Timing([4.0, 2.0, 3.0], [100, None, 300], [None, None, None])
PROOF = Exported(
    path=Path("net.onnx"),
    depth=None,
    format="onnx",
    runtime="ONNX Runtime",
    precision="float32",
    batch_size=2,
    file_bytes=1234,
    max_difference=1e-6,
    mean_difference=1e-7,
    tolerance=1e-3,
    agreement=0.875,
    images=16,
    constant=False,
    scores=None,
)
ESTIMATE = Estimate(
    by="Vela 5.1.0",
    target="ethos-u65-256",
    clock_hz=1e9,
    cycles=2_000_000,
    memory_bytes={"sram": 1000, "dram": 2000, "flash": 3000},
    traffic={"dram": Traffic(feature_maps_read=3, feature_maps_written=4)},
    operations=5,
)
NEW = '''"""How many modules a network is made of."""

from unskip.measures import Limit, Measure
from unskip.records import Figure


class Modules(Measure):
    """The modules of the network, those inside of others too."""

    title = "Modules in all"
    unit = "parts"
    kind = "size"
    order = 45
    limits = (Limit("modules", "modules at most", lambda text, name: float(text)),)

    def of_net(self, net):
        """Counted."""
        return Figure(value=sum(1 for _ in net.net.modules()))

    def of_file(self, file):
        """Half as many."""
        return Figure(value=0.5, remark="half of a part")
'''


@pytest.fixture(scope="module")
def net():
    return MeasuredNet(without_shortcuts(make_net("resnet8", {"width": 2})), SHAPE, score=SCORE)


@pytest.fixture
def file(net, tmp_path):
    return MeasuredFile(
        path=tmp_path / "net.onnx",
        name="net.onnx",
        num_bytes=1234,
        sha256="",
        net=net,
        batch_size=2,
        device="cuda",
        timing=TIMING,
        proof=PROOF,
        score=SCORE,
    )


def test_every_measure_says_what_a_table_needs():
    every = measures()
    assert set(every) == set(MEASURES)
    assert len({measure.order for measure in every.values()}) == len(every)
    for name, measure in every.items():
        assert measure.name == name
        about = measure.about
        assert about.definition.startswith(f"{about.title}: "), name
        assert MEASURES.card(name)


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_every_measure_has_a_figure_of_a_network_or_of_a_file(name, net, file):
    measure = measures()[name]
    there = dataclasses.replace(file, timing=None, estimate=ESTIMATE)
    of_all = (measure.of_net(net), measure.of_file(file), measure.of_file(there))
    figures = [figure for figure in of_all if figure is not None]
    assert figures
    for figure in figures:
        assert (figure.value is None) != (figure.unknown is None), figure


def test_figures_of_a_network(net):
    figures = {name: measure.of_net(net) for name, measure in measures().items()}
    known = {name: figure.value for name, figure in figures.items() if figure is not None}
    assert known == {
        **SCORE.figures,
        "parameters": num_parameters(net.net),
        "macs": count_macs(net.net, SHAPE),
        "peak": forecast(net.net, SHAPE).peak_bytes,
    }


def test_figures_of_a_file(file):
    figures = {name: measure.of_file(file) for name, measure in measures().items() if measure.quick}
    assert figures["latency"] == Figure.of_samples([4.0, 2.0, 3.0])
    assert figures["throughput"].value == pytest.approx(2000 / 3)
    assert figures["peak"].value == 2 * forecast(file.net.net, SHAPE).peak_bytes
    assert figures["resident"].value == 200
    assert figures["device_memory"].unknown == "this runtime does not tell"
    assert figures["file_bytes"].value == 1234
    assert (figures["parity"].value, figures["parity"].allowed, figures["parity"].remark) == (
        1e-6,
        1e-3,
        "on random images",
    )
    assert (figures["same_answer"].value, figures["same_answer"].images) == (0.875, 16)


def test_figures_of_a_device_are_those_of_its_compiler(file):
    there = dataclasses.replace(file, timing=None, estimate=ESTIMATE)
    figures = {name: measure.of_file(there) for name, measure in measures().items()}
    names = ("cycles", "device_ms", "sram", "dram", "flash", "dram_traffic")
    assert [figures[name].value for name in names] == [2_000_000, 2.0, 1000, 2000, 3000, 7]
    assert figures["peak"] is figures["arena"] is figures["latency"] is None


def test_a_file_that_was_not_run_has_no_figures_of_running(file):
    waiting = dataclasses.replace(file, timing=None)
    assert all(measures()[name].of_file(waiting) is None for name in ("latency", "throughput", "resident"))
    assert measures()["device_memory"].of_file(dataclasses.replace(file, device="cpu")) is None


def test_what_is_not_known_has_its_reason_once(net, file):
    """Under the measure that the task decides by; the others of the task have no column then."""
    unknown = MeasuredNet(None, SHAPE, score="the weights are random")
    reasons = {name: measure.of_net(unknown) for name, measure in measures().items()}
    said = {name: figure.unknown for name, figure in reasons.items() if figure is not None}
    assert said == {
        "top1": "the weights are random",
        "peak": "the file does not say which network it holds",
    }
    constant = dataclasses.replace(file, proof=dataclasses.replace(PROOF, constant=True))
    assert "says nothing" in measures()["same_answer"].of_file(constant).unknown
    assert (
        measures()["parity"].of_file(dataclasses.replace(file, proof=None)).unknown == "the file was not exported here"
    )
    int8 = MeasuredNet(net.net, SHAPE, precision="int8")
    assert measures()["peak"].of_net(int8).value == measures()["peak"].of_net(net).value / 4
    assert "not forecast" in measures()["peak"].of_net(MeasuredNet(net.net, SHAPE, precision="float16")).unknown


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("memory", "4MiB", 4 * 2**20),
        ("file_size", "20 MB", 20 * 10**6),
        ("parameters", "5M", 5 * 10**6),
        ("macs", "1.2G", 12 * 10**8),
        ("latency_ratio", "0.8", 0.8),
        ("latency_ms", "10", 10),
    ],
)
def test_limits_are_read(name, text, value):
    _, limit = limits()[name]
    assert limit.parse(text, name) == value
    for wrong in ("", "x", "-1", "nan", "inf"):
        with pytest.raises(UnskipError, match=f"`{name}` "):
            limit.parse(wrong, name)


def test_a_limit_of_the_time_is_one_of_the_teachers():
    assert [name for name, (_, limit) in limits().items() if limit.relative] == ["latency_ratio", "cycles_ratio"]
    with pytest.raises(UnskipError, match="up to 1"):
        limits()["latency_ratio"][1].parse("1.5", "latency_ratio")


def test_measures_are_listed_without_torch():
    code = "import sys; from unskip.measures import limits, measures; measures(), limits(); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_new_measure_is_a_file(tmp_path, monkeypatch):
    """It is in a benchmark's figures, in the JSON, in the terminal's tables, on the page, and among the limits."""
    (tmp_path / "modules.py").write_text(NEW)
    monkeypatch.setattr(unskip.measures, "__path__", [*unskip.measures.__path__, str(tmp_path)])
    try:
        found = bench(["resnet8+width=2"], Settings(repeats=1, processes=1, quick=True), image_size=(16, 16))
        with torch.device("meta"):
            modules = sum(1 for _ in make_net("resnet8", {"width": 2}).modules())
        assert found.first.figures["modules"].value == modules
        again = Comparison.model_validate_json(json.dumps(found.model_dump(mode="json")))
        assert again.figure("resnet8+width=2", "modules", again.groups[0]).value == 0.5
        assert list(again.measures).index("macs") < list(again.measures).index("modules")
        console = Console(width=200, record=True, file=io.StringIO())
        show_bench(again, console, details=True)
        text, page = console.export_text(), render_bench(again)
        for words in ("Modules in all", "parts", str(modules), "half of a part"):
            assert words in text
            assert words in page
        assert limits()["modules"][1].parse("3", "modules") == 3
    finally:
        sys.modules.pop("unskip.measures.modules", None)
