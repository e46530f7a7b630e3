import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unskip import StagedNet, UnskipError, build, make_net
from unskip.dataflow import count_macs, num_parameters
from unskip.surgery import with_dirac_convs, with_grouped_convs, without_shortcuts

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def convs_of(net: nn.Module) -> dict[str, nn.Conv2d]:
    return {name: module for name, module in net.named_modules() if isinstance(module, nn.Conv2d)}


def spatial_convs(net: nn.Module) -> dict[str, nn.Conv2d]:
    return {name: conv for name, conv in convs_of(net).items() if conv.kernel_size != (1, 1) and "stage" in name}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ["wrn-16x2", "resnet18-cifar", "resnet20"])
def test_the_papers_unit(name, plain):
    """Figure 3: 3x3 grouped, cin to cin, with the stride; BN; ReLU; 1x1, cin to cout; no biases."""
    net = make_net(name, {"width": 8})
    net = without_shortcuts(net) if plain else net
    edited = with_grouped_convs(net, groups=4)
    assert spatial_convs(net)
    for place, dense in spatial_convs(net).items():
        unit = edited.get_submodule(place)
        assert [type(layer) for layer in unit] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d]
        assert (unit.conv.in_channels, unit.conv.out_channels, unit.conv.groups) == (
            dense.in_channels,
            dense.in_channels,
            4,
        )
        assert (unit.conv.kernel_size, unit.conv.stride, unit.conv.padding) == ((3, 3), dense.stride, (1, 1))
        assert unit.bn.num_features == dense.in_channels
        assert (unit.pointwise.in_channels, unit.pointwise.out_channels) == (dense.in_channels, dense.out_channels)
        assert (unit.pointwise.kernel_size, unit.pointwise.stride) == ((1, 1), (1, 1))
        assert unit.conv.bias is unit.pointwise.bias is None
    assert any(conv.stride == (2, 2) for conv in spatial_convs(edited).values())


@pytest.mark.parametrize(
    ("name", "form", "flops", "parameters"),
    [
        ("wrn-22x2", {"groups": 2}, (93_647_488, 92_074_624), (655_572, 644_820)),
        ("wrn-22x2", {"channels_per_group": 4}, (30_683_776, 29_110_912), (191_892, 181_140)),
        ("wrn-40x2", {"groups": 16}, (58_110_592, 56_537_728), (418_020, 407_268)),
        ("resnet18-cifar", {"groups": 2}, (328_452_608, 322_161_152), (6_567_716, 6_393_892)),
        ("resnet18-cifar", {"channels_per_group": 2}, (77_261_312, 70_969_856), (1_523_108, 1_349_284)),
    ],
)
def test_the_papers_counts(name, form, flops, parameters):
    """Tables 8 and 9, residual and shortcut-free; they count the outputs of the global pooling too."""
    net = with_grouped_convs(make_net(name, {"num_classes": 100}), **form)
    for subject, expected_flops, expected_parameters in zip(
        (net, without_shortcuts(net)), flops, parameters, strict=True
    ):
        assert num_parameters(subject) == expected_parameters
        assert count_macs(subject, (3, 32, 32)) + subject.head.fc.in_features == expected_flops


def test_vgg_reads_the_image_as_before():
    net = make_net("vgg11-cifar", {"width": 8})
    edited = with_grouped_convs(net, groups=2)
    assert torch.equal(edited.stage1.block1.conv.weight, net.stage1.block1.conv.weight)
    unit = edited.stage2.block1.conv
    assert (unit.conv.groups, unit.conv.out_channels, unit.pointwise.out_channels) == (2, 8, 16)
    assert unit.conv.bias is None
    assert unit.pointwise.bias is not None, "the convolution had one"
    assert edited(IMAGES).shape == (2, 1000)


