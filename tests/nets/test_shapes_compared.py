"""Forwards that decide by shapes, read sizes far away, or make zeros of another map's shape."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import parse
from unskip.nets import unopened_modules
from unskip.surgery import residual_blocks

from .around import CHANNELS, EXAMPLE, OTHERS, Around, Block, conv
from .same import assert_same, branches


def block_of(run, **layers) -> Block:
    return Block(run, **({"a": conv(CHANNELS), "b": conv(CHANNELS)} | layers))


def body(m, x):
    return m.b(F.relu(m.a(x)))


def filled_up(m, x):
    y, s = body(m, x), F.avg_pool2d(x, 2)
    if s.shape[1] < y.shape[1]:
        s = torch.cat([s, torch.zeros_like(y[:, s.shape[1] :])], 1)
    return F.relu(y + s)[:, :CHANNELS]


def filled_up_by_sizes(m, x):
    y, s = body(m, x), F.avg_pool2d(x, 2)
    more = torch.zeros(s.size(0), y.size(1) - s.size(1), s.size(2), s.size(3), dtype=x.dtype)
    return F.relu(y + torch.cat([s, more], 1))[:, :CHANNELS]


def padded_up(m, x):
    y, s = body(m, x), F.avg_pool2d(x, 2)
    return F.relu(y + F.pad(s, (0, 0, 0, 0, 0, y.shape[1] - s.shape[1])))[:, :CHANNELS]


def same_padding(m, x):
    h, w = x.shape[-2:]
    high = max((math.ceil(h / 2) - 1) * 2 + 3 - h, 0)
    wide = max((math.ceil(w / 2) - 1) * 2 + 3 - w, 0)
    if high > 0 or wide > 0:
        x = F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
    return F.relu(m.a(x) + x)


def asserted(m, x):
    assert x.shape[1] == CHANNELS, "channels"
    if x.dim() != 4 or len(x.shape) != 4:
        raise ValueError("a batch of maps")
    return F.relu(body(m, x) + x)


def looped(m, x):
    y = body(m, x)
    for _ in range(x.shape[1] // CHANNELS):
        y = F.relu(y + x)
    return y


def projected_where_needed(m, x):
    y = body(m, x)
    if x.shape[1:] != y.shape[1:]:
        x = m.c(x)
    return F.relu(y + x)


DOWN = {"b": lambda: conv(CHANNELS, 2 * CHANNELS, stride=2)}
BLOCKS = {
    filled_up: (DOWN, [("a b", "", "ReLU")]),
    filled_up_by_sizes: (DOWN, [("a b", "", "ReLU")]),
    padded_up: (DOWN, [("a b", "", "ReLU")]),
    same_padding: ({}, [("a", "", "ReLU")]),
    asserted: ({}, [("a b", "", "ReLU")]),
    looped: ({}, [("a b", "", "ReLU")]),
    projected_where_needed: (
        {"b": lambda: conv(CHANNELS, stride=2), "c": lambda: nn.Conv2d(CHANNELS, CHANNELS, 1, 2)},
        [("a b", "c", "ReLU")],
    ),
}


@pytest.mark.parametrize("run", BLOCKS)
def test_what_constant_shapes_decide_is_followed(run):
    layers, expected = BLOCKS[run]
    torch.manual_seed(3)
    model = Around(block_of(run, **{name: make() for name, make in layers.items()}))
    net = parse(model, EXAMPLE)
    assert branches(net) == expected
    assert not unopened_modules(net)
    for images in OTHERS:
        assert_same(model, net, images)


def by_batch(m, x):
    return F.relu(body(m, x) + x) if x.shape[0] > 2 else F.relu(body(m, x))


def by_side(m, x):
    return F.relu(body(m, x) + x) if x.shape[2] > 24 else F.relu(body(m, x))


def by_number_of_pixels(m, x):
    return F.relu(body(m, x) + x) if x.numel() < 10**5 else F.relu(body(m, x))


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (by_batch, "number of images in the batch"),
        (by_side, "images of another size"),
        (by_number_of_pixels, "images of another size"),
    ],
)
def test_what_is_not_the_same_for_all_images_is_not_baked_in(run, reason):
    torch.manual_seed(3)
    model = Around(block_of(run), block_of(asserted))
    net = parse(model, EXAMPLE)
    assert reason in unopened_modules(net)["blocks.0"]
    assert len(residual_blocks(net)) == 1
    for images in (*OTHERS, torch.randn(1, 3, 64, 40)):
        assert_same(model, net, images)


def root(run) -> Around:
    torch.manual_seed(3)
    return type("Root", (Around,), {"forward": run})(block_of(asserted))


def features(net, x):
    x = net.blocks[0](F.relu(net.bn(net.conv(x))))
    return F.relu(net.last(net.pool(x))).mean((2, 3), keepdim=True)


def batch_of_the_image(net, x):
    n = x.size(0)
    return net.fc(features(net, x).view(n, -1))


def unpacked(net, x):
    n, c, _, _ = x.shape
    if c != 3:
        raise ValueError("colours")
    return net.fc(features(net, x).reshape(n, -1))


def its_length(net, images):
    return net.fc(features(net, images).view(len(images), 12))


def of_an_early_map(net, x):
    x = net.conv(x)
    n = x.shape[0]
    x = net.blocks[0](F.relu(net.bn(x)))
    return net.fc(F.relu(net.last(net.pool(x))).mean((2, 3)).view(n, x.shape[1] + 4))


@pytest.mark.parametrize("run", [batch_of_the_image, unpacked, its_length, of_an_early_map])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_head_that_reads_the_size_of_the_batch_far_away(run, wrapped):
    model = nn.Sequential(root(run)) if wrapped else root(run)
    net = parse(model, EXAMPLE)
    assert branches(net) == [("a b", "", "ReLU")]
    assert net.part_names == ("stem", "stage1", "stage2", "head")
    for images in OTHERS:
        assert_same(model, net, images)
