"""Every spelling of an addition is the addition that it is."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import inspect_net, parse
from unskip.edits import without_shortcuts
from unskip.nets import kept_branches, num_kept_additions
from unskip.surgery import residual_blocks

from .around import CHANNELS, EXAMPLE, OTHERS, Around, Block
from .same import assert_same, branches

aten = torch.ops.aten
TWO = {
    "y + x": lambda m, y, x: y + x,
    "x + y": lambda m, y, x: x + y,
    "+=": lambda m, y, x: operator.iadd(y, x),
    "torch.add": lambda m, y, x: torch.add(y, x),
    "other=": lambda m, y, x: torch.add(y, other=x),
    "input=": lambda m, y, x: torch.add(input=y, other=x),
    "alpha=1": lambda m, y, x: torch.add(y, x, alpha=1),
    "method": lambda m, y, x: y.add(x),
    "method, other=": lambda m, y, x: y.add(other=x),
    "add_": lambda m, y, x: y.add_(x),
    "add_, other=": lambda m, y, x: y.add_(other=x),
    "__add__": lambda m, y, x: y.__add__(x),
    "__radd__": lambda m, y, x: y.__radd__(x),
    "aten": lambda m, y, x: aten.add(y, x),
    "aten.Tensor": lambda m, y, x: aten.add.Tensor(y, x),
    "sum": lambda m, y, x: sum([y, x]),
    "sum of a tuple": lambda m, y, x: sum((y, x)),
    "stack": lambda m, y, x: torch.stack([y, x]).sum(0),
    "stack, dim=": lambda m, y, x: torch.sum(torch.stack((x, y), dim=1), dim=1),
    "stack, dims": lambda m, y, x: torch.stack((x, y), -1).sum(dim=(-1,)),
    "y - (-x)": lambda m, y, x: y - (-x),
    "sub of neg": lambda m, y, x: torch.sub(torch.neg(y), x).neg(),
    "FloatFunctional": lambda m, y, x: m.float_functional.add(y, x),
}
SCALED = {
    "y - x": lambda m, y, x: y - x,
    "x - y": lambda m, y, x: torch.sub(x, other=y),
    "sub_": lambda m, y, x: y.sub_(x),
    "half the body": lambda m, y, x: torch.add(x, y, alpha=0.5),
    "minus two shortcuts": lambda m, y, x: torch.sub(y, x, alpha=2),
    "rsub": lambda m, y, x: torch.rsub(y, x),
    "a factor of its own": lambda m, y, x: x + 0.2 * y,
    "a factor in place": lambda m, y, x: x + y.mul_(0.1),
}
KEPT = {
    "alpha=0.3": lambda m, y, x: torch.add(x, y, alpha=0.3),
    "three stacked": lambda m, y, x: torch.stack([y, x, -x]).sum(0),
    "lerp": lambda m, y, x: torch.lerp(x, y, 0.4),
    "addcmul": lambda m, y, x: torch.addcmul(x, y, torch.ones(1)),
}


def with_addition(add) -> Around:
    torch.manual_seed(3)
    run = lambda m, x: F.relu(add(m, m.b(F.relu(m.a(x))), x))  # noqa: E731
    return Around(Block(run, float_functional=torch.ao.nn.quantized.FloatFunctional()))


@pytest.mark.parametrize("spelling", TWO)
def test_two_maps(spelling):
    model = with_addition(TWO[spelling])
    net = parse(model, EXAMPLE)
    if spelling == "sub of neg":  # a neg behind the block
        assert [body for body, *_ in branches(net)] == ["a b"]
    else:
        assert branches(net) == [("a b", "", "ReLU")]
        (block,) = residual_blocks(net).values()
        assert block.kind == "identity"
        assert [type(layer) for layer in block.body] == [nn.Conv2d, nn.ReLU, nn.Conv2d]
    assert not kept_branches(net)
    assert_same(model, net, OTHERS[0])
    assert not residual_blocks(without_shortcuts(net))


@pytest.mark.parametrize("spelling", SCALED)
def test_with_a_factor(spelling):
    model = with_addition(SCALED[spelling])
    net = parse(model, EXAMPLE)
    assert branches(net) == [("a b", "", "ReLU")]
    assert_same(model, net, OTHERS[0])


@pytest.mark.parametrize("spelling", KEPT)
def test_what_cannot_be_taken_apart_bit_by_bit_is_no_freedom_of_shortcuts(spelling):
    model = with_addition(KEPT[spelling])
    net = parse(model, EXAMPLE)
    assert not residual_blocks(net)
    assert num_kept_additions(net) == 1
    assert_same(model, net, OTHERS[0])
    said = inspect_net(net, tuple(EXAMPLE.shape[1:])).analyses["verdict"].text
    assert "has no shortcuts" not in said
    assert "additions of maps that stay as they are: 1" in said


def test_additions_inside_other_branches_are_counted():
    model = Around(Block(lambda m, x: torch.cat([x, x + m.a(x).relu()], 1)[:, ::2]))
    net = parse(model, EXAMPLE)
    assert num_kept_additions(net) == 1
    assert "has no shortcuts" not in inspect_net(net, tuple(EXAMPLE.shape[1:])).analyses["verdict"].text
    gate = lambda m, x: x * m.a(x.mean((2, 3), keepdim=True)).sigmoid()  # noqa: E731
    free = parse(Around(Block(gate)), EXAMPLE)
    assert num_kept_additions(free) == 0
    assert "has no shortcuts" in inspect_net(free, tuple(EXAMPLE.shape[1:])).analyses["verdict"].text


def test_a_gate_of_both_branches():
    gate = nn.Parameter(torch.rand(CHANNELS, 1, 1))
    run = lambda m, x: F.relu(m.g * m.b(F.relu(m.a(x))) + (1 - m.g) * x)  # noqa: E731
    model = Around(Block(run, g=gate))
    net = parse(model, EXAMPLE)
    assert len(residual_blocks(net)) == 1
    assert list(net.original_names.values()).count("blocks.0.g") == 1
    assert_same(model, net, OTHERS[0])
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1)
        for parameter in model.parameters():
            parameter.add_(0.1)
    assert_same(model, net, OTHERS[0])
    assert inspect_net(net, tuple(EXAMPLE.shape[1:])).analyses["shortcuts"].inventory
    plain = without_shortcuts(net)
    plain(EXAMPLE).sum().backward()
    assert all(parameter.grad is not None for parameter in plain.parameters())