@pytest.mark.parametrize("form", [{"groups": 2}, {"channels_per_group": 4}])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet50-cifar", {"width": 8}),
        ("resnet26-bottleneck", {"width": 8}),
        ("mobilenetv2", {"width_mult": 0.25}),
        ("mobilenetv2-cifar", {"width_mult": 0.25}),
    ],
)
def test_where_a_1x1_follows_only_the_groups_change(name, options, plain, form):
    net = make_net(name, options)
    net = without_shortcuts(net) if plain else net
    edited = with_grouped_convs(net, **form)
    assert list(edited.state_dict()) == list(net.state_dict())
    spatial = spatial_convs(net)
    for place, conv in convs_of(net).items():
        made = edited.get_submodule(place)
        same = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
        assert all(getattr(made, field) == getattr(conv, field) for field in same)
        assert (made.bias is None) == (conv.bias is None)
        wanted = form.get("groups") or conv.in_channels // 4
        assert made.groups == (wanted if place in spatial else 1)


EVERY_KIND = [
    ("resnet20", {"width": 8}),
    ("resnet18", {"width": 8}),
    ("resnet50-cifar", {"width": 8}),
    ("resnet14-stagewise", {"width": 8}),
    ("wrn-16x2", {"width": 8}),
    ("mobilenetv2", {"width_mult": 0.25}),
    ("mobilenetv2-cifar", {"width_mult": 0.25}),
    ("vgg11", {"width": 8}),
]


