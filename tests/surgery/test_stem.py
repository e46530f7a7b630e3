"""One strided convolution where a stem had a strided convolution and a pool."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from unskip import Residual, StagedNet, UnskipError, build, forecast, make_net
from unskip.edits import fold_batchnorm, with_lean_stem, without_shortcuts
from unskip.nets import NETS
from unskip.nets.shapes import stage_shapes

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
USUAL = (32, 64, 96, 128, 160, 192, 224, 256)


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_the_peak_is_in_the_stem_until_it_is_lean(name):
    net = make_net(name)
    lean = with_lean_stem(net)
    peaks = [
        forecast(form, (3, 224, 224)).peak_bytes / 2**20
        for form in (net, without_shortcuts(net), lean, without_shortcuts(lean))
    ]
    assert [round(peak, 2) for peak in peaks] == [3.83, 3.83, 2.30, 1.53]


def test_one_convolution_with_stride_4_and_the_same_weights():
    net = make_net("resnet18", {"width": 4})
    lean = with_lean_stem(net)
    assert (lean.stem.conv.stride, lean.stem.conv.padding) == ((4, 4), (3, 3))
    assert [name for name, _ in lean.stage1.named_children()] == ["block1", "block2"]
    assert (net.stem.conv.stride, net.stage1.pool.stride) == ((2, 2), 2), "the net given stays"
    assert list(lean.state_dict()) == list(net.state_dict())
    assert all(torch.equal(tensor, net.state_dict()[name]) for name, tensor in lean.state_dict().items())
    with torch.no_grad():
        lean.stem.conv.weight.add_(1)
    assert not torch.equal(lean.stem.conv.weight, net.stem.conv.weight)


@pytest.mark.parametrize(
    "name", [name for name, entry in NETS.items() if name.startswith("resnet") and entry.image_size == 224]
)
def test_the_maps_have_the_same_sizes(name):
    width = {"width": 4}
    net = make_net(name, width)
    lean = with_lean_stem(net)
    sides = (*USUAL, 33, 63, 97, 111, 199, 225, 255) if name == "resnet18" else (33, 224)
    for side in sides:
        assert stage_shapes(lean, side) == stage_shapes(net, side), side


def test_it_is_a_network_like_others():
    torch.manual_seed(0)
    lean = with_lean_stem(make_net("resnet18", {"width": 4})).eval()
    assert str(lean.spec) == "resnet18 with lean stem"
    again = build(lean.spec, seed=3).eval()
    again.load_state_dict(lean.state_dict())
    assert torch.equal(again(IMAGES), lean(IMAGES))
    folded = fold_batchnorm(lean)
    assert torch.allclose(folded(IMAGES), lean(IMAGES), atol=1e-4)
    assert all(
        module.training == other.training
        for module, other in zip(
            lean.modules(), with_lean_stem(make_net("resnet18", {"width": 4})).eval().modules(), strict=True
        )
    )
    both = with_lean_stem(without_shortcuts(make_net("resnet18", {"width": 4})))
    assert both.spec.edits[1] == ("with_lean_stem", {})
    shapes = [{k: v.shape for k, v in made.state_dict().items()} for made in (both, without_shortcuts(lean))]
    assert shapes[0] == shapes[1]


def block() -> Residual:
    return Residual(nn.Conv2d(8, 8, 3, padding=1))


def staged(stem: nn.Module, stage1: nn.Module) -> StagedNet:
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    return StagedNet({"stem": stem, "stage1": stage1, "head": head})


def torchvision_like(pool: nn.Module) -> StagedNet:
    stem = OrderedDict(conv1=nn.Conv2d(3, 8, 7, 2, 3, bias=False), bn1=nn.BatchNorm2d(8), relu1=nn.ReLU(), maxpool=pool)
    return staged(nn.Sequential(stem), nn.Sequential(OrderedDict(block1=block())))


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.MaxPool2d(3, 2),
    ],
)
def test_pools_of_all_kinds(pool):
    """The padding is chosen so that the sizes agree, by formula; here they are those of torch."""
    net = torchvision_like(pool)
    lean = with_lean_stem(net)
    assert not any(isinstance(module, type(pool)) for module in lean.modules())
    for side in range(32, 257, 3):
        assert stage_shapes(lean, side) == stage_shapes(net, side), side


def test_names_do_not_matter_and_nested_sequences_are_opened():
    convs = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8)), nn.ReLU())
    stage = nn.Sequential(nn.Sequential(nn.Identity(), nn.MaxPool2d(3, 2, 1)), nn.Sequential(block(), block()))
    lean = with_lean_stem(staged(convs, stage))
    assert lean.stem[0][0].stride == (4, 4)
    assert [type(layer).__name__ for layer in lean.stage1[0]] == ["Identity"]
    assert lean(IMAGES).shape == (2, 4)


def deep(*strides: int, kernel_size: int = 3) -> StagedNet:
    layers: list[nn.Module] = []
    channels = 3
    for stride in strides:
        layers += [nn.Conv2d(channels, 8, kernel_size, stride, kernel_size // 2), nn.BatchNorm2d(8), nn.ReLU()]
        channels = 8
    return staged(nn.Sequential(*layers, nn.MaxPool2d(3, 2, 1)), nn.Sequential(OrderedDict(block1=block())))


@pytest.mark.parametrize(
    ("strides", "kernel_size", "lean_strides"),
    [((2, 1, 1), 3, [2, 2, 1]), ((2, 1, 1), 5, [4, 1, 1]), ((1, 2, 1), 3, [1, 2, 2]), ((2, 2), 7, [2, 4])],
)
def test_in_a_deep_stem_the_first_that_still_reads_every_pixel(strides, kernel_size, lean_strides):
    net = deep(*strides, kernel_size=kernel_size)
    lean = with_lean_stem(net)
    assert [module.stride[0] for module in lean.stem.modules() if isinstance(module, nn.Conv2d)] == lean_strides
    for side in (*USUAL, 75, 131):
        assert stage_shapes(lean, side) == stage_shapes(net, side)
    seen = torch.zeros(1, 3, 32, 32, requires_grad=True)
    lean.stem.eval()
    for module in lean.modules():
        if isinstance(module, nn.ReLU):
            module.forward = lambda x: x
    lean.stem(seen).sum().backward()
    assert bool(seen.grad[..., :28, :28].ne(0).all()), "every pixel counts"


def test_a_3x3_alone_is_refused():
    with pytest.raises(UnskipError, match=r"the stem's 0 \(Conv2d.* would not read every pixel"):
        with_lean_stem(deep(2))


@pytest.mark.parametrize(
    "name", ["resnet20", "resnet18-cifar", "wrn-16x1", "mobilenetv2", "mobilenetv2-cifar", "vgg11"]
)
def test_nets_without_such_a_stem_are_refused(name):
    small = {"width_mult": 0.1} if "mobilenet" in name else {"width": 2}
    with pytest.raises(UnskipError, match="with_lean_stem: in front of its blocks, this network has no convolution"):
        with_lean_stem(make_net(name, small))


@pytest.mark.parametrize(
    "net",
    [
        with_lean_stem(make_net("resnet18", {"width": 2})),
        make_net("resnet18", {"width": 2})[1:],
        deep(1, 1),
        staged(block(), nn.Sequential(nn.MaxPool2d(3, 2, 1), block())),
        staged(nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), block()), nn.Sequential(nn.MaxPool2d(3, 2, 1), block())),
        staged(nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3)), nn.Sequential(block(), nn.MaxPool2d(3, 2, 1))),
    ],
)
def test_stems_that_only_look_like_it_are_refused(net):
    with pytest.raises(UnskipError, match="no convolution with stride 2"):
        with_lean_stem(net)
