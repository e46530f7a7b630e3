"""Without shortcuts a network computes what it computed with them, and nothing was trained."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets.random_statistics import with_random_statistics
from sklearn.datasets import load_digits
from torch import nn

from unskip import Residual, StagedNet, UnskipError, build, export_net, forecast, load_net, make_net, save_net
from unskip.data_info import DataInfo
from unskip.dataflow import num_parameters
from unskip.edits import (
    fold_batchnorm,
    with_dirac_convs,
    with_fading_shortcuts,
    with_grouped_convs,
    without_shortcuts_exactly,
)
from unskip.nets.resnet import basic_block, bottleneck_block
from unskip.surgery import residual_blocks, with_depth_statistics
from unskip.surgery._carry import PartialActivation

NETS = {
    "basic": ("resnet20", {"width": 8}),
    "basic, small images": ("resnet18-cifar", {"width": 8, "num_classes": 10}),
    "bottleneck": ("resnet-bottleneck", {"width": 8, "blocks": [2, 3, 2], "num_classes": 10}),
    "preactivation": ("wrn-16x2", {"width": 8}),
    "mobile": ("mobilenetv2-cifar", {"width_mult": 0.25}),
    "mobile, depthwise first": ("mobilenetv2", {"width_mult": 0.25}),
    "no shortcuts": ("vgg11-cifar", {"width": 4}),
}
PLAIN_LAYERS = {nn.Conv2d, nn.ReLU, nn.Linear, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten}


def random_net(form: str) -> StagedNet:
    torch.manual_seed(0)
    return with_random_statistics(make_net(*NETS[form])).eval()


def images(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative_difference(outputs: torch.Tensor, expected: torch.Tensor) -> float:
    assert outputs.shape == expected.shape
    return float((outputs - expected).abs().max() / expected.abs().max())


def partial_activations(net: nn.Module) -> list[PartialActivation]:
    return [module for module in net.modules() if isinstance(module, PartialActivation)]


@pytest.fixture(params=NETS)
def net(request):
    return random_net(request.param)


@torch.no_grad()
def test_the_outputs_and_the_maps_of_all_stages_stay(net):
    exact = without_shortcuts_exactly(net)
    assert not residual_blocks(exact)
    assert not exact.training
    for shape in ((2, 3, 64, 64), (1, 3, 37, 61)):
        maps, logits = net.features(images(*shape))
        found, again = exact.features(images(*shape))
        assert relative_difference(again, logits) < 1e-5
        assert all(relative_difference(one, other) < 1e-5 for one, other in zip(found, maps, strict=True))
    assert relative_difference(exact(images(3, 3, 64, 64))[1:2], exact(images(3, 3, 64, 64)[1:2])) < 1e-5
    double = copy.deepcopy(net).double()
    logits = double(images(2, 3, 37, 61).double())
    assert relative_difference(without_shortcuts_exactly(double)(images(2, 3, 37, 61).double()), logits) < 1e-12


@torch.no_grad()
def test_a_trained_net_keeps_its_predictions():
    digits = load_digits()
    pixels = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    classes = torch.tensor(digits.target)
    torch.manual_seed(0)
    net = make_net("resnet8", {"width": 8, "in_channels": 1, "num_classes": 10}).train()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    with torch.enable_grad():
        for _ in range(4):
            for batch in torch.randperm(1400).split(64):
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(pixels[batch]), classes[batch]).backward()
                optimiser.step()
    net.eval()
    exact = without_shortcuts_exactly(net)
    expected, found = net(pixels[1400:]), exact(pixels[1400:])
    assert (expected.argmax(1) == classes[1400:]).float().mean() > 0.8
    assert torch.equal(found.argmax(1), expected.argmax(1))
    assert relative_difference(found, expected) < 1e-5


@pytest.mark.parametrize("form", ["basic", "basic, small images", "bottleneck"])
def test_behind_relus_only_ordinary_layers_are_left(form):
    exact = without_shortcuts_exactly(random_net(form))
    leaves = {type(module) for module in exact.modules() if not list(module.children())}
    assert leaves <= PLAIN_LAYERS
    assert all(conv.bias is not None for conv in exact.modules() if isinstance(conv, nn.Conv2d))


@pytest.mark.parametrize(("form", "blocks"), [("preactivation", 3), ("mobile", 10)])
def test_what_may_be_negative_or_large_passes_the_activations(form, blocks):
    """In the blocks with an identity, but for MobileNetV2's first, which is behind the ReLU6 of the stem."""
    net = random_net(form)
    exact = without_shortcuts_exactly(net)
    assert len(partial_activations(exact)) == 2 * blocks
    for activation in partial_activations(exact):
        activation.applies.fill_(True)
    with torch.no_grad():
        assert relative_difference(exact(images(2, 3, 32, 32)), net(images(2, 3, 32, 32))) > 1e-3


