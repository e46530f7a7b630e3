import pytest
import torch
from torch import nn

from unskip import StagedNet, build, fold_batchnorm, make_net, without_shortcuts


def with_statistics(net: StagedNet) -> StagedNet:
    """BatchNorm statistics and affine parameters as after training."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
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


def test_the_net_is_untouched():
    net = with_statistics(make_net("resnet14", {"width": 4})).train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fold_batchnorm(net)
    assert net.training
    assert list(net.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())


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
