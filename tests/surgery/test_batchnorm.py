import pytest
import torch
from torch import nn

from unskip import Residual, StagedNet, build, forecast, make_net
from unskip.edits import fold_batchnorm, without_shortcuts
from unskip.surgery import with_depth_statistics, with_grouped_convs


def with_statistics(net: StagedNet) -> StagedNet:
    """BatchNorm statistics and affine parameters as after training."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5)
                module.bias.data.normal_(0, 0.1)
    return net


@pytest.mark.parametrize("name", ["resnet20", "resnet50-cifar"])
@pytest.mark.parametrize("plain", [False, True])
def test_folding_keeps_the_outputs(name, plain):
    torch.manual_seed(0)
    net = with_statistics(make_net(name, {"width": 8})).eval()
    net = without_shortcuts(net).eval() if plain else net
    images = torch.randn(2, 3, 32, 32)
    folded = fold_batchnorm(net)
    expected = net(images)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert (folded(images) - expected).abs().max() <= 1e-5 * expected.abs().max()
    rebuilt = build(folded.spec, seed=0)
    rebuilt.load_state_dict(folded.state_dict())
    assert torch.equal(rebuilt(images), folded(images))


def test_what_cannot_be_folded_stays():
    shared = nn.Conv2d(3, 3, 1)
    parts = {
        "stem": nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 1)),
        "stage1": nn.Sequential(shared, nn.BatchNorm2d(3), shared, nn.BatchNorm2d(3)),
        "stage2": nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
    }
    net = with_statistics_if_tracked(StagedNet(parts).eval())
    images = torch.randn(2, 3, 8, 8)
    folded = fold_batchnorm(net)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in folded.modules()) == 4
    assert torch.allclose(folded(images), net(images))


def with_statistics_if_tracked(net: StagedNet) -> StagedNet:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            module.running_mean.normal_()
    return net


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda: with_grouped_convs(make_net("resnet18", {"width": 8}), groups=2), []),
        (lambda: with_grouped_convs(make_net("resnet18-cifar", {"width": 8}), channels_per_group=4), []),
        (lambda: make_net("mobilenetv2", {"width_mult": 0.25}), []),
        (lambda: make_net("mobilenetv2-cifar", {"width_mult": 0.25}), []),
        (lambda: make_net("vgg11", {"width": 8}), []),
        # Without shortcuts every BatchNorm of a pre-activation net stands behind some convolution,
        (lambda: without_shortcuts(make_net("wrn-16x2", {"width": 8})), []),
        (lambda: without_shortcuts(with_grouped_convs(make_net("wrn-16x2", {"width": 8}), groups=2)), []),
        # with them only those inside a body do, and the first one of all, behind the stem.
        (
            lambda: make_net("wrn-16x2", {"width": 8}),
            [
                "stage1.block2.body.bn1",
                "stage2.block1.bn1",
                "stage2.block2.body.bn1",
                "stage3.block1.bn1",
                "stage3.block2.body.bn1",
                "head.bn",
            ],
        ),
        (
            lambda: without_shortcuts(make_net("wrn-16x2", {"width": 8}), keep=["stage2"]),
            ["stage2.block2.body.bn1", "stage3.block1.bn1"],
        ),
    ],
)
def test_what_is_left_and_that_nothing_else_changes(make, left):
    torch.manual_seed(0)
    net = with_statistics(make()).eval()
    folded = fold_batchnorm(net)
    assert [name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)] == left
    images = torch.randn(2, 3, 64, 48)
    expected = net(images)
    assert (folded(images) - expected).abs().max() <= 1e-5 * expected.abs().max()
    shape = (3, 64, 48)
    assert [(operation.kind, operation.live_bytes) for operation in forecast(folded, shape).operations] == [
        (operation.kind, operation.live_bytes) for operation in forecast(net, shape).operations
    ]
    assert forecast(folded, shape).peak_bytes == forecast(net, shape).peak_bytes
    double = net.double()
    close = fold_batchnorm(double)(images.double())
    assert (close - double(images.double())).abs().max() <= 1e-12 * close.abs().max(), "only rounding"


def test_folding_reaches_into_nested_containers():
    torch.manual_seed(0)
    conv = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1)))
    norm = nn.Sequential(nn.BatchNorm2d(4), nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3)))
    body = nn.Sequential(nn.Sequential(nn.Conv2d(4, 4, 1)), nn.Sequential(nn.BatchNorm2d(4)))
    parts = {
        "stem": conv,
        "stage1": norm,
        "stage2": nn.Sequential(nn.BatchNorm2d(4), Residual(body), nn.BatchNorm2d(4)),
    }
    net = with_statistics(StagedNet(parts)).eval()
    folded = fold_batchnorm(net)
    left = [name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert left == ["stage2.2"], "the one behind the sum"
    images = torch.randn(2, 3, 8, 8)
    assert torch.allclose(folded(images), net(images), atol=1e-5)


@pytest.mark.parametrize(
    "parts",
    [
        lambda pair, conv: {"stem": nn.Sequential(pair, pair)},
        lambda pair, conv: {"stem": pair, "stage1": pair},
        lambda pair, conv: {"stem": nn.Sequential(conv, nn.BatchNorm2d(3)), "stage1": nn.Sequential(conv)},
        lambda pair, conv: {"stem": nn.Sequential(conv, nn.BatchNorm2d(3)), "stage1": Residual(conv)},
    ],
)
def test_what_runs_twice_keeps_its_function(parts):
    torch.manual_seed(0)
    pair = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    net = with_statistics(StagedNet(parts(pair, nn.Sequential(nn.Conv2d(3, 3, 1))))).eval()
    images = torch.randn(2, 3, 8, 8)
    assert torch.allclose(fold_batchnorm(net)(images), net(images), atol=1e-5)


def test_a_folded_net_can_be_trained_on():
    folded = fold_batchnorm(make_net("resnet14", {"width": 4}))
    assert all(parameter.requires_grad for parameter in folded.parameters())
    net = make_net("resnet14", {"width": 4})
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in list(fold_batchnorm(net).parameters()))


def test_the_whole_net_of_several_depths_folds_with_its_own_statistics():
    torch.manual_seed(0)
    net = with_statistics(with_depth_statistics(make_net("resnet14", {"width": 4}), depths=[[1, 1, 1]])).eval()
    folded = fold_batchnorm(net)
    images = torch.randn(2, 3, 32, 32)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(folded(images), net(images), rtol=1e-4, atol=1e-5)
