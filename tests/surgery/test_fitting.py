"""Blocks without shortcuts that are fitted to answer as they did with them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import UnskipError, make_net
from unskip.edits import fit_without_shortcuts, with_fading_shortcuts, without_shortcuts
from unskip.nets import staged
from unskip.nets.staged_net import Residual, StagedNet, plain_block
from unskip.surgery import residual_blocks
from unskip.surgery._carrying import telling_channels
from unskip.surgery._fitting import RIDGES, SHARES

RESNET = {"width": 4, "num_classes": 3}


@pytest.fixture(autouse=True)
def _the_same_weights_each_time():
    """How much of a random net can be fitted depends on its weights: six draws left 0.05 to 0.6 of the cut's error."""
    torch.manual_seed(0)


def images(count=64, size=16, channels=3):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(5))


def lived_in(net):
    """With statistics, gammas and biases of a network that has trained; its bodies add little, as trained ones do."""
    generator = torch.Generator().manual_seed(1)
    net = staged(net).train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.2, 0.5, generator=generator)
            module.bias.data.uniform_(-0.2, 0.2, generator=generator)
    with torch.no_grad():
        for _ in range(30):
            net(images())
    return net.eval()


def error(one, other):
    return float((one - other).square().mean() / other.var())


def one_block(body, channels=3):
    block = Residual(body, activation=nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))
    return StagedNet({"stem": nn.ReLU(), "stage1": nn.Sequential(block), "head": head}).eval()


def conv_bn(inputs, outputs, size=3, **settings):
    return [nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False, **settings), nn.BatchNorm2d(outputs)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet14", RESNET),
        ("wrn-10x1", {"num_classes": 3}),
        pytest.param("mobilenetv2-cifar", {"num_classes": 3}, marks=pytest.mark.slow),
    ],
)
def test_a_fitted_network_answers_more_like_the_original_than_one_that_is_cut(name, options):
    net = lived_in(make_net(name, options))
    before = copy.deepcopy(net.state_dict())
    fitted = fit_without_shortcuts(net, images(32, 12).split(8))
    assert not fitted.unfitted
    assert list(fitted.unexplained) == list(residual_blocks(net))
    assert not residual_blocks(fitted.net)
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items()), "a copy"
    new = images(size=12).flip(0).roll(3, dims=2)
    with torch.no_grad():
        assert error(fitted.net(new), net(new)) < 0.5 * error(without_shortcuts(net).eval()(new), net(new))


def test_it_has_the_layers_of_the_network_that_is_cut():
    net = lived_in(make_net("resnet14", RESNET))
    fitted, cut = fit_without_shortcuts(net, images(16).split(4)).net, without_shortcuts(net)
    assert {key: tensor.shape for key, tensor in fitted.state_dict().items()} == {
        key: tensor.shape for key, tensor in cut.state_dict().items()
    }
    assert fitted.spec == cut.spec
    assert not fitted.training


def test_a_body_of_one_convolution_takes_its_shortcut_in_exactly():
    """What a convolution and a BatchNorm add to their input is a convolution: nothing can be missed."""
    net = one_block(nn.Sequential(*conv_bn(3, 3)))
    net.stage1[0].body[1].running_var.fill_(0.3)
    fitted = fit_without_shortcuts(net, images(32).split(8))
    assert fitted.unexplained["stage1.0"] < 1e-5
    with torch.no_grad():
        assert torch.allclose(fitted.net(images(4)), net(images(4)), atol=1e-3)


def test_a_body_that_adds_nothing_is_carried_through_exactly():
    net = one_block(nn.Sequential(*conv_bn(3, 3), nn.ReLU(), *conv_bn(3, 3)))
    net.stage1[0].body[3].weight.data.zero_()
    assert fit_without_shortcuts(net, images(32).split(8)).unexplained["stage1.0"] < 1e-4


def test_groups_hand_on_what_each_of_them_reads():
    """As in ResNeXt, with six channels in three groups."""
    middle = conv_bn(6, 6, groups=3)
    net = one_block(nn.Sequential(*conv_bn(3, 6, 1), nn.ReLU(), *middle, nn.ReLU(), *conv_bn(6, 3, 1)))
    net.stage1[0].body[7].weight.data.zero_()
    assert fit_without_shortcuts(net, images(32).split(8), passes=0).unexplained["stage1.0"] < 1e-4


def test_a_narrow_body_carries_the_channels_from_which_the_others_follow():
    """Of six channels four are mixtures of two: a body with room for two can hand all of them on."""
    net = one_block(nn.Sequential(*conv_bn(6, 2, 1), nn.ReLU(), *conv_bn(2, 2), nn.ReLU(), *conv_bn(2, 6, 1)), 6)
    mixtures = nn.Conv2d(3, 6, 1, bias=False)
    rows = torch.tensor([[0.5, 0, 0.5], [0, 0, 1], [0.2, 0, 0.1], [1, 0, 0], [0.1, 0, 0.9], [0.3, 0, 0.3]])
    mixtures.weight.data.copy_(rows[:, :, None, None])
    net.stem = nn.Sequential(nn.ReLU(), mixtures)
    net.stage1[0].body[7].weight.data.zero_()
    assert fit_without_shortcuts(net, images(32).split(8)).unexplained["stage1.0"] < 1e-3


