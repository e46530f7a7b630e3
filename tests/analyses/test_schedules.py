import io

import pytest
from rich.console import Console

from unskip import inspect_net, make_net
from unskip.dataflow import forecast, peaks_by_schedule
from unskip.edits import without_shortcuts

IMAGENET = (3, 224, 224)


def printed(inspection):
    file = io.StringIO()
    inspection.show(Console(file=file, width=80), details=True)
    return file.getvalue()


def test_peaks_of_a_bottleneck_network():
    net = make_net("resnet50")
    nets = (net, without_shortcuts(net))
    peaks_of = [peaks_by_schedule(each, IMAGENET) for each in nets]
    for peaks, each in zip(peaks_of, nets, strict=True):
        assert peaks.layer_by_layer == forecast(each, IMAGENET).peak_bytes
        assert peaks.reordering_is_exact
        assert max(peaks.in_stripes, peaks.by_patches) < peaks.reordered <= peaks.layer_by_layer
        assert 0 < peaks.extra_macs < 0.1
        assert peaks.patch_grid > 1
    # No order of the operations helps here, and shortcuts cost most where layers run in stripes.
    assert peaks_of[0].layer_by_layer / peaks_of[1].layer_by_layer == pytest.approx(1.5)
    assert peaks_of[0].in_stripes / peaks_of[1].in_stripes == pytest.approx(3.21, abs=0.01)


def test_with_and_without_shortcuts():
    net = make_net("resnet14")
    found = inspect_net(net, (3, 32, 32)).analyses["schedules"]
    assert found.peaks == peaks_by_schedule(net, (3, 32, 32))
    assert found.plain == peaks_by_schedule(without_shortcuts(net), (3, 32, 32))


def test_what_is_shown():
    text = printed(inspect_net(make_net("resnet18"), IMAGENET))
    table = text[text.index("peak by schedule") :].splitlines()
    assert [line.split("  ")[0] for line in table[2:6]] == ["layer by layer", "reordered", "in stripes", "by patches"]
    assert table[2].split()[-3:] == ["3.83", "3.83", "1.00x"]
    assert "a second time" in text


def test_nothing_of_patches_where_they_lower_nothing():
    inspection = inspect_net(without_shortcuts(make_net("resnet20")), (3, 32, 32))
    assert inspection.analyses["schedules"].plain is None
    text = printed(inspection)
    assert "by patches" in text
    assert "a second time" not in text


def test_another_size_of_elements():
    net = make_net("resnet14")
    whole, quarter = (peaks_by_schedule(net, (3, 32, 32), bytes_per_element=size) for size in (4, 1))
    assert whole.in_stripes == 4 * quarter.in_stripes
    assert whole.by_patches == 4 * quarter.by_patches
    aside = peaks_by_schedule(net, (3, 32, 32), inplace=False)
    assert aside.layer_by_layer == forecast(net, (3, 32, 32), inplace=False).peak_bytes
