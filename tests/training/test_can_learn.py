"""A network that cannot learn is stopped before it trains; one that can is never stopped, nor touched."""

import copy
import io
import sys

import pytest
import torch
from rich.console import Console
from torch import nn

from unskip import (
    CE,
    DataRecipe,
    FadeJointRD,
    FadeKD,
    Residual,
    StagedNet,
    TrainingRecipe,
    UnskipError,
    build,
    distill,
    load_data,
    make_net,
)
from unskip.edits import without_shortcuts
from unskip.methods import METHODS, method_from
from unskip.surgery import with_fading_shortcuts
from unskip.training import Monitor
from unskip.training.can_learn import check_can_learn

IMAGES = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def small_net(*middle, head=None):
    layers = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), *middle)
    head = head or nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return StagedNet({"stem": nn.Sequential(nn.Conv2d(3, 8, 3)), "stage1": layers, "head": head})


@pytest.mark.parametrize(
    "source", ["resnet20", "resnet56", "resnet110", "wrn-16x1", "vgg11-cifar", "mobilenetv2-cifar"]
)
@pytest.mark.parametrize("plain", [False, True])
def test_the_houses_nets_are_let_through(source, plain):
    torch.manual_seed(0)
    options = {"width": 4} if source.startswith("resnet") else {}
    net = make_net(source, options)
    check_can_learn(build(without_shortcuts(net).spec, seed=0) if plain else net, IMAGES)


def zero_gammas(net):
    for name, module in net.named_modules():
        if name.endswith("body.bn2"):
            nn.init.zeros_(module.weight)
    return net


def test_a_block_that_starts_as_its_shortcut_is_let_through():
    check_can_learn(zero_gammas(make_net("resnet20", {"width": 4})), IMAGES)
    check_can_learn(zero_gammas(make_net("resnet20", {"width": 4}).at_depth(2, 2, 2)), IMAGES)


def test_a_plain_net_through_which_nothing_passes_is_stopped():
    dead = without_shortcuts(zero_gammas(make_net("resnet20", {"width": 4})), keep=["stage1"])
    with pytest.raises(UnskipError, match=r"same answers for every image.*stage2\.block1\.body\.bn2\.weight.*5 more"):
        check_can_learn(dead, IMAGES)


def test_shortcuts_that_are_still_there_are_enough_to_fade():
    check_can_learn(with_fading_shortcuts(zero_gammas(make_net("resnet20", {"width": 4}))), IMAGES)


class Constant(nn.Module):
    def forward(self, x):
        return torch.zeros_like(x) + 0 * x


def test_the_layer_behind_which_images_are_alike_is_named():
    with pytest.raises(UnskipError, match=r"the first layer behind which they no longer differ is stage1\.3\."):
        check_can_learn(small_net(Constant(), nn.Conv2d(8, 8, 1)), IMAGES)


def test_a_weight_without_gradient_is_named():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x):
            return 0 * self.conv(x)

    net = small_net(Residual(Gate()))
    with pytest.raises(UnskipError, match=r"1 of its \d weights get no gradient, stage1\.3\.body\.conv\.weight"):
        check_can_learn(net, IMAGES)
    net.stage1[3].requires_grad_(False)
    check_can_learn(net, IMAGES)


def test_what_is_never_read_and_heads_that_start_at_zero_are_let_through():
    net = small_net()
    net.stage1.add_module("conv", nn.Identity())
    net.stage1.get_submodule("conv").weight = nn.Parameter(torch.randn(3, 3))
    nn.init.zeros_(net.head[2].weight)
    check_can_learn(net, IMAGES)


@pytest.mark.parametrize("images", [IMAGES[:1], IMAGES[:1].expand(8, -1, -1, -1), torch.zeros(4, 3, 32, 32)])
def test_images_that_are_all_alike_say_nothing_about_the_network(images):
    check_can_learn(make_net("resnet14", {"width": 4}), images)


def test_a_scale_beside_a_shortcut_may_be_small():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)
            self.scale = nn.Parameter(torch.full((8, 1, 1), 1e-6))

        def forward(self, x):
            return self.scale * self.conv(x)

    check_can_learn(small_net(Residual(Scaled()), Residual(Scaled())), IMAGES)