@pytest.mark.parametrize(("name", "options"), EVERY_KIND)
def test_all_else_stays_and_the_net_is_untouched(name, options):
    net = make_net(name, options).eval()
    spec = net.spec
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    edited = with_grouped_convs(net, groups=2)
    replaced = set(spatial_convs(net)) - {next(iter(convs_of(net)))}
    assert replaced
    kept = {key for key in before if key.rpartition(".")[0] not in replaced}
    new = edited.state_dict()
    assert kept <= set(new)
    assert all(torch.equal(new[key], before[key]) for key in kept)
    assert all(any(key.startswith(f"{place}.") for place in replaced) for key in set(new) - kept)
    for parameter in edited.parameters():
        parameter.data.add_(1)
    edited.train()(torch.randn(2, 3, 64, 64))
    assert not any(module.training for module in net.modules())
    assert net.spec is spec
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize(("name", "options"), EVERY_KIND)
def test_the_order_of_edits_does_not_matter(name, options):
    net = make_net(name, options)
    one = without_shortcuts(with_grouped_convs(net, groups=2))
    two = with_grouped_convs(without_shortcuts(net), groups=2)
    assert str(one) == str(two)
    shapes = [{key: tensor.shape for key, tensor in made.state_dict().items()} for made in (one, two)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("stride", [1, 2])
def test_a_unit_of_one_group_can_be_the_dense_convolution(stride):
    """A 3x3 whose centre is the identity, BN that lifts everything above zero and a 1x1 that takes it back."""
    torch.manual_seed(0)
    stages = {
        "stem": nn.Conv2d(3, 4, 1),
        "stage1": nn.Sequential(nn.Conv2d(4, 6, 3, stride, padding=1, bias=True)),
    }
    unit = with_grouped_convs(StagedNet(stages), groups=1).eval().stage1[0]
    dense = nn.Conv2d(4, 6, 1, stride, bias=True)
    nn.init.dirac_(unit.conv.weight)
    unit.bn.bias.data.fill_(100)
    unit.bn.eps = 0.0
    unit.pointwise.weight.data.copy_(dense.weight)
    unit.pointwise.bias.data.copy_(dense.bias - 100 * dense.weight.sum((1, 2, 3)))
    x = torch.randn(2, 4, 9, 11)
    torch.testing.assert_close(unit(x), dense(x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_unit_by_hand(groups):
    """Group g of the 3x3 sees the channels of group g alone; the 1x1 mixes them."""
    torch.manual_seed(0)
    net = with_grouped_convs(make_net("resnet8", {"width": 8}), groups=groups).eval()
    unit = net.stage2.block1.body.conv1
    unit.bn.running_mean.normal_()
    unit.bn.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 8, 9, 11)
    size = 8 // groups
    parts = [
        F.conv2d(x[:, g * size : (g + 1) * size], unit.conv.weight[g * size : (g + 1) * size], stride=2, padding=1)
        for g in range(groups)
    ]
    mixed = torch.relu(unit.bn(torch.cat(parts, dim=1)))
    expected = torch.einsum("oc,bchw->bohw", unit.pointwise.weight[:, :, 0, 0], mixed)
    torch.testing.assert_close(unit(x), expected)


def test_grouping_again_changes_the_groups():
    net = with_grouped_convs(make_net("wrn-16x2", {"width": 8}), groups=2)
    again = with_grouped_convs(net, groups=8)
    assert list(again.state_dict()) == list(net.state_dict())
    assert {conv.groups for conv in spatial_convs(again).values()} == {8}


def test_double_precision_stays():
    net = with_grouped_convs(make_net("wrn-10x1", {"width": 4}).double(), groups=2)
    assert {tensor.dtype for tensor in net.parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("name", "width", "form", "says"),
    [
        ("resnet20", 8, {}, "groups or channels_per_group, one of the two"),
        ("resnet20", 8, {"groups": 2, "channels_per_group": 4}, "one of the two"),
        ("resnet20", 8, {"groups": 0}, "greater than 0"),
        ("resnet20", 8, {"channels_per_group": 0}, "greater than 0"),
        ("resnet20", 8, {"groups": -2}, "greater than 0"),
        ("resnet20", 9, {"groups": 2}, "the 9 channels of stage1.block1.body.conv1 cannot be divided into 2 groups"),
        ("resnet20", 8, {"groups": 16}, "the 8 channels of stage1.block1.body.conv1 cannot be divided into 16"),
        ("resnet20", 8, {"channels_per_group": 3}, "stage1.block1.body.conv1 has 8 channels, no multiple of 3"),
        ("resnet20", 8, {"channels_per_group": 16}, "stage1.block1.body.conv1 has 8 channels, no multiple of 16"),
        ("vgg11", 6, {"groups": 4}, "the 6 channels of stage2.block1.conv cannot be divided into 4 groups"),
        ("resnet50", 6, {"groups": 4}, "the 6 channels of stage1.block1.body.conv2 cannot"),
    ],
)
def test_numbers_that_do_not_fit(name, width, form, says):
    with pytest.raises(UnskipError, match=says):
        with_grouped_convs(make_net(name, {"width": width}), **form)


def test_nets_that_cannot_be_grouped():
    with pytest.raises(UnskipError, match=r"stage1.block1.body.conv1 is a Dirac convolution; group first"):
        with_grouped_convs(with_dirac_convs(make_net("resnet14")), groups=2)
    pointwise = {"stem": nn.Conv2d(3, 4, 3), "stage1": nn.Conv2d(4, 4, 1), "head": nn.Flatten()}
    with pytest.raises(UnskipError, match="no convolution larger than 1x1"):
        with_grouped_convs(StagedNet(pointwise), groups=2)


NETS_WITH_WIDTH = ["resnet8", "resnet14-stagewise", "resnet26-bottleneck", "wrn-10x1", "wrn-10x3", "vgg11-cifar"]


@given(
    name=st.sampled_from(NETS_WITH_WIDTH),
    width=st.integers(1, 24),
    form=st.sampled_from(["groups", "channels_per_group"]),
    number=st.integers(-1, 26),
    plain=st.booleans(),
)
@settings(max_examples=30)
def test_any_width_and_number(name, width, form, number, plain):
    """Either a sentence, or every spatial convolution of the stages has what was asked for."""
    net = make_net(name, {"width": width, "num_classes": 3})
    net = without_shortcuts(net) if plain else net
    places = set(spatial_convs(net)) - {next(iter(convs_of(net)))}
    channels = [net.get_submodule(place).in_channels for place in places]
    try:
        edited = with_grouped_convs(net, **{form: number})
    except UnskipError:
        assert number < 1 or any(count % number for count in channels)
        return
    found = [conv for place, conv in spatial_convs(edited).items() if any(place.startswith(known) for known in places)]
    assert len(found) == len(places)
    for conv in found:
        assert (conv.groups if form == "groups" else conv.in_channels // conv.groups) == number
    assert edited(IMAGES).shape == (2, 3)
    assert {key: tensor.shape for key, tensor in build(edited.spec, seed=0).state_dict().items()} == {
        key: tensor.shape for key, tensor in edited.state_dict().items()
    }