def test_each_channel_that_is_carried_explains_most_of_what_those_before_left():
    """Against regressions of all channels on the chosen ones and one more."""
    maps = torch.randn(8, 7, 5, 5) @ torch.randn(5, 5)
    maps = torch.einsum("oi,nihw->nohw", torch.randn(7, 7), maps)
    rows = maps.transpose(0, 1).flatten(1).double()
    rows = rows - rows.mean(1, keepdim=True)
    chosen = telling_channels(maps, 4)
    for count, channel in enumerate(chosen):
        missed = []
        for other in range(7):
            basis = rows[[*chosen[:count], other]].T
            missed.append(float((rows.T - basis @ torch.linalg.lstsq(basis, rows.T).solution).square().sum()))
        assert missed[channel] == pytest.approx(min(missed), rel=1e-6)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.Hardswish()])
def test_negative_inputs_pass_the_activations_of_a_wider_body(activation):
    """The input is carried beside what the body does, moved to where the activation hands it on."""
    body = nn.Sequential(
        *conv_bn(3, 18, 1), activation, *conv_bn(18, 18, groups=18), copy.deepcopy(activation), *conv_bn(18, 3, 1)
    )
    block = Residual(body)
    net = StagedNet({"stem": nn.Identity(), "stage1": nn.Sequential(block), "head": nn.Flatten()})
    with torch.no_grad():
        for _ in range(30):
            net.train()(images())
    fitted = fit_without_shortcuts(net.eval(), images().split(16))
    with torch.no_grad():
        cut = error(without_shortcuts(net).eval()(images()), net(images()))
    assert fitted.unexplained["stage1.0"] < 0.1
    assert fitted.unexplained["stage1.0"] < 0.2 * cut


def test_the_last_convolution_solves_the_ridge_regression():
    """Against the solution of the stacked system by another algorithm, from the maps that it reads."""
    body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, stride=1, padding=1))
    net = one_block(body)
    batches = images(32).relu().split(8)
    plain = fit_without_shortcuts(net, batches, passes=0).net.stage1[0].body
    fit = torch.cat(batches[:3])  # the last quarter is not fitted
    with torch.no_grad():
        goals = (net.stage1[0].body(fit) + fit).double().permute(0, 2, 3, 1).reshape(-1, 3)
        maps = plain[1](plain[0](fit)).double()
    rows = F.unfold(maps.detach(), 3, padding=1).transpose(1, 2).reshape(-1, 27)
    solutions = []
    for ridge in RIDGES:
        penalty = ridge * (rows - rows.mean(0)).square().sum() / 27
        one = torch.ones(len(rows), 1)
        stacked = torch.cat([torch.cat([rows, one], 1), penalty.sqrt() * torch.eye(28)[:27]]).double()
        solutions.append(torch.linalg.lstsq(stacked, torch.cat([goals, torch.zeros(27, 3)]).double()).solution)
    found = torch.cat([plain[2].weight.flatten(1), plain[2].bias[:, None]], 1).T.double().detach()
    assert min(float((found - solution).abs().max()) for solution in solutions) < 1e-3


def test_the_first_convolution_carries_and_keeps_a_share():
    net = one_block(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1)))
    given = net.stage1[0].body[0]
    plain = fit_without_shortcuts(net, images(32).split(8), passes=0).net.stage1[0].body[0]
    carried = torch.nn.init.dirac_(torch.empty(3, 3, 3, 3))
    assert any(torch.allclose(plain.weight, carried + share * given.weight, atol=1e-6) for share in SHARES)


def test_shortcuts_that_are_kept_stay():
    net = lived_in(make_net("resnet14", RESNET))
    fitted = fit_without_shortcuts(net, images(16).split(4), keep=["stage2"])
    assert list(residual_blocks(fitted.net)) == [place for place in residual_blocks(net) if place.startswith("stage2")]
    assert set(fitted.unexplained) == set(residual_blocks(net)) - set(residual_blocks(fitted.net))
    alone = fit_without_shortcuts(net, images(16).split(4), only=["stage1.block1"])
    assert list(alone.unexplained) == ["stage1.block1"]
    assert alone.unexplained["stage1.block1"] == fitted.unexplained["stage1.block1"], "blocks in front count alone"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU()), "does not end with a convolution"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), "does not end with a convolution"),
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")), "pads in another way"),
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding="same")), "pads in another way"),
        (nn.Sequential(nn.Conv2d(3, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 2)), "not centred"),
        (nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.ReLU(), nn.Conv2d(6, 3, 1)), "groups"),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=False)), "no weights or no statistics"),
    ],
)
def test_what_cannot_be_solved_keeps_its_weights_and_says_why(body, reason):
    net = one_block(body)
    fitted = fit_without_shortcuts(net, images(16).split(4), passes=0)
    assert reason in fitted.unfitted["stage1.0"]
    assert not fitted.unexplained
    plain = fitted.net.stage1[0].body.state_dict()
    assert all(torch.equal(tensor, plain[key]) for key, tensor in body.state_dict().items())


