"""One trace answers for sub-nets and partly plain networks as if they had been built."""

import pytest
from dataflow.random_nets import nets
from hypothesis import given, settings
from hypothesis import strategies as st

from unskip import forecast, make_net
from unskip.dataflow import device_named, estimated_cost
from unskip.nets.depth import block_names
from unskip.search.sub_net_trace import SubNetTrace
from unskip.surgery import at_depth, residual_blocks, without_shortcuts


@pytest.mark.parametrize(
    ("name", "options", "side"),
    [
        ("resnet26", {"width": 4}, 16),
        pytest.param("resnet26-bottleneck", {"width": 4}, 64, marks=pytest.mark.slow),
        ("wrn-22x2", {"width": 4}, 16),
        ("mobilenetv2", {"width_mult": 0.25}, 64),
        ("vgg16-cifar", {}, 32),
    ],
)
@given(data=st.data())
@settings(max_examples=5)
def test_a_peak_is_that_of_the_network_built(name, options, side, data):
    net, shape = make_net(name, options), (3, side, side)
    stages = {stage: block_names(net.get_submodule(stage)) for stage in net.stage_names}
    fewest = 1 if name != "vgg16-cifar" else 2
    depth = [data.draw(st.integers(min(fewest, len(blocks)), len(blocks))) for blocks in stages.values()]
    left_out = [
        f"{stage}.{block}"
        for (stage, blocks), count in zip(stages.items(), depth, strict=True)
        for block in blocks[count:]
    ]
    places = list(residual_blocks(net))
    removed = data.draw(st.sets(st.sampled_from(places))) if places else set()
    plain = without_shortcuts(net, only=sorted(removed)) if removed else net
    built = at_depth(plain, blocks=depth)
    traced = SubNetTrace(net, shape)
    assert 4 * traced.peak(removed, left_out) == forecast(built, shape).peak_bytes
    device = device_named("ethos-u65-256")
    assert traced.cost(device, removed, left_out) == estimated_cost(built, shape, device)


@given(net=nets())
@settings(max_examples=10)
def test_without_edits_it_is_the_forecast(net):
    assert 4 * SubNetTrace(net, (3, 8, 8)).peak() == forecast(net, (3, 8, 8)).peak_bytes