def test_nothing_is_changed():
    net = make_net("resnet14", {"width": 4}).eval()
    before, mode = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    check_can_learn(net, IMAGES)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), mode)
    assert not any(module.training for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())


# In a training


@pytest.fixture(scope="module")
def data():
    return load_data(DataRecipe(limit=40, test_limit=20))


@pytest.mark.parametrize("name", list(METHODS))
def test_every_method_begins_with_it(name, data):
    teacher = make_net("resnet14", {"width": 4, "in_channels": 1})
    method = method_from(name, {})
    student = method.student_of(teacher, without_shortcuts(teacher))
    for net in (teacher, student):  # a method may take the teacher's weights anew
        nn.init.zeros_(net.stem.bn.weight)
    with pytest.raises(UnskipError, match=r"next to nothing passes stem\.bn\.weight"):
        distill(teacher, data, method, student=student, training=TrainingRecipe(epochs=8, batch_size=20))


def test_fading_says_what_has_to_grow(data):
    teacher = make_net("resnet14", {"width": 4, "in_channels": 1})
    said = []
    for start in (teacher, zero_gammas(copy.deepcopy(teacher))):
        method = method_from("fade_kd", {})
        student = method.student_of(start, without_shortcuts(start))
        output = io.StringIO()
        shown = Monitor("fade", Console(file=output, width=1000))
        settings = TrainingRecipe(epochs=4, batch_size=20)
        distill(start, data, method, student=student, training=settings, monitor=shown)
        said.append(output.getvalue())
    assert "fade: stage1.block1.body.bn2.weight is at most 0.001" in said[1]
    assert "0.001" not in said[0]


@pytest.mark.parametrize(
    ("net", "method", "many"),
    [
        ("resnet20", FadeKD(), ""),
        ("resnet26", FadeKD(), "12 shortcuts are many to fade"),
        ("resnet26", FadeJointRD(), ""),
    ],
)
def test_more_shortcuts_than_should_fade_are_said(net, method, many, data):
    output = io.StringIO()
    teacher = make_net(net, {"width": 2, "in_channels": 1})
    shown = Monitor("fade", Console(file=output, width=1000))
    distill(teacher, data, method, training=TrainingRecipe(epochs=2, batch_size=40), monitor=shown)
    assert ("many to fade" in output.getvalue()) == bool(many)
    assert many in output.getvalue()


def test_going_on_does_not_repeat_it(data, tmp_path, monkeypatch):
    settings, looks = TrainingRecipe(epochs=2, batch_size=20), []
    monkeypatch.setattr(sys.modules[distill.__module__], "check_can_learn", lambda *_: looks.append(1))
    for _ in range(2):
        net = make_net("resnet14", {"width": 4, "in_channels": 1})
        distill(None, data, CE(), student=net, training=settings, checkpoint=tmp_path / "last.ckpt")
    assert looks == [1]


@pytest.mark.parametrize("name", ["ce", "align_kd"])
def test_a_batch_of_one_value_per_channel_is_too_small(name, data):
    teacher = make_net("resnet18", {"width": 4, "in_channels": 1, "num_classes": 10})
    student = without_shortcuts(teacher)
    settings = TrainingRecipe(epochs=1, batch_size=1)
    with pytest.raises(
        UnskipError, match=r"^1 image of 8x8 pixels in a batch.*stage\d\..*one value per channel.*batch_size"
    ):
        distill(teacher, data, method_from(name, {}), student=student, training=settings)


def test_one_image_in_a_batch_is_enough_for_larger_maps(data):
    net = make_net("resnet14", {"width": 4, "in_channels": 1})
    distill(None, data, CE(), student=net, training=TrainingRecipe(epochs=1, batch_size=1))


def test_a_last_batch_of_one_image_is_left_out(data):
    net = make_net("resnet18-cifar", {"width": 4, "in_channels": 1, "num_classes": 10})
    settings = TrainingRecipe(epochs=2, batch_size=39)
    *_, record = distill(None, data, CE(), student=net, training=settings).history
    assert record["loss"] > 0