class SqueezeExcitation(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid())

    def forward(self, x):
        return x * self.gate(x)


@pytest.mark.parametrize(
    "last",
    [
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")),
        nn.Sequential(*conv_bn(3, 3), nn.Dropout(0.5), nn.PReLU()),
        nn.Sequential(*conv_bn(3, 3), SqueezeExcitation(3)),
    ],
)
def test_a_body_that_cannot_be_solved_is_trained_from_its_own_weights(last):
    """Each can hold an identity, and none is one that least squares know."""
    net = one_block(nn.Sequential(*conv_bn(3, 3), nn.ReLU(), last))
    start = copy.deepcopy(net.stage1[0].body.state_dict())
    batches = images(64, 12).split(8)
    fitted = fit_without_shortcuts(net, batches, passes=40)
    assert not fitted.unfitted
    with torch.no_grad():
        cut = error(without_shortcuts(net).eval()(batches[-1]), net(batches[-1]))
        assert error(fitted.net(batches[-1]), net(batches[-1])) < 0.3 * cut
    assert all(torch.equal(tensor, start[key]) for key, tensor in net.stage1[0].body.state_dict().items()), "a copy"


def test_a_block_within_a_block_is_named():
    inner = Residual(nn.Sequential(*conv_bn(3, 3)), activation=nn.ReLU())
    net = one_block(nn.Sequential(inner, *conv_bn(3, 3)))
    fitted = fit_without_shortcuts(net, images(16).split(4))
    assert set(fitted.unexplained) | set(fitted.unfitted) == {"stage1.0", "stage1.0.body.0"}
    assert "within another" in fitted.unfitted["stage1.0.body.0"]


def test_layers_that_work_in_place_do_no_harm():
    body = nn.Sequential(*conv_bn(3, 3), nn.ReLU(), *conv_bn(3, 3))
    fitted = fit_without_shortcuts(one_block(body), images(16).split(4))
    for module in body.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    in_place = one_block(body)
    in_place.head = one_block(body).head
    assert fit_without_shortcuts(in_place, images(16).split(4)).unexplained == fitted.unexplained


def test_one_batch_and_unknown_names_are_refused():
    net = make_net("resnet14", RESNET)
    with pytest.raises(UnskipError, match="two batches"):
        fit_without_shortcuts(net, [images(8)])
    with pytest.raises(UnskipError, match="no shortcut 'stage9'"):
        fit_without_shortcuts(net, images(8).split(4), keep=["stage9"])
    with pytest.raises(UnskipError, match="fades"):
        fit_without_shortcuts(with_fading_shortcuts(net), images(8).split(4))


def test_a_plain_block_is_what_the_original_block_becomes():
    """The fit relies on the names that `plain_block` gives."""
    block = plain_block(nn.Sequential(nn.Conv2d(3, 3, 1)), nn.ReLU())
    assert [name for name, _ in block.named_children()] == ["body", "activation"]


def test_reconstructed_blocks_answer_more_like_the_network_than_fitted_ones():
    net = lived_in(make_net("resnet14", RESNET))
    batches, new = images(64, 12).split(8), images(size=12).flip(0).roll(3, dims=2)
    solved, trained = (fit_without_shortcuts(net, batches, passes=passes) for passes in (0, 20))
    with torch.no_grad():
        assert error(trained.net(new), net(new)) < 0.8 * error(solved.net(new), net(new))


def test_what_a_block_misses_is_what_it_missed_when_it_was_the_last():
    net = lived_in(make_net("resnet8", RESNET))
    batches, told = images(32, 12).split(8), []
    fitted = fit_without_shortcuts(net, batches, passes=2, on_block=lambda place, missed: told.append((place, missed)))
    assert told == list(fitted.unexplained.items())
    answers, goals = (each(batches[-1].clone()) for each in (trunk(fitted.net), trunk(net)))
    assert told[-1][1] == pytest.approx(error_over_variance(answers, goals), rel=1e-3)


def trunk(net):
    """A network up to the end of its last block."""
    return nn.Sequential(*[part for name, part in staged(net).named_children() if name != "head"]).eval()


@torch.no_grad()
def error_over_variance(answers, goals):
    return float((answers - goals).square().mean((0, 2, 3)).sum() / goals.var((0, 2, 3), unbiased=False).sum())