@torch.no_grad()
def test_a_block_behind_a_relu6_needs_no_partial_activation():
    exact = without_shortcuts_exactly(random_net("mobile, depthwise first"))
    assert not partial_activations(exact.stage1.block1)
    assert exact.stage1.block1.body.conv2.groups == 8
    assert len(partial_activations(exact.stage2.block2)) == 2
    clamp = exact.stage2.block2.body.relu1
    values = 9 * images(1, clamp.applies.numel(), 2, 2)
    found = clamp(values.clone())
    assert torch.equal(found[clamp.applies.expand_as(found)], values[clamp.applies.expand_as(found)].clamp(0, 6))
    assert torch.equal(found[~clamp.applies.expand_as(found)], values[~clamp.applies.expand_as(found)])


@pytest.mark.parametrize("keep", [["projection"], ["identity"], ["stage2"], ["stage1.block2", "stage3.block1"]])
@torch.no_grad()
def test_kept_shortcuts(keep):
    net = random_net("basic")
    exact = without_shortcuts_exactly(net, keep=keep)
    kept = {place for place, block in residual_blocks(net).items() if {place, place[:6], block.kind} & {*keep}}
    assert set(residual_blocks(exact)) == kept
    assert relative_difference(exact(images(2, 3, 32, 32)), net(images(2, 3, 32, 32))) < 1e-5
    assert exact.spec.edits[-1] == ("without_shortcuts_exactly", {"keep": keep})
    assert list(build(exact.spec, seed=0).state_dict()) == list(exact.state_dict())
    rest = without_shortcuts_exactly(exact)
    assert not residual_blocks(rest)
    assert relative_difference(rest(images(2, 3, 32, 32)), net(images(2, 3, 32, 32))) < 1e-5
    assert list(build(rest.spec, seed=0).state_dict()) == list(rest.state_dict())
    with pytest.raises(UnskipError, match="no shortcut 'stage9'"):
        without_shortcuts_exactly(net, keep=["stage9"])


