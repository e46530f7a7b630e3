"""What every network keeps, as it is and after every edit. The subjects are found by listing `NETS` and `FAMILIES`.

One network of each kind (same factory, same head, same stem) meets every edit, and several edits together in turn; of
a kind for small images and the same for larger ones each meets what depends on the stem, and the other edits in turn.
All else is in the slow suite.
"""

import contextlib
import copy
import json
import re
from functools import partial

import pytest
import torch
from torch import nn

from unskip import NetSpec, StagedNet, UnskipError, build, export_net, forecast, make_net
from unskip.nets import FAMILIES, NETS, find_net
from unskip.settings import arguments_of
from unskip.surgery import (
    at_depth,
    can_be_shortened,
    fold_batchnorm,
    residual_blocks,
    with_dirac_convs,
    with_grouped_convs,
    with_lean_stem,
    with_pruned_channels,
    with_shortened_shortcuts,
    without_shortcuts,
    without_shortcuts_exactly,
)

NUM_CLASSES, IN_CHANNELS = 7, 2
OF_FAMILIES = ("resnet8", "resnet110", "wrn-10x1", "wrn-16x4")
# As small as can be divided into groups of 4 channels.
SMALL = {"width": 8, "width_mult": 0.25, "num_classes": NUM_CLASSES, "in_channels": IN_CHANNELS}


def small_options(name: str) -> dict:
    return {key: value for key, value in SMALL.items() if key in arguments_of(find_net(name).factory).model_fields}


def small_side(name: str) -> int:
    """Pixels that leave a few after the last stage; five pools need 32."""
    if name.startswith("vgg"):
        return 32
    return 16 if find_net(name).image_size == 32 else 48


def kind_of(name: str) -> tuple:
    """What tells factories apart but for the number of layers."""
    factory = find_net(name).factory
    if not isinstance(factory, partial):
        return (factory,)
    blocks = [argument for argument in factory.args if callable(argument)]
    forms = [name for name in ("small_images", "average_max_head") if factory.keywords.get(name)]
    return (factory.func, *blocks, *forms)


KINDS = {kind_of(name): name for name in reversed(NETS)}


def num_blocks(net: StagedNet) -> list[int]:
    return [sum(child.startswith("block") for child in net.get_submodule(stage)._modules) for stage in net.stage_names]


def shallowest(net: StagedNet) -> StagedNet:
    return at_depth(net, blocks=[1] * len(net.stage_names))


