"""Networks written by hand, each a trap for who takes networks apart."""

import copy
import random
import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from unskip import UnskipError, make_net, parse
from unskip.edits import without_shortcuts
from unskip.nets import Unopened, kept_branches, unopened_modules
from unskip.surgery import residual_blocks
from unskip.torchvision_compat import torchvision

from .around import CHANNELS, EXAMPLE, OTHERS, Around, Block, conv, one_by_one
from .random_statistics import with_random_statistics
from .same import assert_all_mapped, assert_same, branches


class HandMadeDropPath(nn.Module):
    """Multiplies by what it draws, image by image."""

    def forward(self, x):
        if not self.training:
            return x
        return x * torch.bernoulli(torch.full_like(x[:, :1, :1, :1], 0.5)) / 0.5


class SqueezeAndExcitation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(CHANNELS, 4, 1), nn.Conv2d(4, CHANNELS, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class BatchNormAct2d(nn.BatchNorm2d):
    """BatchNorm and activation in one, as timm has it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


# Blocks: what they compute, with which layers, and for each block found: body, shortcut, activation.


def twice_in_place(block, x):
    x = block.act(x)  # what the shortcut reads is overwritten
    y = block.a(x)
    y = block.b(block.act(y))
    y += x
    return block.act(y)


def pre_activation(block, x):
    y = block.a(block.act(block.bn1(x)))
    y = block.b(F.relu(block.bn2(y), inplace=True))
    return y + x


def pre_activation_overwriting(block, x):
    y = F.relu(x, inplace=True)
    return block.b(block.a(y).relu_()) + x


def projected_first(block, x):
    shortcut = block.c(x)
    return block.b(F.leaky_relu_(block.a(F.leaky_relu_(x)))).add_(shortcut)


def added_in_place(block, x):
    x += block.b(F.relu(block.a(x)))
    return F.relu_(x)


def several_adds(block, x):
    x = x + block.b(torch.relu(block.a(x)))
    return x + block.d(torch.relu(block.c(x)))


def nested(block, x):
    y = F.relu(block.a(x))
    y = y + block.b(F.relu(y))
    return block.c(y) + x


def long_addition(block, x):
    y = F.relu(block.a(x) + x)
    y = F.relu(block.b(y) + y)
    return block.c(y) + x


def long_with_outer_shortcut(block, x):
    return block.c(F.relu(block.a(F.relu(block.b(x))))) + block.d(x)


BLOCKS = {
    "one-relu-for-all": (twice_in_place, {"act": lambda: nn.ReLU(inplace=True)}, [("a b", "", "ReLU")]),
    "pre-activation": (pre_activation, {"act": lambda: nn.ReLU(inplace=True)}, [("bn1 a bn2 b", "", "Identity")]),
    "pre-activation-overwrites": (pre_activation_overwriting, {}, [("a b", "", "Identity")]),
    "shortcut-before-overwriting": (projected_first, {"c": one_by_one}, [("a b", "c", "Identity")]),
    "added-in-place": (added_in_place, {}, [("a b", "", "ReLU")]),
    "shortcut-left": (lambda m, x: F.relu(x + m.a(F.relu(m.b(x)))), {}, [("b a", "", "ReLU")]),
    "no-activation": (lambda m, x: m.a(F.relu6(m.b(x))) + x, {}, [("b a", "", "Identity")]),
    "gelu": (lambda m, x: F.gelu(m.a(F.gelu(m.b(x))) + x, approximate="tanh"), {}, [("b a", "", "GELU")]),
    "prelu": (lambda m, x: m.act(m.a(x) + x), {"act": nn.PReLU}, [("a", "", "PReLU")]),
    "projection": (
        lambda m, x: F.relu(m.bn1(m.a(x)).relu() + m.bn2(m.c(x))),
        {"c": one_by_one},
        [("a bn1", "c bn2", "ReLU")],
    ),
    "pooled-projection": (
        lambda m, x: F.silu(m.b(F.silu(m.a(x))) + m.bn1(m.c(F.avg_pool2d(x, 2)))),
        {"b": lambda: conv(CHANNELS, stride=2), "c": one_by_one},
        [("a b", "c bn1", "SiLU")],
    ),
    "padded-shortcut": (
        lambda m, x: F.relu(m.a(F.relu(m.b(x))) + F.pad(x[:, 2:, ::2, ::2], (0, 0, 0, 0, 1, 1))),
        {"a": lambda: conv(CHANNELS, stride=2)},
        [("b a", "", "ReLU")],
    ),
    "layer-scale": (
        lambda m, x: m.gamma * m.a(F.gelu(m.b(x))) + x,
        {"gamma": lambda: nn.Parameter(torch.full((CHANNELS, 1, 1), 1e-6))},
        [("b a 0", "", "Identity")],
    ),
    "squeeze-and-excitation": (
        lambda m, x: F.relu(m.se(m.b(F.relu(m.a(x)))) + x),
        {"se": SqueezeAndExcitation},
        [("a b down up", "", "ReLU")],
    ),
    "activation-in-both": (
        lambda m, x: m.a(F.relu(m.b(x))) + F.relu(m.c(x)),
        {"c": one_by_one},
        [("b a", "c", "Identity")],
    ),
    "dropout-in-functions": (
        lambda m, x: F.dropout(m.a(F.dropout2d(F.relu(m.b(x)), 0.3, m.training)), training=m.training) + x,
        {},
        [("b a", "", "Identity")],
    ),
    "dropout-in-place": (
        lambda m, x: m.a(F.dropout(F.relu(x), 0.3, m.training, inplace=True)) + x,
        {},
        [("a", "", "Identity")],
    ),
    "dropout-overwrites-the-shortcut": (
        lambda m, x: m.a(F.dropout(x, 0.3, m.training, inplace=True)).relu() + x,
        {},
        [("a", "", "Identity")],
    ),
    "dropout-always": (lambda m, x: F.relu(F.dropout(m.a(F.relu(x)), 0.3) + x), {}, [("a", "", "ReLU")]),
    "dropout-never": (lambda m, x: F.relu(F.dropout(m.a(x).relu(), 0.3, training=False) + x), {}, [("a", "", "ReLU")]),
    "stochastic-depth": (
        lambda m, x: F.relu(m.path(m.a(F.relu(m.b(x)))) + x),
        {"path": lambda: torchvision.ops.StochasticDepth(0.5, "row")},
        [("b a", "", "ReLU")],
    ),
    "stochastic-depth-by-hand": (
        lambda m, x: F.relu(m.path(m.a(F.relu(m.b(x)))) + x),
        {"path": HandMadeDropPath},
        [("b a", "", "ReLU")],
    ),
    "batchnorm-and-activation-in-one": (
        lambda m, x: m.two(m.b(m.one(m.a(x))) + x),
        {"one": lambda: BatchNormAct2d(CHANNELS), "two": lambda: BatchNormAct2d(CHANNELS)},
        [("a one b", "", "Identity")],
    ),
    "without-statistics": (
        lambda m, x: F.relu(m.bn(m.a(x).relu()) + x),
        {"bn": lambda: nn.BatchNorm2d(CHANNELS, track_running_stats=False)},
        [("a bn", "", "ReLU")],
    ),
    "momentum-none": (
        lambda m, x: F.relu(m.bn(m.a(x).relu()) + x),
        {"bn": lambda: nn.BatchNorm2d(CHANNELS, momentum=None)},
        [("a bn", "", "ReLU")],
    ),
    "several-adds": (several_adds, {}, [("a b", "", "Identity"), ("c d", "", "Identity")]),
    "nested": (nested, {}, [("a b c", "", "Identity")]),
    "long-addition": (long_addition, {}, [("a b c", "", "Identity")]),
    "both-branches-read-the-fork": (long_with_outer_shortcut, {"d": one_by_one}, [("b a c", "d", "Identity")]),
    "three-branches": (
        lambda m, x: F.relu(m.a(F.relu(x)) + m.b(F.relu(x)) + x),
        {},
        [("a b", "", "ReLU")],
    ),
    "re-parametrised": (lambda m, x: F.relu(m.a(x) + m.c(x) + m.bn1(x)), {"c": one_by_one}, [("a c", "bn1", "ReLU")]),
    "zeros-at-first": (
        lambda m, x: F.relu(m.bn(m.b(F.relu_(m.a(x)))) + x),
        {"bn": lambda: zeros(nn.BatchNorm2d(CHANNELS))},
        [("a b bn", "", "ReLU")],
    ),
    "conversions": (
        lambda m, x: m.a(x.float()).to(torch.float32).type_as(x).relu() + x,
        {},
        [("a", "", "Identity")],
    ),
    "scaled-sum": (lambda m, x: torch.add(m.a(x).relu(), x, alpha=0.5), {}, [("a", "", "Identity")]),
    # No blocks.
    "sum-scaled-with-rounding": (lambda m, x: torch.add(m.a(x).relu(), x, alpha=0.3), {}, []),
    "added-number": (lambda m, x: m.a(x + 1.0).relu() + 1, {}, []),
    "doubled": (lambda m, x: m.a(x + x).relu(), {}, []),
    "context": (lambda m, x: x + m.a(x.mean((2, 3), keepdim=True)).relu(), {}, []),
    "dense": (lambda m, x: m.b(torch.cat([x, m.a(x).relu()], 1)), {"b": lambda: conv(2 * CHANNELS, CHANNELS)}, []),
    "siamese": (lambda m, x: m.a(x).relu() + m.b(x).relu(), {}, []),
    "no-convolution-in-either": (lambda m, x: m.bn1(x) + m.bn2(x), {}, []),
    "names-that-collide": (
        lambda m, x: torch.cat([m.e_0(x), m.e[0](x)], 1)[:, ::2].relu(),
        {"e_0": lambda: conv(CHANNELS), "e": lambda: nn.Sequential(conv(CHANNELS))},
        [],
    ),
    "names-of-modules": (
        lambda m, x: m.graph(x) * m.meta(x) + m.code(x),
        dict.fromkeys(("graph", "meta", "code"), one_by_one),
        [("graph meta", "code", "Identity")],
    ),
    "constant": (
        lambda m, x: m.a(x * m.scale + m.shift).relu(),
        {"scale": lambda: torch.tensor(2.0), "shift": None},
        [],
    ),
    "weight-read-and-called": (
        lambda m, x: torch.cat([x * m.e.weight.mean(), m.e(x)], 1)[:, ::2].relu(),
        {"e": one_by_one},
        [],
    ),
    "noise": (lambda m, x: m.a(x + 0.1 * torch.randn_like(x)).relu(), {}, []),
}


def zeros(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    nn.init.zeros_(norm.weight)
    return norm


def network_of(name: str) -> nn.Module:
    torch.manual_seed(2)
    run, layers, _ = BLOCKS[name]
    block = Block(run, **{key: make() for key, make in layers.items() if make})
    if name == "constant":
        block.register_buffer("shift", torch.tensor(0.5), persistent=False)
    if name == "zeros-at-first":
        return Around(block)
    return with_random_statistics(Around(block))


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks(name):
    model = network_of(name)
    net = parse(model, EXAMPLE)
    if name == "layer-scale":
        assert [place for place in net.original_names.values() if "gamma" in place] == ["blocks.0.gamma"]
        assert [body.split()[:2] for body, *_ in branches(net)] == [["b", "a"]]
    else:
        assert branches(net) == BLOCKS[name][2]
    for images in OTHERS:
        assert_same(model, net, images)
    twin = copy.deepcopy(net)
    assert_same(model, twin, EXAMPLE)
    assert kept_branches(twin) == kept_branches(net)
    assert parse(net, EXAMPLE).part_names == net.part_names
    x = EXAMPLE
    with torch.no_grad():
        for part in net.eval():
            before = x.clone()
            after = part(x)
            assert torch.equal(x, before), "a map is overwritten"
            x = after
    plain = without_shortcuts(net).train()
    plain(EXAMPLE).square().mean().backward()
    assert all(parameter.grad is not None for parameter in plain.parameters())


def test_what_stays_is_said():
    net = parse(Around(Block(BLOCKS["siamese"][0]), Block(nested)), EXAMPLE)
    assert set(kept_branches(net).values()) == {
        "an addition of branches of which none is a shortcut",
        "an addition inside a block",
    }


def test_a_block_of_several_names_is_numbered_and_pieces_are_named_after_what_they_are():
    net = parse(Around(Block(pre_activation, act=nn.ReLU()), Block(several_adds)), EXAMPLE)
    assert list(net.stem._modules) == ["conv", "bn", "relu"]
    assert list(net.stage1._modules) == ["block1", "block2", "block3"]
    assert list(net.stage1.block1.body._modules) == ["bn1", "relu1", "conv1", "bn2", "relu2", "conv2"]
    assert list(net.stage2._modules) == ["pool", "conv", "relu"]
    assert list(net.head._modules) == ["mean", "fc"]


# What must not be baked in


def drawn_by_torch(block, x):
    if block.training and torch.rand(1).item() < 0.1:
        return x
    return F.relu(x + block.a(x))


def drawn_by_python(block, x):
    if block.training and random.random() < 0.1:
        return x
    return F.relu(x + block.a(x))


def drawn_always(block, x):
    return F.relu(x + torch.rand(1) * block.a(x))


def without_gradient(block, x):
    with torch.no_grad():
        y = block.a(x)
    return F.relu(y + block.b(x))


def by_values(block, x):
    return block.a(x) if x.mean() > 0 else block.b(x)


def adds_by_values(block, x):
    return block.a(x) if x.mean() > 0 else block.b(x) + x


def under_autocast(block, x):
    with torch.autocast("cpu", torch.bfloat16):
        y = block.a(x)
    return F.relu(y.float() + x)


def writes_into_its_own(block, x):
    y = block.a(x)
    y[:, :2] = 0
    return y + x


REASONS = {
    drawn_by_torch: "draws random numbers of its own",
    drawn_by_python: "draws random numbers of its own",
    drawn_always: "draws random numbers of its own",
    without_gradient: "no_grad or autocast",
    adds_by_values: "decides by the values of a tensor",
    under_autocast: "no_grad or autocast",
    writes_into_its_own: "item assignment",
}


@pytest.mark.parametrize("run", REASONS)
def test_a_module_that_no_graph_can_hold_stays_whole(run):
    torch.manual_seed(2)
    model = Around(Block(run), Block(twice_in_place, act=nn.ReLU(inplace=True)))
    before = torch.get_rng_state()
    net = parse(model, EXAMPLE)
    if run is not drawn_by_torch and run is not drawn_always:
        assert torch.equal(torch.get_rng_state(), before)
    (whole,) = (module for module in net.modules() if isinstance(module, Unopened))
    assert type(whole.module) is Block
    assert list(unopened_modules(copy.deepcopy(net))) == ["blocks.0"]
    assert REASONS[run] in unopened_modules(net)["blocks.0"]
    assert branches(net) == [("a b", "", "ReLU")]
    for images in OTHERS:
        assert_same(model, net, images)


def test_a_module_of_which_every_way_is_seen_to_add_nothing_is_not_unknown():
    torch.manual_seed(2)
    net = parse(Around(Block(by_values)), EXAMPLE)
    assert any(isinstance(module, Block) for module in net.modules())
    assert not unopened_modules(net)


def aliased(block, x):
    y = x.view_as(x)
    return block.bn(block.a(F.relu_(y - 1 + 1))) + block.b(y.relu_()) + x


def overwrites_its_input(block, x):
    x[:, :2] = 0
    return block.a(x)


REFUSED = {
    "aliased": (lambda: Around(Block(aliased, bn=zeros(nn.BatchNorm2d(8)))), "relu.*, in blocks.0, writes into"),
    "overwrites-its-input": (lambda: Around(Block(overwrites_its_input)), "blocks.0, in .* writes into a tensor"),
    "shared-layer": (lambda: Around(Block(lambda m, x: m.a(F.relu(m.a(x))))), r"blocks\.0\.a is used at two places"),
    "shared-parameter": (
        lambda: Around(Block(lambda m, x: (m.a(x) * m.g).relu() * m.g, g=nn.Parameter(torch.ones(8, 1, 1)))),
        r"blocks\.0\.g is used at two places",
    ),
    "tied-weights": (lambda: tied(Around(Block(nested))), r"blocks\.0\.b is used at two places"),
    "torchscript": (
        lambda: Around(Block(lambda m, x: m.e(x) + x, e=torch.jit.script(conv(CHANNELS)))),
        r"blocks\.0\.e is TorchScript",
    ),
    "old-weight-norm": (lambda: Around(Block(nested, a=nn.utils.weight_norm(conv(CHANNELS)))), "cannot be copied"),
    "no-convolution": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 12, 5)), "has no stages"),
    "no-stage": (
        lambda: nn.Sequential(conv(3, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "has no stages",
    ),
}


def tied(model: nn.Module) -> nn.Module:
    model.blocks[0].b.weight = model.blocks[0].a.weight
    return model


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, sentence = REFUSED[name]
    torch.manual_seed(2)
    with pytest.raises(UnskipError, match=sentence):
        parse(make(), EXAMPLE)


def root(run) -> type[nn.Module]:
    """A network whose own forward is ``run``."""
    return type("Root", (Around,), {"forward": run})


def writes_into_the_image(net, x):
    x[:, :2] = 0
    return logits_of(net, x)


def logits_of(net, x):
    return Around.forward(net, x)


def own_dropout(net, x):
    return F.dropout(logits_of(net, F.dropout(x, 0.1, net.training)), 0.3, training=net.training)


def defaults(net, x, mask=None, flag=False, sizes=(1, 2), *more, scale=2.0, **others):
    if mask is not None or flag or more or others or sizes != (1, 2):
        return x
    return logits_of(net, x * scale)


def any_arguments(net, *inputs):
    return logits_of(net, inputs[0])


@pytest.mark.parametrize("run", [own_dropout, defaults, any_arguments])
def test_own_forward(run):
    torch.manual_seed(2)
    model = root(run)(Block(nested))
    net = parse(model, EXAMPLE)
    assert branches(net) == [("a b c", "", "Identity")]
    assert_same(model, net, OTHERS[0])


def test_a_forward_of_the_instance():
    model = Around(Block(nested))
    model.forward = lambda x: F.softmax(Around.forward(model, x), 1)
    with pytest.raises(UnskipError, match="cannot be traced"):  # a copy's forward is still the first one's
        parse(model, EXAMPLE)


OWN_REFUSED = {
    "values": (lambda net, x: logits_of(net, x) if x.sum() > 0 else x, "decides by the values of a tensor"),
    "batch": (lambda net, x: logits_of(net, x if x.shape[0] > 2 else -x), "by the number of images in the batch"),
    "size": (lambda net, x: logits_of(net, x if x.shape[2] > 20 else -x), "something else for images of another size"),
    "device": (lambda net, x: logits_of(net, x.half() if x.is_cuda else x), "by more than the shapes of its inputs"),
    "slices": (writes_into_the_image, "does not support item assignment"),
    "number": (lambda net, x: {"out": [logits_of(net, x), 3]}, "it returns 3, under out.1"),
    "nothing": (lambda net, x: (), "which is no tensor"),
    "training": (
        lambda net, x: (logits_of(net, x), x) if net.training else logits_of(net, x),
        "does something else in training",
    ),
    "random": (lambda net, x: logits_of(net, x * torch.rand(1)), "draws random numbers"),
    "arguments": (lambda net, x, mask, scale: logits_of(net, x * mask), "needs more than images: mask, scale"),
}


@pytest.mark.parametrize("name", OWN_REFUSED)
def test_own_forward_refused(name):
    run, sentence = OWN_REFUSED[name]
    with pytest.raises(UnskipError, match=sentence):
        parse(root(run)(Block(nested)), EXAMPLE)


def test_an_image_that_does_not_fit():
    with pytest.raises(UnskipError, match="an image of 4 x 16 x 12 does not fit this network"):
        parse(Around(Block(nested)), torch.zeros(2, 4, 16, 12))


@pytest.mark.parametrize("shape", [(3, 16, 12), (2, 3, 4, 16, 12), ()])
def test_an_example_that_is_no_batch_of_images(shape):
    with pytest.raises(UnskipError, match="example_input must be images"):
        parse(Around(Block(nested)), torch.zeros(shape))


# Modes, state, copies


def test_modes_stay_and_the_model_is_not_changed():
    torch.manual_seed(2)
    model = Around(Block(pre_activation, act=nn.ReLU(inplace=True)), Block(several_adds, path=nn.Dropout(0.5)))
    model.train()
    model.blocks[0].bn1.eval()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = {name: module.training for name, module in model.named_modules()}
    net = parse(model, EXAMPLE)
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.blocks[0].act.inplace
    assert [name for name, module in net.named_modules() if not module.training] == ["stage1.block1.body.bn1"]
    assert all(not module.training for module in parse(model.eval(), EXAMPLE).modules())
    tensors = {id(tensor) for tensor in model.state_dict(keep_vars=True).values()}
    assert tensors.isdisjoint(id(tensor) for tensor in net.state_dict(keep_vars=True).values())


def test_frozen_parameters_stay_frozen():
    model = Around(Block(nested))
    model.blocks[0].a.requires_grad_(False)
    net = parse(model, EXAMPLE)
    frozen = [net.original_names[name] for name, parameter in net.named_parameters() if not parameter.requires_grad]
    assert frozen == ["blocks.0.a.weight"]


def test_a_network_that_keeps_its_batchnorms_in_eval_mode_is_refused():
    class Frozen(Around):
        def train(self, mode=True):
            super().train(mode)
            self.bn.eval()
            return self

    with pytest.raises(UnskipError, match="in train mode the pieces together give other answers"):
        parse(Frozen(Block(nested)), EXAMPLE)


def test_unused_layers_and_constants_are_no_part_of_the_state():
    model = network_of("constant")
    model.never = conv(CHANNELS)
    net = parse(model, EXAMPLE)
    assert net.unused_names == ("never.weight",)
    assert_all_mapped(model, copy.deepcopy(net))


@pytest.mark.parametrize("wrap", [lambda net: nn.Sequential(net), lambda net: nn.Sequential(nn.Sequential(net))])
def test_wrapped(wrap):
    torch.manual_seed(2)
    model = Around(Block(nested), Block(twice_in_place, act=nn.ReLU()))
    assert parse(wrap(model), EXAMPLE).state_dict().keys() == parse(model, EXAMPLE).state_dict().keys()


@pytest.mark.parametrize("shape", [(1, 3, 16, 16), (1, 3, 9, 31), (4, 3, 64, 24)])
@pytest.mark.parametrize("fill", [torch.zeros, torch.ones])
def test_examples_of_any_shape_and_content(shape, fill):
    torch.manual_seed(2)
    model = with_random_statistics(Around(Block(nested), Block(pre_activation, act=nn.ReLU(inplace=True))))
    assert_same(model, parse(model, fill(shape)), OTHERS[0])


def test_double_precision():
    torch.manual_seed(2)
    model = with_random_statistics(Around(Block(pre_activation, act=nn.ReLU()))).double()
    net = parse(model, EXAMPLE.double())
    assert_same(model, net, OTHERS[0].double())


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_parametrizations(norm):
    torch.manual_seed(2)
    model = Around(Block(twice_in_place, act=nn.ReLU(inplace=True), a=norm(conv(CHANNELS))))
    assert_same(model, parse(model, EXAMPLE), OTHERS[0])


def test_a_difference_behind_zeros_is_seen():
    """The check fills parameters that are one number: here zeros would hide that the copy is another network."""

    class Counting(nn.Module):
        calls = 0

        def forward(self, x):
            Counting.calls += 1
            return x * float(Counting.calls)

    body = nn.Sequential(conv(CHANNELS), Counting(), zeros(nn.BatchNorm2d(CHANNELS, eps=1.0)))
    with pytest.raises(UnskipError, match="cannot be taken apart"):
        parse(Around(Block(lambda m, x: m.e(x) + x, e=body)), EXAMPLE)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet14", {"width": 4}),
        ("resnet18", {"width": 8}),
        ("resnet50-cifar", {"width": 8}),
        ("wrn-10x1", {}),
        ("mobilenetv2-cifar", {"width_mult": 0.25}),
    ],
)
def test_our_own_networks_come_out_as_they_are(name, options):
    torch.manual_seed(2)
    own = with_random_statistics(make_net(name, options))
    images = torch.randn(2, 3, 48, 48)
    net = parse(own, images)
    assert_same(own, net, images)
    ours, blocks = residual_blocks(own), residual_blocks(net)
    assert len(blocks) == len(ours)
    assert [block.kind for block in blocks.values()] == [block.kind for block in ours.values()]
    if name.startswith("resnet"):
        assert net.part_names == own.part_names
        assert list(blocks) == list(ours)
    for (place, block), (theirs, _) in zip(blocks.items(), ours.items(), strict=True):
        assert {net.original_names[f"{place}.body.{name}"] for name, _ in block.body.named_parameters()} == {
            f"{theirs}.body.{name}" for name, _ in ours[theirs].body.named_parameters()
        }


# Random programs


class Program(nn.Module):
    """Runs a list of operations; blocks are programs again."""

    def __init__(self, operations) -> None:
        super().__init__()
        self.kinds = [kind for kind, *_ in operations]
        self.layers = nn.ModuleList(layer_of(*operation) for operation in operations)

    def forward(self, x):
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            x = (
                layer(x)
                if kind in ("conv", "bn", "relu", "overwriting relu", "block", "dropout")
                else KINDS[kind](layer, x)
            )
        return x


KINDS = {
    "functional relu": lambda layer, x: F.relu(x),
    "relu_": lambda layer, x: (x + 0).relu_(),
    "concatenation": lambda layer, x: layer(torch.cat([x, -x], 1)),
    "gate": lambda layer, x: x * layer(x.mean((2, 3), keepdim=True)).sigmoid(),
    "three": lambda layer, x: torch.add(layer(x), x, alpha=0.3),
}


class Added(nn.Module):
    def __init__(self, body, shortcut, in_place: bool) -> None:
        super().__init__()
        self.body, self.shortcut, self.in_place = body, shortcut, in_place

    def forward(self, x):
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y = self.body(x)
        if self.in_place:
            y += shortcut
            return y
        return shortcut + y


def layer_of(kind, body=(), shortcut="identity"):
    match kind:
        case "conv":
            return conv(CHANNELS)
        case "bn":
            return nn.BatchNorm2d(CHANNELS)
        case "relu" | "overwriting relu":
            return nn.ReLU(inplace=kind != "relu")
        case "dropout":
            return nn.Dropout(0.2)
        case "concatenation":
            return conv(2 * CHANNELS, CHANNELS, 1)
        case "gate" | "three":
            return conv(CHANNELS, kernel=1)
        case "block":
            span = {"identity": lambda: None, "conv": one_by_one, "norm": lambda: nn.BatchNorm2d(CHANNELS)}[shortcut]()
            learned = [*body, ("functional relu",), ("conv",)]
            return Added(Program(learned), span, in_place=len(body) % 2 == 1)
    return nn.Identity()


SIMPLE = st.sampled_from(
    ["conv", "bn", "relu", "overwriting relu", "functional relu", "relu_", "concatenation", "gate", "three", "dropout"]
).map(lambda kind: (kind,))


def blocks_of(operations):
    return st.tuples(st.just("block"), st.lists(operations, max_size=3), st.sampled_from(["identity", "conv", "norm"]))


PROGRAMS = st.lists(st.one_of(SIMPLE, blocks_of(st.one_of(SIMPLE, blocks_of(SIMPLE)))), min_size=1, max_size=6)


@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
@given(PROGRAMS)
def test_random_programs(operations):
    torch.manual_seed(3)
    model = with_random_statistics(Around(Program(operations)))
    net = parse(model, EXAMPLE)
    assert_same(model, net, OTHERS[0])
    blocks = residual_blocks(net)
    assert len(blocks) == sum(kind == "block" for kind, *_ in operations)
    for place, (kind, _, shortcut) in zip(blocks, [each for each in operations if each[0] == "block"], strict=True):
        assert kind == "block"
        assert blocks[place].kind == ("identity" if shortcut == "identity" else "projection")
        body = [net.original_names[f"{place}.body.{name}"] for name, _ in blocks[place].body.named_parameters()]
        assert body
        assert all(re.match(r"blocks\.0\.layers\.\d+\.body\.", name) for name in body)