@torch.no_grad()
def test_a_file_carries_the_net(net, tmp_path):
    exact = without_shortcuts_exactly(net)
    info = DataInfo(classes=tuple("0123456789"), image_shape=(3, 32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
    save_net(exact, tmp_path / "net.safetensors", info)
    loaded, _ = load_net(tmp_path / "net.safetensors")
    assert loaded.spec.to_json() == exact.spec.to_json()
    assert torch.equal(loaded(images(2, 3, 37, 61)), exact(images(2, 3, 37, 61)))


@pytest.mark.parametrize("form", ["bottleneck", "preactivation", pytest.param("mobile", marks=pytest.mark.slow)])
def test_the_exported_file_agrees_with_the_residual_net(form, tmp_path):
    net = random_net(form)
    exact = without_shortcuts_exactly(net)
    shown = export_net(exact, tmp_path / "net.onnx", images(4, 3, 32, 32))
    assert shown.max_difference <= shown.tolerance
    assert shown.agreement == 1
    with torch.no_grad():
        logits = fold_batchnorm(exact)(images(4, 3, 32, 32))
        assert relative_difference(logits, net(images(4, 3, 32, 32))) < 1e-5


@pytest.mark.parametrize("form", ["basic", "bottleneck", "preactivation", "mobile"])
def test_memory_does_not_fall(form):
    """The maps between hold what the shortcuts held."""
    net = random_net(form)
    exact, shape = without_shortcuts_exactly(net), (3, 64, 64)
    assert forecast(exact, shape).peak_bytes >= forecast(net, shape).peak_bytes
    assert forecast(exact, shape).mean_bytes > forecast(net, shape).mean_bytes


def kernels(net: nn.Module) -> int:
    return sum(module.weight.numel() for module in net.modules() if isinstance(module, nn.Conv2d))


def test_what_it_costs():
    """In kernels, for an input of C channels: two 3x3 of C, and a 3x3 between 1x1 of C / 4."""
    c = 16
    net = StagedNet({"stem": nn.ReLU(), "stage1": basic_block(c, c, 1)})
    assert kernels(net) == 18 * c**2
    assert kernels(without_shortcuts_exactly(net)) == 36 * c**2
    w = c // 4
    net = StagedNet({"stem": nn.ReLU(), "stage1": bottleneck_block(c, w, 1)})
    assert kernels(net) == (4 + 9 + 4) * w**2
    exact = without_shortcuts_exactly(net)
    assert exact.stage1.body.conv2.groups == 5
    assert kernels(exact) == (4 * 5 + 9 * 5 + 5 * 4) * w**2
    net = make_net("mobilenetv2")
    assert num_parameters(without_shortcuts_exactly(net)) < 1.05 * num_parameters(net)


@pytest.mark.parametrize("groups", [2, 4])
@pytest.mark.parametrize("form", ["basic, small images", "bottleneck", "preactivation"])
@torch.no_grad()
def test_grouped_convolutions_go_on(form, groups):
    torch.manual_seed(0)
    net = with_random_statistics(with_grouped_convs(make_net(*NETS[form]), groups=groups)).eval()
    exact = without_shortcuts_exactly(net)
    assert not residual_blocks(exact)
    assert relative_difference(exact(images(2, 3, 37, 45)), net(images(2, 3, 37, 45))) < 1e-5


@pytest.mark.parametrize(
    "edit", [with_dirac_convs, lambda net: with_depth_statistics(net, depths=[[1, 1, 1]])], ids=["dirac", "depth"]
)
@torch.no_grad()
def test_what_folding_resolves_is_no_obstacle(edit):
    net = edit(random_net("basic"))
    exact = without_shortcuts_exactly(net)
    assert relative_difference(exact(images(2, 3, 32, 32)), net(images(2, 3, 32, 32))) < 1e-5
    again = build(exact.spec, seed=3)
    again.load_state_dict(exact.state_dict())


def block_net(block: nn.Module, *stem: nn.Module) -> StagedNet:
    return StagedNet({"stem": nn.Sequential(*stem), "stage1": nn.Sequential(block)})


@torch.no_grad()
def test_a_block_within_a_block():
    torch.manual_seed(0)
    inner = Residual(nn.Sequential(nn.Conv2d(4, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)), None, nn.ReLU())
    body = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), inner, nn.Conv2d(4, 3, 1))
    net = block_net(Residual(body), nn.ReLU())
    exact = without_shortcuts_exactly(net)
    assert not residual_blocks(exact)
    assert not partial_activations(exact)
    assert relative_difference(exact(images(2, 3, 9, 7)), net(images(2, 3, 9, 7))) < 1e-6


