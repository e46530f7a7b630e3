import pytest
import torch
from nets.random_statistics import with_random_statistics
from torch import nn

from unskip import StagedNet, UnskipError, build, make_net
from unskip.edits import fold_batchnorm
from unskip.nets.dirac import DiracConv2d
from unskip.surgery import fold_dirac, with_dirac_convs, with_grouped_convs, without_shortcuts

IMAGES = torch.randn(2, 3, 20, 28, generator=torch.Generator().manual_seed(0))


def dirac_convs(net: nn.Module) -> dict[str, DiracConv2d]:
    return {name: module for name, module in net.named_modules() if isinstance(module, DiracConv2d)}


def trained(net: StagedNet) -> StagedNet:
    """As after training: every number is its own."""
    torch.manual_seed(1)
    for conv in dirac_convs(net).values():
        nn.init.uniform_(conv.alpha, 0.5, 1.5)
        nn.init.uniform_(conv.beta, 0.05, 0.2)
    return with_random_statistics(net).eval()


def plain_dirac(name: str, width: int = 8) -> StagedNet:
    torch.manual_seed(0)
    return with_dirac_convs(without_shortcuts(make_net(name, {"width": width})))


@pytest.mark.parametrize(
    ("inputs", "outputs", "size", "groups"),
    [(4, 4, 3, 1), (4, 8, 3, 1), (8, 4, 3, 1), (8, 8, 3, 4), (8, 16, 1, 2), (8, 8, 5, 8), (3, 5, 1, 1)],
)
def test_the_kernel_is_the_formula(inputs, outputs, size, groups):
    """W = alpha delta + beta W, one alpha and one beta for each output channel, delta inside each group."""
    torch.manual_seed(0)
    conv = DiracConv2d.of(nn.Conv2d(inputs, outputs, size, padding=size // 2, groups=groups))
    assert conv.alpha.unique().tolist() == [1.0]
    assert torch.equal(conv.beta, torch.full_like(conv.beta, 0.1))
    nn.init.uniform_(conv.alpha)
    nn.init.uniform_(conv.beta)
    expected = torch.zeros(outputs, inputs // groups, size, size)
    for out in range(outputs):
        within = out % (outputs // groups)  # the place of this channel in its group
        for channel in range(inputs // groups):
            for row in range(size):
                for column in range(size):
                    delta = float(channel == within and row == column == size // 2)
                    weight = conv.weight[out, channel, row, column]
                    expected[out, channel, row, column] = conv.alpha[out] * delta + conv.beta[out] * weight
    assert torch.allclose(conv.kernel, expected, rtol=1e-6, atol=1e-7)
    x = torch.randn(2, inputs, 7, 9)
    applied = nn.functional.conv2d(x, expected, conv.bias, padding=size // 2, groups=groups)
    assert torch.allclose(conv(x), applied, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_delta_alone_is_the_identity(groups):
    conv = DiracConv2d.of(nn.Conv2d(8, 8, 3, padding=1, groups=groups, bias=False))
    nn.init.zeros_(conv.beta)
    x = torch.randn(2, 8, 7, 9)
    assert torch.equal(conv(x), x)


def test_a_wider_convolution_hands_on_what_there_is():
    conv = DiracConv2d.of(nn.Conv2d(3, 5, 3, padding=1, bias=False))
    nn.init.zeros_(conv.beta)
    x = torch.randn(2, 3, 7, 9)
    assert torch.equal(conv(x), torch.cat([x, torch.zeros(2, 2, 7, 9)], dim=1))


@pytest.mark.parametrize("name", ["resnet20", "resnet50-cifar", "wrn-16x2", "vgg11-cifar"])
def test_every_convolution_of_the_stages_but_the_shortcuts(name):
    net = make_net(name, {"width": 8})
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    edited = with_dirac_convs(net)
    convs = {place for place, module in net.named_modules() if isinstance(module, nn.Conv2d)}
    expected = {place for place in convs if place.startswith("stage") and "shortcut" not in place}
    assert set(dirac_convs(edited)) == expected
    after = edited.state_dict()
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    assert {key.rpartition(".")[2] for key in set(after) - set(before)} == {"alpha", "beta"}
    assert not dirac_convs(net)
    assert all(torch.equal(net.state_dict()[key], tensor) for key, tensor in before.items())


@pytest.mark.parametrize("name", ["resnet20", "resnet50-cifar", "wrn-16x2", "vgg11-cifar"])
def test_folding_gives_the_same_bits(name):
    net = trained(plain_dirac(name))
    images = IMAGES if "vgg" not in name else torch.randn(2, 3, 32, 44)
    folded = fold_dirac(net)
    assert not dirac_convs(folded)
    assert torch.equal(folded(images), net(images))
    assert set(folded.state_dict()) == {
        key for key in net.state_dict() if key.rpartition(".")[2] not in ("alpha", "beta")
    }
    assert dirac_convs(net), "the net is untouched"
    rebuilt = build(folded.spec, seed=3)
    rebuilt.load_state_dict(folded.state_dict())
    assert torch.equal(rebuilt.eval()(images), folded(images))
    assert fold_dirac(folded) is folded


def test_folding_after_grouping():
    net = trained(with_dirac_convs(with_grouped_convs(without_shortcuts(make_net("resnet20", {"width": 8})), groups=4)))
    assert {conv.groups for conv in dirac_convs(net).values()} == {1, 4}
    assert torch.equal(fold_dirac(net)(IMAGES), net(IMAGES))


def test_folding_batchnorm_folds_dirac_too():
    net = trained(plain_dirac("resnet20"))
    folded = fold_batchnorm(net)
    assert not any(isinstance(module, DiracConv2d | nn.BatchNorm2d) for module in folded.modules())
    expected = net(IMAGES)
    assert (folded(IMAGES) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert dirac_convs(net)
    rebuilt = build(folded.spec, seed=3)
    rebuilt.load_state_dict(folded.state_dict())
    assert torch.equal(rebuilt.eval()(IMAGES), folded(IMAGES))


def test_gradients_reach_all_three():
    """In eval mode: in train mode BatchNorm takes the scale of a channel away."""
    net = trained(plain_dirac("resnet14"))
    (net(IMAGES) * torch.randn(2, 10)).sum().backward()
    for place, conv in dirac_convs(net).items():
        for name in ("alpha", "beta", "weight"):
            gradient = getattr(conv, name).grad
            assert gradient is not None, (place, name)
            assert bool(gradient.any()), (place, name)


def test_gradients_by_the_chain_rule():
    torch.manual_seed(0)
    probe = DiracConv2d.of(nn.Conv2d(4, 4, 3, padding=1, bias=False))
    x = torch.randn(2, 4, 6, 6)
    probe(x).sum().backward()
    kernel = probe.kernel.detach().requires_grad_()
    nn.functional.conv2d(x, kernel, padding=1).sum().backward()
    torch.testing.assert_close(probe.weight.grad, 0.1 * kernel.grad)
    torch.testing.assert_close(probe.alpha.grad.flatten(), (kernel.grad * probe.delta).sum((1, 2, 3)))
    torch.testing.assert_close(probe.beta.grad.flatten(), (kernel.grad * probe.weight).sum((1, 2, 3)))


def test_nothing_to_replace():
    with pytest.raises(UnskipError, match="no ordinary convolution"):
        with_dirac_convs(with_dirac_convs(make_net("resnet14", {"width": 4})))