def middle(net: StagedNet) -> StagedNet:
    return at_depth(net, blocks=[(count + 1) // 2 for count in num_blocks(net)])


def grouped(net: StagedNet) -> StagedNet:
    return with_grouped_convs(net, groups=2)


def grouped_by_channels(net: StagedNet) -> StagedNet:
    return with_grouped_convs(net, channels_per_group=4)


def grouped_plain(net: StagedNet) -> StagedNet:
    return without_shortcuts(grouped(net))


def dirac_plain(net: StagedNet) -> StagedNet:
    return with_dirac_convs(without_shortcuts(net))


def lean_and_shortened(net: StagedNet) -> StagedNet:
    """Both as far as the network goes."""
    blocks = residual_blocks(net)
    net = with_shortened_shortcuts(net, keep=[place for place, block in blocks.items() if not can_be_shortened(block)])
    with contextlib.suppress(UnskipError):
        net = with_lean_stem(net)
    return net


def grouped_pruned(net: StagedNet) -> StagedNet:
    return with_pruned_channels(grouped(net), ratio=0.5)


def plain_pruned(net: StagedNet) -> StagedNet:
    return with_pruned_channels(without_shortcuts(net), ratio=0.25)


SINGLE = {
    "as-is": lambda net: net,
    "plain": without_shortcuts,
    "g2": grouped,
    "G4": grouped_by_channels,
    "dirac-plain": dirac_plain,
    "lean-shortened": lean_and_shortened,
    "shallowest": shallowest,
    "middle": middle,
    "folded": fold_batchnorm,
    "exactly-plain": without_shortcuts_exactly,
}
TOGETHER = {
    "g2-plain": grouped_plain,
    "G4-plain": lambda net: without_shortcuts(grouped_by_channels(net)),
    "plain-shallowest": lambda net: shallowest(without_shortcuts(net)),
    "plain-middle": lambda net: middle(without_shortcuts(net)),
    "g2-shallowest": lambda net: shallowest(grouped(net)),
    "g2-middle": lambda net: middle(grouped(net)),
    "g2-plain-shallowest": lambda net: shallowest(grouped_plain(net)),
    "g2-plain-middle": lambda net: middle(grouped_plain(net)),
    "plain-folded": lambda net: fold_batchnorm(without_shortcuts(net)),
    "g2-plain-folded": lambda net: fold_batchnorm(grouped_plain(net)),
    "g2-pruned": grouped_pruned,
    "plain-pruned": plain_pruned,
}
FORMS = SINGLE | TOGETHER
TURNS = 5  # a fifth of the kinds meets each form of several edits
OF_STEMS = ("as-is", "plain", "lean-shortened")
ELSEWHERE = ("resnet101", "resnet152")  # in test_torchvision.py, and with stems of smaller kinds here


def in_quick_suite(name: str, form: str) -> bool:
    kinds = list(KINDS.values())
    if name not in kinds:
        return form == "as-is" and not name.startswith(ELSEWHERE)
    if form in OF_STEMS:
        return True
    if form in SINGLE:
        twins = [kind for kind in kinds if kind.removesuffix("-cifar") == name.removesuffix("-cifar")]
        return twins[list(SINGLE).index(form) % len(twins)] == name
    return (kinds.index(name) + list(TOGETHER).index(form)) % TURNS == 0


def subjects() -> list:
    found = []
    for name in (*NETS, *OF_FAMILIES):
        for form in FORMS:
            marks = [] if in_quick_suite(name, form) else [pytest.mark.slow]
            found.append(pytest.param((name, form), id=f"{name}-{form}", marks=marks))
    return found


def random_images(name: str, count: int, *, seed: int, more: tuple[int, int] = (0, 0)) -> torch.Tensor:
    side = small_side(name)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, IN_CHANNELS, side + more[0], side + more[1], generator=generator)


def norms_of(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def settle(net: StagedNet, images: torch.Tensor) -> torch.Tensor:
    """Give every BatchNorm exactly the (biased) statistics of these images; return the train-mode logits, no dropout.

    In eval mode the network then computes for these images what it computes in train mode.
    """
    inputs = {}
    hooks = [
        norm.register_forward_pre_hook(lambda norm, args: inputs.__setitem__(norm, args[0].numel() // args[0].shape[1]))
        for norm in norms_of(net)
    ]
    net.train()
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    for norm in norms_of(net):
        norm.momentum = 1.0
    with torch.no_grad():
        logits = net(images)
    for hook in hooks:
        hook.remove()
    for norm, count in inputs.items():
        norm.running_var *= (count - 1) / count  # running_var holds the unbiased variance
        norm.momentum = 0.1
    net.eval()
    return logits


class Subject:
    """A network of small size after an edit, in eval mode, and the name that it came from."""

    def __init__(self, name: str, form: str) -> None:
        self.name = name
        torch.manual_seed(0)
        original = make_net(name, small_options(name))
        settle(original, random_images(name, 4, seed=0))
        self.net = FORMS[form](original)
        settle(self.net, random_images(name, 4, seed=0))


@pytest.fixture(scope="module", params=subjects())
def subject(request) -> Subject:
    return Subject(*request.param)


def relative_difference(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).abs().max() / two.abs().max())


def test_shapes(subject):
    """Logits for images of the usual and of odd sizes; one map for each stage, none overwritten by what runs later."""
    net = subject.net
    for more in ((0, 0), (3, 5)):
        images = random_images(subject.name, 2, seed=1, more=more)
        with torch.no_grad():
            logits = net(images)
            assert logits.shape == (2, NUM_CLASSES)
            assert bool(logits.isfinite().all())
            assert logits[0].ne(logits[1]).any(), "the logits depend on the image"
            maps, again = net.features(images)
            assert torch.equal(again, logits)
            assert len(maps) == len(net.stage_names)
            x = images
            taken = iter(maps)
            for name, part in net.named_parts():
                x = part(x.clone())  # what a later part does in place stays its own
                if name.startswith("stage"):
                    assert torch.equal(next(taken), x), f"the map of {name} was overwritten"


def test_every_parameter_learns(subject):
    """In eval mode every parameter moves the logits: also a bias that BatchNorm would cancel in train mode."""
    net = copy.deepcopy(subject.net)
    moved = {name: False for name, _ in net.named_parameters()}
    for seed in range(3):
        images = random_images(subject.name, 4, seed=seed)
        logits = net(images)
        net.zero_grad()
        (logits * torch.randn(logits.shape, generator=torch.Generator().manual_seed(seed))).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, f"{name} has no gradient"
            assert bool(parameter.grad.isfinite().all()), name
            moved[name] |= bool(parameter.grad.any())
        if all(moved.values()):
            break
    assert all(moved.values()), [name for name, ever in moved.items() if not ever]
    net.train().zero_grad()
    net(images).square().mean().backward()
    assert all(bool(parameter.grad.isfinite().all()) for parameter in net.parameters())


def test_train_and_eval_mode_agree(subject):
    """With the statistics of a batch, eval mode computes what train mode does; and each image by itself.

    A hundred random layers without shortcuts amplify rounding by up to 1e12, so where the two differ by more, images
    that differ in the last bit show how much rounding can do.
    """
    net = copy.deepcopy(subject.net).double()
    images = random_images(subject.name, 4, seed=2).double()
    trained = settle(net, images)
    with torch.no_grad():
        logits = net(images)
        alone = net(images[1:2])
    assert relative_difference(alone, logits[1:2]) < 1e-9
    difference = relative_difference(logits, trained)
    if difference >= 1e-9:
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).double()
        by_rounding = relative_difference(settle(net, images * (1 + 1e-15 * noise)), trained)
        assert difference < 100 * by_rounding


def test_spec_and_weights_are_the_net(subject):
    net = subject.net
    images = random_images(subject.name, 2, seed=3)
    spec = NetSpec.from_json(json.loads(json.dumps(net.spec.to_json())))
    assert spec.to_json() == net.spec.to_json()
    again = build(spec, seed=4)
    assert again.spec.to_json() == net.spec.to_json()
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(images), net(images))


def test_a_copy_is_equal_and_independent(subject):
    net = subject.net
    images = random_images(subject.name, 2, seed=3)
    before = net(images)
    twin = copy.deepcopy(net)
    assert twin.spec == net.spec
    assert torch.equal(twin(images), before)
    with torch.no_grad():
        for tensor in twin.state_dict().values():
            tensor.add_(1)
    assert torch.equal(net(images), before)


def test_forecast(subject):
    side = small_side(subject.name)
    timeline = forecast(subject.net, (IN_CHANNELS, side, side + 4))
    assert timeline.peak_bytes >= IN_CHANNELS * side * (side + 4)
    assert len(timeline.operations) > len(subject.net.stage_names)


EXPORTED = ("as-is", "plain", "g2-plain", "middle", "dirac-plain", "folded")


def exported() -> list:
    """In the quick suite every kind is exported in one form, in turn."""
    turns = {name: EXPORTED[turn % len(EXPORTED)] for turn, name in enumerate(KINDS.values())}
    return [
        pytest.param(name, form, id=f"{name}-{form}", marks=[] if turns.get(name) == form else [pytest.mark.slow])
        for name in (*NETS, *OF_FAMILIES)
        for form in EXPORTED
    ]


@pytest.mark.parametrize(("name", "form"), exported())
def test_export(name, form, tmp_path):
    """The file agrees with the net as far as the net, in single precision, agrees with itself in double."""
    net = Subject(name, form).net
    images = random_images(name, 3, seed=5)
    with torch.no_grad():
        rounding = relative_difference(net(images).double(), copy.deepcopy(net).double()(images.double()))
    allowed = {} if rounding < 1e-4 else {"tolerance": 10 * rounding}
    shown = export_net(net, tmp_path / "net.onnx", images, **allowed)
    assert shown.max_difference <= shown.tolerance


def test_every_family_has_a_subject():
    for family in FAMILIES:
        pattern = re.sub("[A-Z]+", r"\\d+", family)
        assert any(re.fullmatch(pattern, name) and name not in NETS for name in OF_FAMILIES)
