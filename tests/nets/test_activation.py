import pytest
import torch
from torch import nn

from unskip import UnskipError, make_net
from unskip.edits import without_shortcuts
from unskip.nets.activation import activation_in_head

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
NETS = {
    "residual": lambda: make_net("resnet14", {"width": 4}),
    "plain": lambda: without_shortcuts(make_net("resnet14", {"width": 4})),
    "bottleneck": lambda: make_net("resnet50-cifar", {"width": 4}),
    "vgg": lambda: make_net("vgg11-cifar", {"width": 4}),
    "average-max head": lambda: make_net("resnet10-stagewise", {"width": 4}),
}


@pytest.fixture(params=NETS)
def net(request):
    torch.manual_seed(0)
    return NETS[request.param]().eval()


def test_the_same_function_with_shared_parameters_under_the_same_keys(net):
    view = activation_in_head(net)
    assert torch.equal(view(IMAGES), net(IMAGES))
    assert view.part_names == net.part_names
    ours, theirs = view.state_dict(keep_vars=True), net.state_dict(keep_vars=True)
    assert list(ours) == list(theirs)
    assert all(ours[key] is theirs[key] for key in theirs)


def test_the_last_map_is_what_the_activation_reads_and_is_not_overwritten(net):
    before, _ = net.features(IMAGES)
    maps, _ = activation_in_head(net).features(IMAGES)
    assert bool((maps[-1] < 0).any())
    assert torch.equal(maps[-1].relu(), before[-1])
    assert all(torch.equal(a, b) for a, b in zip(maps[:-1], before[:-1], strict=True))


def test_the_network_stays_as_it_is(net):
    parts = [str(part) for part in net]
    modes = [module.training for module in net.train(False).modules()]
    view = activation_in_head(net)
    assert not any(module.training for module in view.modules())
    view.train()
    assert net.get_submodule(net.stage_names[0]).training, "parts that are whole are shared"
    net.eval()
    assert [str(part) for part in net] == parts
    assert [module.training for module in net.modules()] == modes


def test_an_activation_with_parameters_keeps_them():
    net = make_net("resnet14", {"width": 4})
    net.stage3.block2.activation = nn.PReLU()
    view = activation_in_head(net)
    assert view.head.before_head.weight is net.stage3.block2.activation.weight


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("source", ["wrn-22x2", "mobilenetv2-cifar"])
def test_stages_without_a_last_activation_are_refused(source, plain):
    net = make_net(source, {})
    with pytest.raises(UnskipError, match="does not end with an activation"):
        activation_in_head(without_shortcuts(net) if plain else net)
