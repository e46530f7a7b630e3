import dataclasses

import numpy as np
import onnxruntime
import pytest
import torch

from unskip.errors import UnskipError
from unskip.export import export_net
from unskip.measure import Latency, measure_latency, speedup
from unskip.nets import make_net
from unskip.surgery import without_shortcuts


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latency")
    net = make_net("resnet14", {"width": 2})
    images = torch.randn(2, 3, 16, 16)
    return {
        name: export_net(form, folder / f"{name}.onnx", images).path
        for name, form in (("residual", net), ("plain", without_shortcuts(net)))
    }


def test_shape_of_a_measurement(files):
    found = measure_latency(files, (3, 16, 16), batch_size=3, threads=1, repeats=7)
    assert list(found) == ["residual", "plain"]
    for latency in found.values():
        assert 0 < latency.low_ms <= latency.median_ms <= latency.high_ms
        assert latency.median_ms == np.median(latency.samples_ms)
        assert len(latency.samples_ms) == latency.repeats == 7
        assert (latency.threads, latency.batch_size) == (1, 3)
        assert latency.runtime == f"ONNX Runtime {onnxruntime.__version__}"


def test_speedup_is_paired_by_round():
    slow = Latency(2.0, 2.0, 2.0, "", 1, 1, 3, (2.0, 20.0, 3.0))
    fast = Latency(1.0, 1.0, 1.0, "", 1, 1, 3, (1.0, 10.0, 1.0))
    found = speedup(slow, fast)
    assert found.median == 2.0
    assert 2.0 <= found.low <= found.high <= 3.0
    assert speedup(fast, fast).high == 1.0


def test_speedup_needs_one_measurement():
    slow = Latency(2.0, 2.0, 2.0, "", 1, 1, 2, (2.0, 2.0))
    with pytest.raises(ValueError, match="number of rounds"):
        speedup(slow, dataclasses.replace(slow, repeats=1, samples_ms=(2.0,)))


def test_a_file_that_is_no_model_is_refused(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(UnskipError, match=r"cannot load .*net\.onnx"):
        measure_latency({"net": path}, (3, 16, 16))
