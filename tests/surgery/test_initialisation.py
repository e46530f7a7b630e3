"""What is started for a shortcut starts anew without it; everything else keeps its bits."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import build, make_net, parse
from unskip.edits import without_shortcuts
from unskip.surgery import edited, residual_blocks
from unskip.surgery._initialisation import initialise_as_plain, tiny_scales
from unskip.torchvision_compat import torchvision
from unskip.training.can_learn import check_can_learn

IMAGES = torch.randn(8, 3, 24, 24, generator=torch.Generator().manual_seed(0))


class StandardisedConv(nn.Conv2d):
    """A convolution with weight standardisation and a gain that starts at zero."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.gain = nn.Parameter(torch.zeros(self.out_channels, 1, 1, 1))

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight * self.gain, self.bias, padding=1)


class Block(nn.Module):
    """``relu(x + end(conv(relu(norm(conv(x))))))``, the end being what a test is about."""

    def __init__(self, channels, end):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.conv2, self.end = end(channels)

    def forward(self, x):
        return torch.relu(x + self.end(self.conv2(torch.relu(self.norm(self.conv1(x))))))


class Scale(nn.Module):
    def __init__(self, start, kind="factor"):
        super().__init__()
        self.scale = nn.Parameter(start)
        self.kind = kind

    def forward(self, x):
        if self.kind == "norm":
            return F.group_norm(x, 1, self.scale)
        return x * (torch.tanh(self.scale) if self.kind == "gate" else self.scale)


def conv(channels):
    return nn.Conv2d(channels, channels, 3, padding=1, bias=False)


def zeroed(layer):
    nn.init.zeros_(layer.weight)
    return layer


ENDS = {
    "batch_norm": lambda c: (conv(c), zeroed(nn.BatchNorm2d(c))),
    "group_norm": lambda c: (conv(c), zeroed(nn.GroupNorm(2, c))),
    "own_norm": lambda c: (conv(c), Scale(torch.zeros(c), "norm")),
    "layer_scale": lambda c: (conv(c), Scale(torch.full((c, 1, 1), 1e-6))),
    "rezero": lambda c: (conv(c), Scale(torch.zeros(()))),
    "gate": lambda c: (conv(c), Scale(torch.zeros(1), "gate")),
    "fixup": lambda c: (zeroed(conv(c)), nn.Identity()),
    "zero_gain": lambda c: (StandardisedConv(c, c, 3, padding=1, bias=False), nn.Identity()),
}


def net_with(end, *, width=8):
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), Block(width, end), Block(width, end)),
        *(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU(), Block(2 * width, end)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 4)),
    )
    return parse(model, IMAGES)


@pytest.mark.parametrize("end", ENDS)
def test_a_plain_block_starts_as_one(end):
    teacher = net_with(ENDS[end])
    plain = without_shortcuts(teacher)
    with pytest.raises(ValueError, match=r"stage1\.block1\.body.*a start that is meant for blocks with a shortcut"):
        check_can_learn(plain, IMAGES)
    assert len(list(tiny_scales(plain))) == 3
    initialise_as_plain(plain, residual_blocks(teacher), seed=0)
    check_can_learn(plain, IMAGES)
    assert not list(tiny_scales(plain))


@pytest.mark.parametrize("end", ENDS)
def test_only_blocks_without_a_shortcut_start_anew(end):
    teacher = net_with(ENDS[end])
    plain = without_shortcuts(teacher, keep=["stage1"])
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    initialise_as_plain(plain, ["stage2.block1"], seed=0)
    changed = [name for name, tensor in plain.state_dict().items() if not torch.equal(tensor, before[name])]
    assert len(changed) == 1
    assert changed[0].startswith("stage2.block1.body.")
    check_can_learn(plain, IMAGES)


def test_a_drawn_kernel_is_a_function_of_the_seed():
    def drawn(seed):
        plain = without_shortcuts(net_with(ENDS["fixup"]))
        initialise_as_plain(plain, ["stage1.block1"], seed=seed)
        return plain.stage1.block1.body.conv2.weight

    before = torch.get_rng_state()
    assert torch.equal(drawn(0), drawn(0))
    assert not torch.equal(drawn(0), drawn(1))
    torch.manual_seed(0)
    assert float(drawn(0).std()) == pytest.approx(float(conv(8).weight.std()), rel=0.2)
    torch.set_rng_state(before)


def test_a_number_that_a_branch_ends_with_is_made_up_for():
    class Scaled(nn.Module):
        def forward(self, x):
            return 0.2 * x

    teacher = net_with(lambda c: (conv(c), nn.Sequential(nn.BatchNorm2d(c), Scaled())))
    plain = without_shortcuts(teacher).train()
    initialise_as_plain(plain, ["stage1.block1"], seed=0)
    assert torch.allclose(plain.stage1.block1.body.bn2.weight, torch.full((8,), 5.0))


