"""Networks that answer with maps, or with several tensors: their parts, and the head that joins their maps."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import UnskipError, forecast, inventory, parse
from unskip.answers import answer_names, named_answers, with_tensors
from unskip.edits import with_fading_shortcuts, without_shortcuts
from unskip.nets import StagedNet, kept_branches
from unskip.nets.fading import set_shortcut_factor
from unskip.nets.shapes import part_shapes, stage_shapes
from unskip.nets.staged_net import Joining
from unskip.surgery import fold_batchnorm, residual_blocks, without_faded_shortcuts
from unskip.torchvision_compat import torchvision

from .random_statistics import with_random_statistics
from .same import assert_same

IMAGES = torch.randn(2, 3, 24, 20, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(x + self.bn(self.conv(x)))


class Trunk(nn.Module):
    """Three stages: the second lowers the resolution, the third dilates instead."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.one = nn.Sequential(Block(4), Block(4))
        self.two = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), Block(8))
        self.three = nn.Sequential(Block(8, 2), Block(8, 2))

    def forward(self, x):
        one = self.one(self.stem(x))
        two = self.two(one)
        return one, two, self.three(two)


class Net(nn.Module):
    """A trunk, and what ``answer`` makes of its maps and of the images."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.trunk = Trunk()
        self.fuse = nn.Conv2d(12, 5, 1)
        self.last = nn.Conv2d(8, 5, 1)
        self.lateral = nn.Conv2d(4, 8, 1)
        self.fc = nn.Linear(8, 6)
        self.answer = answer

    def forward(self, images):
        return self.answer(self, images, *self.trunk(images))


def segmentation(net, images, one, two, three):
    return {"out": F.interpolate(net.last(three), images.shape[-2:], mode="bilinear")}


def two_maps(net, images, one, two, three):
    n, _, height, width = images.size()
    auxiliary = F.interpolate(net.fuse(torch.cat([F.interpolate(two, one.shape[-2:]), one], 1)), (height, width))
    return {"out": F.interpolate(net.last(three), (height, width)).view(n, 5, height, width), "more": [auxiliary]}


def pyramid(net, images, one, two, three):
    lateral = net.lateral(one)
    return lateral + F.interpolate(three, lateral.shape[-2:]), three


def decoder(net, images, one, two, three):
    return net.fuse(torch.cat([F.interpolate(three, size=(one.size(2), one.size(3))), one], 1))


def logits_and_map(net, images, one, two, three):
    return net.fc(three.mean((2, 3))), two


STAGES = ["stage1", "stage2", "stage3"]
ANSWERS = {  # what they read beside the last map, and the names of the tensors
    segmentation: (("images.shape",), ["out"]),
    two_maps: (("images.shape", "stage1", "stage2"), ["out", "more.0"]),
    pyramid: (("stage1",), ["0", "1"]),
    decoder: (("stage1",), ["output"]),
    logits_and_map: (("stage2",), ["0", "1"]),
}


@pytest.fixture(scope="module", params=ANSWERS, ids=lambda answer: answer.__name__)
def case(request) -> tuple[nn.Module, StagedNet]:
    torch.manual_seed(0)
    model = with_random_statistics(Net(request.param))
    return model, parse(model, IMAGES)


def test_parts(case):
    model, net = case
    reads, names = ANSWERS[model.answer]
    assert net.part_names == ("stem", *STAGES, "head")
    assert list(residual_blocks(net)) == [f"stage{s}.block{b}" for s, b in ((1, 1), (1, 2), (2, 1), (3, 1), (3, 2))]
    assert isinstance(net.head, Joining)
    assert net.head.reads == reads
    assert net.handed_on == {read.removesuffix(".shape") for read in reads}
    assert bool(kept_branches(net)) == any(not read.endswith(".shape") for read in reads)
    assert stage_shapes(net, 24) == [(4, 24, 24), (8, 12, 12), (8, 12, 12)]
    shapes = part_shapes(net, 24)["head"]
    assert [shapes] == [(5, 24, 24)] if names == ["output"] else list(shapes) == names


@pytest.mark.parametrize("size", [(24, 20), (17, 31), (9, 12)])
def test_same_answers(case, size):
    model, net = case
    images = torch.randn(3, 3, *size)
    assert_same(model, net, images)
    assert list(named_answers(copy.deepcopy(net)(images))) == ANSWERS[model.answer][1]


def test_features_outputs_and_slices(case):
    model, net = case
    net = copy.deepcopy(net).eval()
    maps, answers = net.features(IMAGES)
    assert all(torch.equal(own, theirs) for own, theirs in zip(maps, model.eval().trunk(IMAGES), strict=True))
    outputs = net.outputs(IMAGES)
    assert list(outputs) == list(net.part_names)
    assert torch.equal(net[:3](IMAGES), maps[1])
    hybrid = net[:2] + copy.deepcopy(net)[2:]
    for same in (net(IMAGES), outputs["head"], hybrid(IMAGES)):
        pairs = zip(named_answers(answers).values(), named_answers(same).values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    with pytest.raises(UnskipError, match="a head that reads"):
        net[3:](maps[1])


def test_edits(case):
    _, net = case
    net = copy.deepcopy(net).eval()
    expected = named_answers(net(IMAGES))
    folded = named_answers(fold_batchnorm(net)(IMAGES))
    fading = with_fading_shortcuts(net)
    assert all(torch.equal(tensor, named_answers(fading(IMAGES))[name]) for name, tensor in expected.items())
    set_shortcut_factor(fading, 0.0)
    plain = named_answers(without_shortcuts(net)(IMAGES))
    faded = named_answers(without_faded_shortcuts(fading)(IMAGES))
    for name, tensor in expected.items():
        torch.testing.assert_close(folded[name], tensor, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(faded[name], plain[name])
        assert not torch.allclose(plain[name], tensor)


def test_a_map_that_the_head_reads_stays_when_batchnorms_fold():
    """A pre-activation stage begins with the BatchNorm of a map that is an answer."""

    class Early(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.bn, self.b = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, 2)

        def forward(self, x):
            x = self.a(x)
            return x, self.b(F.relu(self.bn(x)))

    net = parse(with_random_statistics(Early()), IMAGES).eval()
    for one, other in zip(fold_batchnorm(net)(IMAGES), net(IMAGES), strict=True):
        torch.testing.assert_close(one, other)


def test_figures(case):
    """What the head reads lives until then; a shape holds nothing."""
    _, net = case
    timeline = forecast(net, (3, 24, 24), bytes_per_element=1)
    second = next(operation for operation in timeline.operations if operation.name.startswith("stage3.block2"))
    held = {read: 4 * 24 * 24 if read == "stage1" else 8 * 12 * 12 for read in net.head.reads if "." not in read}
    assert second.live_bytes == 2 * 8 * 12 * 12 + sum(held.values())
    assert [shortcut.place for shortcut in inventory(net, (3, 24, 24))] == list(residual_blocks(net))


def test_names_and_back():
    a, b, c = torch.zeros(1, 2), torch.zeros(1, 2, 3, 3), torch.zeros(4)
    answers = {"out": a, "more": [b, (c,)]}
    assert answer_names(answers) == {"out": "out", "more": ["more.0", ["more.1.0"]]}
    assert named_answers(answers) == {"out": a, "more.0": b, "more.1.0": c}
    assert with_tensors(answer_names(answers), [a, b, c]) == {"out": a, "more": [b, [c]]}
    assert (answer_names(a), answer_names(b)) == ("logits", "output")


FAMILIES = {
    "fcn": (lambda: segmentation_net("fcn_resnet50", aux_loss=True), ("images.shape", "stage3"), ["out", "aux"]),
    "deeplab": (lambda: segmentation_net("deeplabv3_resnet50"), ("images.shape",), ["out"]),
    "pyramid": (
        lambda: torchvision.models.detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).backbone,
        ("stage1", "stage2", "stage3"),
        ["0", "1", "2", "3", "pool"],
    ),
}


def segmentation_net(name: str, **options) -> nn.Module:
    return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=21, **options)


@pytest.mark.parametrize(
    "name", ["fcn", *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES if name != "fcn")]
)
def test_torchvision(name):
    make, reads, names = FAMILIES[name]
    torch.manual_seed(0)
    model = with_random_statistics(make())
    net = parse(model, torch.randn(2, 3, 64, 64))  # which compares in both modes, bit by bit
    assert [len([1 for block in residual_blocks(net) if block.startswith(stage)]) for stage in net.stage_names] == [
        3,
        4,
        6,
        3,
    ]
    assert net.head.reads == reads
    assert list(part_shapes(net)["head"]) == names
