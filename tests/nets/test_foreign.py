"""Networks of other packages, and of a reader's own file, by name."""

import copy
import json
import re
import sys
import textwrap

import pytest
import torch
from torch import nn

from unskip import (
    NetSpec,
    StagedNet,
    UnskipError,
    allow_module,
    build,
    export_net,
    forecast,
    inventory,
    load_net,
    make_net,
    parse,
    run_recipe,
    save_net,
)
from unskip.cli import main
from unskip.data_info import DataInfo
from unskip.edits import fold_batchnorm, without_shortcuts
from unskip.nets import kept_branches
from unskip.nets.shapes import part_shapes
from unskip.recipe import recipe_from
from unskip.surgery import residual_blocks
from unskip.torchvision_compat import torchvision
from unskip.weights import load_weights

from .foreign_nets import FAST, LONG, REFUSED, SIDES
from .random_statistics import with_random_statistics
from .same import assert_same

timm = pytest.importorskip("timm")
NUM_CLASSES = 5


def side_of(source: str) -> int:
    return SIDES.get(source, 224 if source in REFUSED else 64)


def model_of(source: str) -> nn.Module:
    package, _, name = source.partition(":")
    torch.manual_seed(0)
    if package == "timm":
        return with_random_statistics(timm.create_model(name, num_classes=NUM_CLASSES))
    return with_random_statistics(torchvision.models.get_model(name, weights=None, num_classes=NUM_CLASSES))


def images_of(source: str, *, count: int = 2, more: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, side_of(source) + more, side_of(source), generator=generator)


def rounding_of(net: nn.Module, images: torch.Tensor) -> float:
    """How far float32 is from float64, relative to the largest logit."""
    with torch.no_grad():
        exact = copy.deepcopy(net).double().eval()(images.double())
        return ((net.eval()(images) - exact).abs().max() / exact.abs().max()).item()


@pytest.fixture(
    scope="module", params=[*FAST, *(pytest.param(source, marks=pytest.mark.slow) for source in LONG)], ids=str
)
def subject(request) -> tuple[str, nn.Module, StagedNet]:
    model = model_of(request.param)
    return request.param, model, parse(model, images_of(request.param, count=1))


def test_the_same_function_of_other_images(subject):
    source, model, net = subject
    assert_same(model, net, images_of(source, more=32))


def test_without_shortcuts_everything_learns(subject):
    source, _, net = subject
    plain = without_shortcuts(net).train()
    assert not residual_blocks(plain)
    logits = plain(images_of(source))
    assert logits.shape == (2, NUM_CLASSES)
    logits.square().mean().backward()
    assert [name for name, parameter in plain.named_parameters() if parameter.grad is None] == []


def test_measures_and_folding(subject):
    source, _, net = subject
    shape = (3, side_of(source), side_of(source))
    assert forecast(net, shape).peak_bytes > 0
    assert [shortcut.place for shortcut in inventory(net, shape)] == list(residual_blocks(net))
    double, images = copy.deepcopy(net).double(), images_of(source).double()  # some random nets amplify rounding
    with torch.no_grad():
        expected = double.eval()(images)
        folded = fold_batchnorm(double)(images)
    assert (folded - expected).abs().max() < 1e-6 * expected.abs().max()


def test_the_original_s_state_dict_can_be_loaded(subject, tmp_path):
    source, model, net = subject
    torch.save(model.state_dict(), tmp_path / "theirs.pth")
    for tensor in net.state_dict().values():
        tensor.zero_()
    load_weights(net, tmp_path / "theirs.pth")
    images = images_of(source)
    with torch.no_grad():
        assert torch.equal(net.eval()(images), model.eval()(images))


@pytest.mark.parametrize("source", REFUSED)
def test_refused(source):
    if source.endswith("googlenet"):
        model = torchvision.models.googlenet(weights=None, init_weights=False)
    elif source.endswith("inception_v3"):
        model = torchvision.models.inception_v3(weights=None, init_weights=False)
    else:
        model = model_of(source)
    with torch.device("meta"), pytest.raises(UnskipError, match=REFUSED[source]):
        parse(model.to("meta"), torch.empty(2, 3, 224, 224))


@pytest.mark.parametrize(
    ("conv", "folded"),
    [
        (lambda: timm.layers.StdConv2d(8, 8, 3, padding=1), False),
        (lambda: timm.layers.ScaledStdConv2d(8, 8, 3, padding=1), False),
        (lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 8, 3, padding=1)), False),
        (lambda: timm.layers.Conv2dSame(8, 8, 3), True),
    ],
)
def test_folding_into_convolutions_of_other_classes(conv, folded):
    torch.manual_seed(0)
    block = nn.Sequential(conv(), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3))
    model = with_random_statistics(
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    )
    images = torch.randn(2, 3, 16, 16)
    net = parse(model, images).eval()
    without = fold_batchnorm(net)
    assert any(isinstance(module, nn.BatchNorm2d) for module in without.modules()) != folded
    assert torch.allclose(net(images), without(images), atol=1e-5)