def test_what_another_branch_leads_past_stays():
    class Within(nn.Module):
        """Global response normalisation's form: ``x + weight * x``, the weight zero at first."""

        def __init__(self, channels):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(channels, 1, 1))

        def forward(self, x):
            return x + self.weight * x.relu()

    teacher = net_with(lambda c: (conv(c), nn.Sequential(Within(c), nn.BatchNorm2d(c))))
    plain = without_shortcuts(teacher)
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    initialise_as_plain(plain, residual_blocks(teacher), seed=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in plain.state_dict().items())


@pytest.fixture
def zero_gamma(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return make_net("zero_gamma:zero_gamma", {"num_classes": 4})


@pytest.mark.parametrize(
    "edits",
    [
        [("without_shortcuts", {})],
        pytest.param([("without_shortcuts", {}), ("with_grouped_convs", {"groups": 4})], marks=pytest.mark.slow),
        [("with_grouped_convs", {"groups": 4}), ("without_shortcuts", {})],
        [("without_shortcuts", {}), ("with_dirac_convs", {})],
        [("at_depth", {"blocks": [1, 1]}), ("without_shortcuts", {})],
        pytest.param([("without_shortcuts", {}), ("fold_batchnorm", {})], marks=pytest.mark.slow),
        [("fold_batchnorm", {}), ("without_shortcuts", {})],
        [("with_shortened_shortcuts", {}), ("without_shortcuts", {})],
        [("without_shortcuts", {"only": ["stage2"]}), ("without_shortcuts", {})],
    ],
)
def test_a_fresh_plain_net_can_learn_whatever_else_was_edited(edits, zero_gamma):
    spec = zero_gamma.spec
    for name, arguments in edits:
        spec = spec.edited(name, **arguments)
    check_can_learn(build(spec, seed=0), IMAGES)


def test_blocks_that_keep_their_shortcut_start_as_it(zero_gamma):
    net = build(zero_gamma.spec.edited("without_shortcuts", only=["stage2"]), seed=0)
    gammas = {name: net.get_submodule(name).weight for name, _ in net.named_modules() if name.endswith("body.bn2")}
    assert {name: float(gamma.max()) for name, gamma in gammas.items()} == {
        name: float(name.startswith("stage2")) for name in gammas
    }


def test_trained_weights_stay(zero_gamma):
    plain = edited(zero_gamma, [("without_shortcuts", {})], seed=0)
    assert float(plain.stage1.block1.body.bn2.weight.abs().max()) == 0


@pytest.mark.parametrize("source", ["resnet20", "wrn-16x1", "mobilenetv2-cifar", "resnet26-bottleneck"])
def test_nets_that_start_as_plain_ones_keep_their_bits(source):
    torch.manual_seed(3)
    net = make_net(source, {"num_classes": 4})
    by_hand = edited(net, [("without_shortcuts", {})], seed=4).state_dict()
    built = build(without_shortcuts(net).spec, seed=3).state_dict()
    assert all(torch.equal(tensor, built[name]) for name, tensor in by_hand.items())


def loss_falls(source, *, steps):
    torch.manual_seed(0)
    net = build(without_shortcuts(make_net(source, {"num_classes": 3})).spec, seed=0).train()
    labels = torch.arange(18) % 3
    colours = F.interpolate(torch.randn(3, 3, 6, 6), size=(64, 64))
    images = colours[labels] + 0.5 * torch.randn(18, 3, 64, 64)
    check_can_learn(net, images[:4])
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-4)
    losses = []
    for _ in range(steps):
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return min(losses[-3:]) < 0.9 * losses[0]


@pytest.mark.parametrize("name", ["resnet10t"])
def test_a_small_net_of_timm_learns_without_shortcuts(name):
    pytest.importorskip("timm")
    assert loss_falls(f"timm:{name}", steps=6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *(
            "resnet26t",
            "resnet26d",
            "seresnext26d_32x4d",
            "ecaresnet26t",
            "skresnet18",
            "resnest14d",
            "res2net50_14w_8s",
        ),
        *(
            "resnetv2_34",
            "convnext_atto_ols",
            "nf_resnet26",
            "resnetblur18",
            "resnetaa34d",
            "seresnet18",
        ),
    ],
)
def test_nets_of_timm_learn_without_shortcuts(name):
    assert torchvision  # timm can import it once it has been made importable
    pytest.importorskip("timm")
    assert loss_falls(f"timm:{name}", steps=30)