@torch.no_grad()
def test_one_convolution_takes_up_the_shortcut():
    torch.manual_seed(0)
    for shortcut, stride in ((None, 1), (nn.Conv2d(3, 3, 1, 2), 2)):
        net = block_net(Residual(nn.Conv2d(3, 3, 3, stride, padding=1), shortcut, nn.ReLU()))
        exact = without_shortcuts_exactly(net)
        assert num_parameters(exact) == 3 * 3 * 9 + 3
        assert relative_difference(exact(images(2, 3, 9, 8)), net(images(2, 3, 9, 8))) < 1e-6


ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "silu": lambda: nn.SiLU(inplace=True),
    "leaky": lambda: nn.LeakyReLU(0.3, inplace=True),
    "prelu": nn.PReLU,
    "gelu": nn.GELU,
    "hardtanh": lambda: nn.Hardtanh(-0.5, 0.5),
}


@st.composite
def random_blocks(draw) -> StagedNet:
    """A block of one to three convolutions, grouped or not, behind what bounds its input or does not."""
    torch.manual_seed(draw(st.integers(0, 99)))
    kind = draw(st.sampled_from(sorted(ACTIVATIONS)))
    channels = draw(st.sampled_from([2, 4, 6]))
    widths = draw(st.lists(st.sampled_from([2, 4, 6, 8]), min_size=1, max_size=3))
    strides = [draw(st.sampled_from([1, 1, 2])) for _ in widths]
    projects = max(strides) > 1 or draw(st.booleans())
    widths[-1] = widths[-1] if projects else channels
    layers: list[nn.Module] = []
    if draw(st.booleans()):
        layers += [nn.BatchNorm2d(channels)]
    if draw(st.booleans()):
        layers += [ACTIVATIONS[kind]() if kind not in ("silu", "leaky") else nn.ReLU()]
    inputs = channels
    for number, (width, stride) in enumerate(zip(widths, strides, strict=True)):
        size, dilation = draw(st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1)]))
        options = {"stride": stride, "padding": dilation * (size // 2), "dilation": dilation}
        options["padding_mode"] = draw(st.sampled_from(["zeros", "replicate"]))
        groups = 2 if not layers and len(widths) > 1 and draw(st.booleans()) else 1
        layers += [nn.Conv2d(inputs, width, size, groups=groups, bias=draw(st.booleans()), **options)]
        layers += [nn.BatchNorm2d(width)] * draw(st.booleans())
        inputs = width
        if number < len(widths) - 1 and draw(st.booleans()):
            own = kind == "prelu" and draw(st.booleans())
            layers += [nn.PReLU(width) if own else ACTIVATIONS[kind](), nn.Dropout(0.5)]
    total = 2 ** strides.count(2)
    shortcut = nn.Sequential(nn.Conv2d(channels, inputs, 1, total), nn.BatchNorm2d(inputs)) if projects else None
    stem = [draw(st.sampled_from([nn.ReLU, nn.ReLU6, nn.Identity]))()]
    return block_net(
        Residual(nn.Sequential(*layers), shortcut, ACTIVATIONS[draw(st.sampled_from(["relu", "silu"]))]()), *stem
    )


@settings(max_examples=150)
@given(random_blocks(), st.integers(7, 12), st.integers(7, 12))
@torch.no_grad()
def test_random_blocks(net, height, width):
    with_random_statistics(net).double().eval()
    channels = next(m for m in net.modules() if isinstance(m, nn.Conv2d)).in_channels
    batch = 8 * images(2, channels, height, width).double()
    expected = net(batch.clone())
    exact = without_shortcuts_exactly(net)
    assert not residual_blocks(exact)
    found = exact(batch.clone())
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-12 * expected.abs().max().clamp(min=1)


class Squeeze(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.mean((2, 3), keepdim=True).sigmoid()


def body(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(4, 4, 1), *layers, nn.Conv2d(4, 4, 1))


TWICE = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
REFUSED = {
    "squeeze-and-excitation": (Residual(body(Squeeze())), "its body has a Squeeze, which is neither"),
    "a body of another kind": (Residual(Squeeze()), "has a Squeeze"),
    "a norm that is not BatchNorm": (Residual(body(nn.GroupNorm(2, 4))), "GroupNorm"),
    "a BatchNorm behind an activation": (Residual(body(nn.ReLU(), nn.BatchNorm2d(4))), "cannot be folded"),
    "a BatchNorm of the batch": (
        Residual(body(nn.BatchNorm2d(4, track_running_stats=False))),
        "BatchNorm that cannot be folded",
    ),
    "an activation at the end": (Residual(nn.Sequential(body(), nn.ReLU())), "does not end with a convolution"),
    "no layers": (Residual(nn.Sequential()), "does not end with a convolution"),
    "an even kernel": (Residual(body(nn.Conv2d(4, 4, 2, padding=1), nn.Conv2d(4, 4, 2))), "not centred"),
    "no padding": (Residual(body(nn.Conv2d(4, 4, 1, padding=1), nn.Conv2d(4, 4, 3))), "not centred"),
    "a transposed convolution": (Residual(body(nn.ConvTranspose2d(4, 4, 1))), "ConvTranspose2d"),
    "groups at the end": (Residual(nn.Sequential(body(), nn.Conv2d(4, 4, 1, groups=2))), "last convolution has groups"),
    "groups that widen": (
        Residual(
            nn.Sequential(
                nn.Conv2d(4, 6, 1), nn.ReLU(), nn.Conv2d(6, 12, 3, padding=1, groups=3), nn.ReLU(), nn.Conv2d(12, 4, 1)
            )
        ),
        "groups of 2 channels to 4 cannot be continued",
    ),
    "groups too large": (
        Residual(nn.Sequential(nn.Conv2d(4, 12, 1), nn.Conv2d(12, 12, 1, groups=2), nn.Conv2d(12, 4, 1))),
        "groups of 6 channels to 6 cannot be continued by groups that copy the 4 channels",
    ),
    "a projection with a pool": (
        Residual(body(), nn.Sequential(nn.AvgPool2d(1), nn.Conv2d(4, 4, 1))),
        "its projection is AvgPool2d and Conv2d",
    ),
    "a projection of 3x3": (Residual(body(), nn.Conv2d(4, 4, 3, padding=1)), "no dense 1x1"),
    "a projection with groups": (Residual(body(), nn.Conv2d(4, 4, 1, groups=2)), "no dense 1x1"),
    "a sum of two sizes": (Residual(nn.Conv2d(4, 1, 1)), "its identity and its body give maps of two shapes"),
    "strides that differ": (Residual(body(), nn.Conv2d(4, 4, 1, 2)), "its projection and its body give"),
    "layers that run twice": (Residual(nn.Sequential(TWICE, TWICE, nn.Conv2d(4, 4, 1))), "twice"),
}


@pytest.mark.parametrize(("block", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(block, reason):
    net = block_net(block)
    with pytest.raises(UnskipError, match=rf"shortcut of stage1\.0 cannot be merged: .*{reason}"):
        without_shortcuts_exactly(net)
    assert list(residual_blocks(without_shortcuts_exactly(net, keep=["stage1.0"]))) == ["stage1.0"]


def test_a_shortcut_that_fades_is_refused_unless_it_is_kept():
    fading = with_fading_shortcuts(random_net("basic"), keep=["stage1"])
    with pytest.raises(UnskipError, match=r"stage3\.block3 cannot be merged: it fades"):
        without_shortcuts_exactly(fading)
    exact = without_shortcuts_exactly(fading, keep=["stage2", "stage3"])
    with torch.no_grad():
        assert relative_difference(exact(images(2, 3, 32, 32)), fading(images(2, 3, 32, 32))) < 1e-5


def test_it_can_be_trained_on():
    exact = without_shortcuts_exactly(random_net("mobile")).train()
    exact(images(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in exact.parameters())
    frozen = random_net("preactivation").requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in without_shortcuts_exactly(frozen).parameters())


def test_the_device_stays():
    with torch.device("meta"):
        net = make_net("mobilenetv2", {"width_mult": 0.25})
        exact = without_shortcuts_exactly(net)
    assert {tensor.device.type for tensor in [*exact.parameters(), *exact.buffers()]} == {"meta"}