# Which branch was kept: for each family the number of blocks, the layers of the first block's body, of the first
# projection, and what no body may hold.
BRANCHES = {
    "torchvision:resnet18": (8, "layer1.0.conv1 layer1.0.bn1 layer1.0.conv2 layer1.0.bn2", "downsample"),
    "torchvision:regnet_y_400mf": (
        16,
        "trunk_output.block1.block1-0.f.a.0 .a.1 .b.0 .b.1 .se.fc1 .se.fc2 .c.0 .c.1",
        "proj",
    ),
    "torchvision:mobilenet_v2": (10, "features.3.conv.0.0 .0.1 .1.0 .1.1 .conv.2 .conv.3", ""),
    "torchvision:mobilenet_v3_small": (6, "features.3.block.0.0 .0.1 .1.0 .1.1 .2.0 .2.1", ""),
    "timm:resnet18d": (8, "layer1.0.conv1 layer1.0.bn1 layer1.0.conv2 layer1.0.bn2", "downsample"),
    "timm:seresnet18": (8, "layer1.0.conv1 .bn1 .conv2 .bn2 .se.fc1 .se.fc2", "downsample"),
    "timm:resnetv2_18": (8, "stages.0.blocks.0.norm1 .conv1 .norm2 .conv2", "downsample"),
    "timm:convnext_atto": (12, "stages.0.blocks.0.conv_dw .norm .fc1 .fc2 .0", ""),
    "timm:res2net50_14w_8s": (16, "layer1.0.conv1 .bn1 .convs.0 .bns.0", "downsample"),
    "timm:ghostnet_050": (16, "blocks.0.0.ghost1.primary_conv.0", "shortcut"),
    "timm:repvgg_a0": (17, "stages.0.1.conv_1x1.conv", "identity"),
    "timm:nf_regnet_b0": (16, "stages.0.0.conv1", "downsample"),
    "timm:regnetx_002": (13, "s1.b1.conv1.conv .conv1.bn .conv2.conv .conv2.bn .conv3.conv .conv3.bn", "downsample"),
    "timm:tf_efficientnet_lite0": (9, "blocks.1.1.conv_pw .bn1 .conv_dw .bn2 .conv_pwl .bn3", ""),
    "torchvision:shufflenet_v2_x0_5": (0, "", ""),
    "torchvision:squeezenet1_1": (0, "", ""),
}


def test_the_convolutions_are_kept_and_the_projections_are_shortcuts(subject):
    source, _, net = subject
    num_blocks, first, projection = BRANCHES.get(source, (None, "", ""))
    blocks = residual_blocks(net)
    assert num_blocks in (None, len(blocks))

    def layers(place: str) -> list[str]:
        names = [theirs for own, theirs in net.original_names.items() if own.startswith(f"{place}.")]
        return list(dict.fromkeys(name.rpartition(".")[0] for name in names))

    for number, (place, block) in enumerate(blocks.items()):
        body, shortcut = layers(f"{place}.body"), layers(f"{place}.shortcut")
        assert any(isinstance(module, nn.Conv2d) for module in block.body.modules())
        if number == 0 and first:
            wanted = first.split()
            assert body[0] == wanted[0]
            assert all(name.endswith(end) for name, end in zip(body, wanted, strict=False))
        if projection:
            assert all(projection in name for name in shortcut)
            assert not any(projection in name for name in body)


PARTS = {
    "torchvision:resnet18": ["pool block1 block2", "block1 block2", "block1 block2", "block1 block2"],
    "timm:resnetv2_18": [
        "pool block1 block2",
        "bn relu block1 block2",
        "bn relu block1 block2",
        "bn1 relu1 block1 block2 bn2 relu2",
    ],
    "timm:convnext_atto": [
        "block1 block2",
        "norm conv block1 block2",
        "norm conv " + " ".join(f"block{number}" for number in range(1, 7)),
        "norm conv block1 block2",
    ],
    "timm:regnetx_002": ["block1", "block1", " ".join(f"block{n}" for n in range(1, 5)), None],
}


@pytest.mark.parametrize("source", PARTS)
def test_stages_are_those_of_the_papers(source):
    net = parse(model_of(source), images_of(source, count=1))
    stages = [" ".join(net.get_submodule(stage)._modules) for stage in net.stage_names]
    assert len(stages) == len(PARTS[source])
    assert all(wanted in (None, found) for found, wanted in zip(stages, PARTS[source], strict=True))


