"""Forwards that do something else in training."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import parse
from unskip.edits import without_shortcuts
from unskip.nets import ByMode, num_kept_additions, unopened_modules
from unskip.surgery import residual_blocks

from .around import CHANNELS, EXAMPLE, OTHERS, Around, Block, conv
from .same import assert_same, branches


def block_of(run, **layers) -> Block:
    return Block(run, **({"a": conv(CHANNELS), "b": conv(CHANNELS)} | layers))


def body(m, x):
    return m.b(F.relu(m.a(x)))


def drops_paths(m, x):
    y = body(m, x)
    if m.training:
        keep = (torch.rand(x.shape[0], 1, 1, 1, device=x.device) < 0.6).float()
        y = y * keep / 0.6
    return F.relu(y + x)


def drops_paths_in_place(m, x):
    y = body(m, x)
    if m.training:
        y *= torch.empty((x.size(0), 1, 1, 1)).bernoulli_(0.6)
    return F.relu(y + x)


def scales_in_eval(m, x):
    y = body(m, x)
    y = y * torch.bernoulli(torch.full_like(y[:, :1, :1, :1], 0.5)) if m.training else y * 0.5
    return F.relu(x + y)


def another_layer(m, x):
    y = m.b(F.relu(m.a(x) if m.training else m.c(x)))
    return F.relu(y + x)


def an_addition_more(m, x):
    y = m.b(F.relu(m.a(x)))
    return F.relu(y + x) if not m.training else F.relu(y + x + m.c(x))


def two_choices(m, x):
    if m.training:
        x = x + 0.1 * torch.randn_like(x)
    y = m.a(x)
    if m.training:
        y = F.dropout(y, 0.3)
    return F.relu(m.b(F.relu(y)) + x)


RUNS = {
    drops_paths: ["a b"],
    drops_paths_in_place: ["a b"],
    scales_in_eval: ["a b"],
    another_layer: ["c a b"],
    two_choices: ["a b"],
}


@pytest.mark.parametrize("run", RUNS)
def test_what_is_common_is_open(run):
    torch.manual_seed(3)
    model = Around(block_of(run))
    net = parse(model, EXAMPLE)
    assert [set(inside.split()) for inside, *_ in branches(net)] == [set(inside.split()) for inside in RUNS[run]]
    assert any(isinstance(module, ByMode) for module in net.modules())
    assert not unopened_modules(net)
    for images in OTHERS:
        assert_same(model, net, images)
        assert_same(model, copy.deepcopy(net), images)
    assert not residual_blocks(without_shortcuts(net))


def test_layers_stay_layers_beside_a_choice():
    net = parse(Around(block_of(drops_paths)), EXAMPLE)
    (block,) = residual_blocks(net).values()
    assert [type(layer) for layer in block.body] == [nn.Conv2d, nn.ReLU, nn.Conv2d, ByMode]
    assert block.body[-1].rests_in_eval


def test_another_number_of_additions_is_found_or_said():
    torch.manual_seed(3)
    model = Around(block_of(an_addition_more))
    net = parse(model, EXAMPLE)
    assert residual_blocks(net) or unopened_modules(net) or num_kept_additions(net)
    assert_same(model, net, OTHERS[0])


def uses_one_draw_twice(m, x):
    y = m.a(x)
    if m.training:
        mask = torch.bernoulli(torch.full_like(y, 0.5))
        y, x = y * mask, x * mask
    return F.relu(m.b(F.relu(y)) + x)


def learns_in_training_only(m, x):
    if m.training:
        m.bn1(x)  # its statistics
    return F.relu(body(m, x) + x)


def another_order(m, x):
    y = m.b(m.a(x).relu().tanh()) if m.training else m.a(m.b(x).sigmoid().abs())
    return F.relu(y + x)


@pytest.mark.parametrize("run", [uses_one_draw_twice, learns_in_training_only, another_order])
def test_what_does_not_come_together_is_said(run):
    torch.manual_seed(3)
    model = Around(block_of(run), block_of(drops_paths))
    net = parse(model, EXAMPLE)
    assert "something else in training" in unopened_modules(net)["blocks.0"]
    assert len(residual_blocks(net)) == 1
    assert_same(model, net, OTHERS[0])


class AddsAndDrops(nn.Module):
    def forward(self, y, x):
        if self.training:
            y = F.dropout(y, 0.2)
        return y + x


def test_an_addition_in_a_module_of_its_own():
    torch.manual_seed(3)
    model = Around(block_of(lambda m, x: F.relu(m.add(body(m, x), x)), add=AddsAndDrops()))
    net = parse(model, EXAMPLE)
    assert branches(net) == [("a b", "", "ReLU")]
    assert_same(model, net, OTHERS[0])


class AddsByValue(nn.Module):
    def forward(self, y, x):
        return y + x if y.sum() > 0 else y - x


def test_an_addition_in_a_module_that_cannot_be_opened():
    torch.manual_seed(3)
    model = Around(block_of(lambda m, x: F.relu(m.add(body(m, x), x)), add=AddsByValue()))
    net = parse(model, EXAMPLE)
    assert list(unopened_modules(net)) == ["blocks.0.add"]
    assert_same(model, net, OTHERS[0])


def test_a_layer_of_torch_that_holds_shortcuts():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last, self.fc = (
                conv(3, CHANNELS),
                nn.Conv2d(CHANNELS, CHANNELS, 3, 2),
                nn.Linear(CHANNELS, 5),
            )
            self.mix = nn.TransformerEncoderLayer(CHANNELS, 2, 16, dropout=0.0, batch_first=True)

        def forward(self, x):
            x = F.relu(self.conv(x))
            x = F.relu(self.last(x))
            return self.fc(self.mix(x.flatten(2).transpose(1, 2)).mean(1))

    net = parse(Tokens(), EXAMPLE)
    assert list(unopened_modules(net)) == ["mix"]