def test_layer_scale_is_no_squeeze_and_excitation():
    net = parse(model_of("timm:convnext_atto"), images_of("timm:convnext_atto"))
    assert list(net.stage1.block1.body._modules) == ["conv1", "norm", "conv2", "gelu", "conv3", "mul"]
    net = parse(model_of("timm:seresnet18"), images_of("timm:seresnet18"))
    assert list(net.stage1.block1.body._modules) == ["conv1", "bn1", "relu", "conv2", "bn2", "se"]
    assert set(kept_branches(net).values()) == {"branches that meet in mul"}


EXPORTED = ("timm:seresnet18", "timm:convnext_atto")


@pytest.mark.parametrize(
    "source",
    [*EXPORTED, *(pytest.param(source, marks=pytest.mark.slow) for source in (*FAST, *LONG) if source not in EXPORTED)],
)
def test_export(source, tmp_path):
    net = fold_batchnorm(without_shortcuts(parse(model_of(source), images_of(source, count=1))))
    images = images_of(source)
    # Fifty random layers without shortcuts amplify rounding: what float32 loses against float64 a file may lose too.
    exported = export_net(net, tmp_path / "net.onnx", images, tolerance=1e-3 + 3 * rounding_of(net, images))
    assert exported.max_difference <= exported.tolerance


# By name


@pytest.mark.parametrize("source", ["torchvision:mobilenet_v3_small", "timm:resnet10t"])
def test_a_spec_builds_the_net_again(source, tmp_path):
    spec = NetSpec(source, {"num_classes": 4, "in_channels": 1}).edited("without_shortcuts", keep=["stage2"])
    again = NetSpec.from_json(json.loads(json.dumps(spec.to_json())))
    nets = [build(each, seed=0).eval() for each in (spec, again)]
    assert all(torch.equal(one, two) for one, two in zip(*(net.state_dict().values() for net in nets), strict=True))
    images = torch.randn(2, 1, 64, 64)
    assert nets[0](images).shape == (2, 4)
    save_net(nets[0], tmp_path / "net.safetensors", DataInfo(tuple("abcd"), (1, 64, 64), (0.5,), (0.5,)))
    loaded, _ = load_net(tmp_path / "net.safetensors")
    assert loaded.spec.to_json() == nets[0].spec.to_json()
    assert torch.equal(loaded(images), nets[0](images))


def test_without_memory():
    """`unskip.run` looks at shapes before anything is read; RegNet's factory computes with values."""
    for source in ("torchvision:regnet_y_400mf", "timm:resnet10t"):
        with torch.device("meta"):
            net = make_net(source, {"num_classes": 4})
        assert all(tensor.is_meta for tensor in net.state_dict().values())
        there = make_net(source, {"num_classes": 4})
        assert list(net.state_dict()) == list(there.state_dict())
        assert net.training
        assert there.training


OWN = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, classes, channels):
            super().__init__()
            self.conv = nn.Conv2d(channels, 8, 3, padding=1)
            self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                                      nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
            self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
            self.fc = nn.Linear(12, classes)

        def forward(self, x):
            x = torch.relu(self.conv(x))
            x = torch.relu(self.down(torch.relu(self.body(x) + x)))
            return self.fc(x.mean((2, 3)))

    def build(num_classes=10, in_channels=3):
        return Net(num_classes, in_channels)

    def timm_like(num_classes=10, in_chans=3):
        return Net(num_classes, in_chans)

    def fixed():
        return Net(10, 3)

    def anything(**kwargs):
        return Net(kwargs.get("num_classes", 10), 3)

    def with_options(num_classes, *, width=1, in_channels=3):
        if width < 1:
            raise ValueError("width must be positive")
        return Net(num_classes, in_channels)

    def no_module():
        return 3

    def attention():
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(4))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(textwrap.dedent(OWN))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("own_nets", None)


@pytest.mark.parametrize("name", ["build", "timm_like", "fixed", "anything", "with_options"])
@pytest.mark.parametrize("channels", [1, 3])
def test_own_factories(own, name, channels):
    path = list(sys.path)
    net = make_net(f"own_nets:{name}", {"num_classes": 4, "in_channels": channels})
    assert sys.path == path
    assert net(torch.randn(2, channels, 16, 16)).shape == (2, 4)
    assert list(residual_blocks(net)) == ["stage1.block1"]
    assert net.spec.source == f"own_nets:{name}"
    assert sorted(net.original_names.values())[:2] == ["body.0.weight", "body.1.bias"]


def test_own_classes_and_their_options(own):
    net = make_net("own_nets:Net", {"num_classes": 4, "classes": 4, "channels": 3})
    assert net.head.fc.out_features == 4
    assert make_net("own_nets:with_options", {"num_classes": 4, "width": 2}).spec.options["width"] == 2


WRONG = {
    "torchvision:resnet19": "torchvision has no network 'resnet19' that classifies or segments; did you mean",
    "torchvision:raft_small": "torchvision has no network 'raft_small' that classifies or segments",
    "torchvision:ssd300_vgg16": "its backbone is torchvision:ssd300_vgg16.backbone",
    "torchvision:fcn_resnet50.head": "there is no module 'head' in it (there are backbone, classifier)",
    "timm:seresnet51": "timm has no network 'seresnet51'; did you mean 'seresnet50'?",
    "no_such_module:build": "no_such_module:build: No module named 'no_such_module' (a module is looked for in this",
    ":build": ":build: '' is no module's name; expected PACKAGE.MODULE, as in an import",
    "..own_nets:build": "'..own_nets' is no module's name",
    "own_nets/x:build": "'own_nets/x' is no module's name",
    "timm:hf-hub:timm/resnet18.a1_in1k": "timm has no network 'hf-hub:timm/resnet18.a1_in1k'",
    "timm:local-dir:own_nets": "timm has no network 'local-dir:own_nets'",
    "timm:../resnet18": "timm has no network '../resnet18'",
    "own_nets:biuld": "own_nets has nothing named 'biuld'; did you mean 'build'?",
    "own_nets:": "own_nets has nothing named ''",
    "own_nets:nn": "own_nets:nn is no network: expected a class that is a torch.nn.Module or a function",
    "own_nets:no_module": "own_nets:no_module gives int, which is no torch.nn.Module",
    "own_nets:Net": "own_nets:Net cannot be made with",
}


@pytest.mark.parametrize("source", WRONG)
def test_wrong_names_are_said_in_one_sentence(own, source, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(UnskipError, match=re.escape(WRONG[source])) as caught:
        make_net(source)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(sys, "argv", ["unskip", "inspect", source])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = " ".join("".join(capsys.readouterr()).split())
    assert WRONG[source] in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("source", "options", "saying"),
    [
        ("torchvision:resnet18", {"widht": 3}, "torchvision:resnet18 cannot be made with .*widht"),
        ("timm:resnet18", {"widht": 3}, "timm:resnet18 cannot be made with .*widht"),
        ("own_nets:build", {"width": 3}, "own_nets:build cannot be made with .*width"),
        ("own_nets:with_options", {"num_classes": 4, "width": 0}, "width must be positive"),
        ("own_nets:build", {"num_classes": "four"}, "own_nets:build: num_classes"),
        ("own_nets:attention", {}, "own_nets:attention: "),
        ("timm:resnet18", {"checkpoint_path": "a.pth"}, "the option checkpoint_path is not taken"),
        ("timm:resnet18", {"pretrained": True}, "the option pretrained is not taken"),
        ("timm:resnet18", {"pretrained_cfg": {"file": "a.pth"}}, "the option pretrained_cfg is not taken"),
        ("torchvision:resnet18", {"weights": "DEFAULT"}, "the option weights is not taken"),
        ("torchvision:resnet18", {"norm_layer": "os.system"}, "torchvision:resnet18 cannot be made with"),
    ],
)
def test_wrong_options(own, source, options, saying):
    with pytest.raises(UnskipError, match=saying) as caught:
        make_net(source, options)
    assert "\n" not in str(caught.value)


def test_a_run_with_an_own_teacher(own):
    allow_module("own_nets")
    recipe = {
        "data": {"name": "digits", "limit": 200, "test_limit": 60},
        "teacher": {"net": "own_nets:build"},
        "methods": {"ce": {}, "align_kd": {}, "fade_kd": {}},
        "training": {"epochs": 1, "batch_size": 50},
        "measure": {"latency": False, "parity_images": 10, "runtime": "torch"},
    }
    results = run_recipe(recipe_from(recipe), own / "run")
    assert [net.label for net in results.nets] == ["teacher", "ce", "align_kd", "fade_kd"]
    assert [results.subject(net).shortcuts for net in results.nets] == [1, 0, 0, 0]
    for net in results.nets:
        loaded, info = load_net(own / "run" / "nets" / f"{net.label}.safetensors")
        assert len(info.mean) == 1
        assert loaded(torch.randn(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.slow
def test_nets_of_torchvision_that_answer_with_maps():
    with torch.device("meta"):
        segmenting = make_net("torchvision:fcn_resnet50", {"num_classes": 5})
        backbone = make_net("torchvision:fasterrcnn_resnet50_fpn.backbone")
    assert part_shapes(segmenting)["head"] == {"out": (5, 64, 64)}
    assert list(part_shapes(backbone)["head"]) == ["0", "1", "2", "3", "pool"]
    assert segmenting.stage_names == backbone.stage_names == ("stage1", "stage2", "stage3", "stage4")
    with pytest.raises(UnskipError, match="leave out `num_classes`"):
        make_net("torchvision:fasterrcnn_resnet50_fpn.backbone", {"num_classes": 5})
