import copy
import json

import pytest
import torch
from torch import nn

from unskip import NetSpec, StagedNet, UnskipError, build, load_net, make_net, save_net
from unskip.data_info import DataInfo
from unskip.edits import fold_batchnorm
from unskip.surgery import (
    at_depth,
    extract,
    with_depth_statistics,
    with_recalibrated_statistics,
    without_depth_statistics,
    without_shortcuts,
)
from unskip.surgery import edited as make_edits

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))

# A net, its options, and a depth that its blocks allow.
NETS = [
    ("resnet20", {"width": 4}, (1, 3, 2)),
    ("resnet20", {"width": 4}, (0, 1, 1)),
    ("resnet18", {"width": 4}, (0, 1, 2, 1)),
    ("resnet50-cifar", {"width": 4}, (3, 2, 4, 1)),
    ("resnet26-stagewise", {"width": 4}, (1, 1, 2, 2)),
    ("wrn-22x2", {"width": 4}, (1, 2, 3)),
    ("mobilenetv2", {"width_mult": 0.25}, (1, 1, 2, 4, 1, 2, 1)),
    ("mobilenetv2-cifar", {"width_mult": 0.25}, (0, 1, 1, 3, 2, 1, 1)),
    ("vgg16-cifar", {"width": 4}, (1, 1, 2, 2, 2)),
    ("vgg19-cifar", {"width": 4}, (2, 1, 4, 1, 0)),
]


def small_net(name: str = "resnet20", options: dict | None = None) -> StagedNet:
    torch.manual_seed(0)
    net = make_net(name, {"num_classes": 5, **(options or {"width": 4})})
    with torch.no_grad():
        for _ in range(3):
            net(IMAGES + 0.1)
    return net.eval()


def run_by_hand(net: StagedNet, blocks, images):
    x = images
    left = iter(blocks)
    for name, part in net.named_parts():
        if not name.startswith("stage"):
            x = part(x)
            continue
        count = next(left)
        for child, module in part.named_children():
            if not child.startswith("block") or int(child.removeprefix("block")) <= count:
                x = module(x)
    return x


def tensors_of(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def changed(net: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}


def statistics_names(net: nn.Module) -> set[str]:
    return {name for name, _ in net.named_buffers() if "running" in name or "num_batches" in name}


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("name", "options", "blocks"), NETS)
def test_a_sub_net_is_the_first_blocks(name, options, blocks, plain):
    net = small_net(name, options)
    net = without_shortcuts(net).eval() if plain else net
    sub = net.at_depth(*blocks)
    with torch.no_grad():
        expected = run_by_hand(net, blocks, IMAGES)
        assert torch.equal(sub(IMAGES), expected)
        assert not torch.equal(net(IMAGES), expected)
        maps, logits = sub.features(IMAGES)
    assert torch.equal(logits, expected)
    assert len(maps) == len(blocks)
    assert sub.part_names == net.part_names
    assert set(sub.state_dict()) < set(net.state_dict())
    for key, parameter in sub.named_parameters():
        assert parameter is net.get_parameter(key)
    for key, buffer in sub.named_buffers():
        assert buffer is net.get_buffer(key)


@pytest.mark.parametrize(("name", "options", "blocks"), NETS)
def test_extracted_it_is_a_net_of_its_own(name, options, blocks):
    net = small_net(name, options)
    before = tensors_of(net)
    sub = net.at_depth(*blocks)
    own = extract(sub)
    assert torch.equal(own(IMAGES), sub(IMAGES))
    places = [{tensor.data_ptr() for tensor in subject.state_dict().values()} for subject in (own, net)]
    assert not places[0] & places[1]
    twin = at_depth(net, blocks=list(blocks))
    assert torch.equal(twin(IMAGES), sub(IMAGES))
    built = build(NetSpec.from_json(json.loads(json.dumps(sub.spec.to_json()))), seed=7)
    assert list(built.state_dict()) == list(own.state_dict())
    built.load_state_dict(own.state_dict())
    assert torch.equal(built.eval()(IMAGES), sub(IMAGES))
    for parameter in own.parameters():
        parameter.data.add_(1)
    own.train()(IMAGES)
    assert not changed(net, before)


def test_what_changes_in_the_net_is_seen_in_the_sub_net_and_back():
    net = small_net()
    sub = net.at_depth(1, 2, 1)
    before = sub(IMAGES)
    with torch.no_grad():
        net.stage2.block2.body.conv1.weight.mul_(-1)
    assert not torch.equal(sub(IMAGES), before)
    middle = sub(IMAGES)
    with torch.no_grad():
        net.stage2.block3.body.conv1.weight.mul_(-1)
    assert torch.equal(sub(IMAGES), middle), "that block is not in it"
    full = net(IMAGES)
    optimizer = torch.optim.SGD(sub.parameters(), lr=0.1)
    sub(IMAGES).square().sum().backward()
    assert net.stage2.block2.body.conv1.weight.grad is not None
    assert net.stage2.block3.body.conv1.weight.grad is None
    optimizer.step()
    assert not torch.equal(net(IMAGES), full)


def test_full_depth_is_the_net():
    net = small_net()
    full = net.at_depth(3, 3, 3)
    assert list(full.state_dict()) == list(net.state_dict())
    assert torch.equal(full(IMAGES), net(IMAGES))


def test_a_sub_net_of_a_sub_net():
    net = small_net()
    assert torch.equal(net.at_depth(2, 3, 2).at_depth(1, 2, 2)(IMAGES), net.at_depth(1, 2, 2)(IMAGES))
    with pytest.raises(UnskipError, match="stage1 has 2 blocks, 3 cannot be kept"):
        net.at_depth(2, 3, 2).at_depth(3, 1, 1)


@pytest.mark.parametrize(
    ("name", "options", "blocks", "says"),
    [
        ("resnet20", {"width": 4}, (1, 0, 1), "stage2.block1 cannot be left out: it turns 4 channels into 8"),
        ("resnet50", {"width": 4}, (0, 1, 1, 1), "stage1.block1 cannot be left out: it turns 4 channels into 16"),
        ("wrn-16x2", {"width": 4}, (0, 1, 1), "stage1.block1 cannot be left out: it turns 4 channels into 8"),
        ("vgg16-cifar", {"width": 4}, (1, 1, 0, 1, 1), "stage3.block1 cannot be left out: it turns 8 channels into 16"),
        (
            "mobilenetv2",
            {"width_mult": 0.25},
            (1, 0, 1, 1, 1, 1, 1),
            "stage2.block1 cannot be left out: it changes the resolution",
        ),
        ("resnet20", {"width": 4}, (4, 1, 1), "stage1 has 3 blocks, 4 cannot be kept"),
        ("resnet20", {"width": 4}, (-1, 1, 1), "stage1 has 3 blocks, -1 cannot be kept|at least 0"),
        ("resnet20", {"width": 4}, (1, 1), "each of 3 stages, not 2: 1, 1"),
        ("resnet20", {"width": 4}, (), "each of 3 stages, not 0"),
        ("resnet20", {"width": 4}, (1, 1, 1, 1), "each of 3 stages, not 4"),
    ],
)
@pytest.mark.parametrize("edit", ["method", "statistics", "plain"])
def test_depths_that_cannot_be(name, options, blocks, says, edit):
    net = make_net(name, options)
    with pytest.raises(UnskipError, match=says):
        if edit == "statistics":
            with_depth_statistics(net, depths=[[1] * len(net.stage_names), list(blocks)])
        elif edit == "plain":
            without_shortcuts(net).at_depth(*blocks)
        else:
            net.at_depth(*blocks)


def test_looking_for_what_can_go_leaves_the_net_alone():
    net = small_net("wrn-16x2").train()
    before = tensors_of(net)
    net.at_depth(1, 1, 1)
    assert not changed(net, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["resnet20", "vgg13-cifar"])
def test_depths_in_other_precisions(name, dtype):
    net = small_net(name).to(dtype)
    assert net.at_depth(*[1] * len(net.stage_names))(IMAGES.to(dtype)).dtype == dtype


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("separate", [False, True])
def test_modes(training, separate):
    net = small_net()
    net = with_depth_statistics(net, depths=[[1, 2, 1]]) if separate else net
    net.train(training)
    sub = net.at_depth(1, 2, 1)
    assert all(module.training is training for module in sub.modules())
    for mode in (False, True):
        sub.train(mode)
        assert all(module.training is mode for module in sub.modules())
        before = tensors_of(sub)
        sub(IMAGES)
        assert bool(changed(sub, before)) is mode
    net.train()
    net.eval()
    before = tensors_of(net)
    net(IMAGES)
    assert not changed(net, before)


DEPTHS = [[1, 1, 1], [2, 2, 2]]


@pytest.fixture
def switchable() -> StagedNet:
    return with_depth_statistics(small_net(), depths=DEPTHS)


def test_with_statistics_of_its_own_the_full_net_is_unchanged(switchable):
    net = small_net()
    before = tensors_of(net)
    assert torch.equal(switchable(IMAGES), net(IMAGES))
    assert set(before) < set(switchable.state_dict())
    assert torch.equal(switchable.train()(IMAGES), net.train()(IMAGES))
    assert all(torch.equal(switchable.state_dict()[key], tensor) for key, tensor in net.state_dict().items())


@pytest.mark.parametrize("trained", [None, [1, 1, 1], [2, 2, 2]])
def test_training_moves_the_statistics_of_its_depth_alone(switchable, trained):
    subject = switchable.at_depth(*trained) if trained else switchable
    before = tensors_of(switchable)
    subject.train()(IMAGES)
    key = "-".join(map(str, trained)) if trained else None
    running = set(subject.state_dict())
    moved = changed(switchable, before)
    assert moved
    for name in moved:
        assert (f".depths.{key}." in name) if key else (".depths." not in name)
    norms = [name.removesuffix(".running_mean") for name in running if name.endswith("statistics.running_mean")]
    if key:
        assert len(norms) == 1 + 2 * sum(trained) + 2, "stem, two for each block, two projections"
        assert moved == {
            f"{norm.removesuffix('.statistics')}.depths.{key}.{leaf}"
            for norm in norms
            for leaf in ("running_mean", "running_var", "num_batches_tracked")
        }
    else:
        assert moved == {name for name in statistics_names(switchable) if ".depths." not in name}


def test_weights_and_biases_are_shared(switchable):
    for blocks in DEPTHS:
        sub = switchable.at_depth(*blocks)
        for key, parameter in sub.named_parameters():
            assert parameter is switchable.get_parameter(key)
    (switchable.at_depth(1, 1, 1).train()(IMAGES)[:, 0].sum()).backward()
    assert bool(switchable.stem.bn.weight.grad.any())


def test_a_depth_computes_as_a_net_with_ordinary_batchnorm(switchable):
    """Over several steps of training: the same outputs and statistics as the net at that depth alone."""
    alone = at_depth(small_net(), blocks=[2, 2, 2])
    for norm in alone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()
    sub = switchable.at_depth(2, 2, 2)
    for step in range(3):
        images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        assert torch.equal(sub.train()(images), alone.train()(images))
        assert torch.equal(sub.eval()(IMAGES), alone.eval()(IMAGES))
    own = extract(sub)
    assert list(own.state_dict()) == list(alone.state_dict())
    assert not changed(own, tensors_of(alone))
    assert torch.equal(own(IMAGES), alone(IMAGES))
    assert not any("AtDepth" in type(module).__name__ for module in own.modules())


def test_statistics_are_in_the_state_dict(switchable, tmp_path):
    for blocks in DEPTHS:
        switchable.at_depth(*blocks).train()(IMAGES + sum(blocks))
    switchable.eval()
    rebuilt = build(switchable.spec, seed=5)
    rebuilt.load_state_dict(switchable.state_dict())
    info = DataInfo(tuple("abcde"), (3, 32, 32), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    save_net(switchable, tmp_path / "net.safetensors", info)
    for again in (rebuilt.eval(), load_net(tmp_path / "net.safetensors")[0]):
        assert torch.equal(again(IMAGES), switchable(IMAGES))
        for blocks in DEPTHS:
            sub = switchable.at_depth(*blocks)
            assert torch.equal(again.at_depth(*blocks)(IMAGES), sub(IMAGES))
            own = extract(sub)
            save_net(own, tmp_path / "own.safetensors", info)
            loaded, _ = load_net(tmp_path / "own.safetensors")
            assert list(loaded.state_dict()) == list(own.state_dict())
            assert torch.equal(loaded(IMAGES), sub(IMAGES))


def test_wrong_statistics(switchable):
    with pytest.raises(UnskipError, match="no BatchNorm statistics for the depth 1-2-1; there are 1-1-1, 2-2-2"):
        switchable.at_depth(1, 2, 1)
    for depths in ([[1, 2, 1]], DEPTHS):
        with pytest.raises(UnskipError, match="has them already"):
            with_depth_statistics(switchable, depths=depths)
    with pytest.raises(UnskipError, match=r"with_depth_statistics: depths.0.1 .*at least 0"):
        make_edits(small_net(), [("with_depth_statistics", {"depths": [[1, -1, 1]]})], seed=0)
    with pytest.raises(UnskipError, match=r"at_depth: blocks.2 must be a whole number"):
        make_edits(small_net(), [("at_depth", {"blocks": [1, 1, 1.5]})], seed=0)


def test_double_precision_stays():
    net = with_depth_statistics(small_net().double(), depths=DEPTHS)
    sub = net.at_depth(1, 1, 1)
    for subject in (net, sub, extract(sub)):
        dtypes = {t.dtype for t in subject.state_dict().values() if t.is_floating_point()}
        assert dtypes == {torch.float64}
        assert torch.isfinite(subject(IMAGES.double())).all()


@pytest.mark.parametrize("separate", [False, True])
def test_a_copy_of_all_together_keeps_what_is_shared(switchable, separate):
    net = switchable if separate else small_net()
    together = nn.ModuleDict({"full": net, "small": net.at_depth(1, 1, 1), "middle": net.at_depth(2, 2, 2)})
    twin = copy.deepcopy(together)
    assert len(list(twin.parameters())) == len(list(net.parameters()))
    for key, parameter in twin["small"].named_parameters():
        assert parameter is twin["full"].get_parameter(key)
        assert parameter is not net.get_parameter(key)
    before = twin["middle"].eval()(IMAGES)
    with torch.no_grad():
        twin["full"].stage1.block2.body.conv1.weight.mul_(-1)
    assert not torch.equal(twin["middle"](IMAGES), before)
    old = tensors_of(twin["full"])
    twin["small"].train()(IMAGES)
    moved = changed(twin["full"], old)
    assert moved
    assert all((".depths.1-1-1." in name) is separate for name in moved)
    assert torch.equal(net.at_depth(1, 1, 1).eval()(IMAGES), together["small"].eval()(IMAGES))


def test_folding_a_sub_net_that_shares_statistics(switchable):
    sub = switchable.at_depth(1, 1, 1)
    sub.train()(IMAGES)
    sub.eval()
    before = tensors_of(switchable)
    folded = fold_batchnorm(sub)
    assert not any("Norm" in type(module).__name__ for module in folded.modules())
    assert torch.allclose(folded(IMAGES), sub(IMAGES), rtol=1e-4, atol=1e-5)
    assert not changed(switchable, before)
    rebuilt = build(folded.spec, seed=1)
    rebuilt.load_state_dict(folded.state_dict())
    assert torch.equal(rebuilt.eval()(IMAGES), folded(IMAGES))


@pytest.mark.parametrize("blocks", [None, [1, 1, 1], [2, 2, 2]])
def test_without_the_statistics_of_depths_it_is_the_net_that_it_was(switchable, blocks):
    for each in ([3, 3, 3], *DEPTHS):
        switchable.at_depth(*each).train()(IMAGES + sum(each))
    subject = switchable.at_depth(*blocks) if blocks else switchable
    subject.eval()
    own = without_depth_statistics(subject)
    assert torch.equal(own(IMAGES), subject(IMAGES))
    before = small_net().at_depth(*blocks) if blocks else small_net()
    assert own.spec == before.spec
    assert list(own.state_dict()) == list(before.state_dict())
    assert {type(module) for module in own.modules()} == {type(module) for module in before.modules()}
    assert not any(module.training for module in own.modules())
    rebuilt = build(own.spec, seed=0).eval()
    rebuilt.load_state_dict(own.state_dict())
    assert torch.equal(rebuilt(IMAGES), own(IMAGES))
    assert not {t.data_ptr() for t in own.state_dict().values()} & {t.data_ptr() for t in subject.state_dict().values()}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
def test_recalibration_computes_where_the_images_are_and_returns_to_where_the_net_is():
    for net_on, images_on in (("cpu", "cuda"), ("cuda", "cpu")):
        net = small_net().to(net_on)
        again = with_recalibrated_statistics(net, (batch.to(images_on) for batch in batches()))
        expected = with_recalibrated_statistics(small_net(), batches())
        for key, tensor in again.state_dict().items():
            assert tensor.device.type == net_on
            assert torch.allclose(tensor.cpu(), expected.state_dict()[key], rtol=1e-2, atol=1e-3)
        assert next(net.parameters()).device.type == net_on


def batches() -> list[torch.Tensor]:
    return [torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) + seed for seed in range(3)]


@pytest.mark.parametrize("name", ["resnet20", "wrn-16x2", "vgg13-cifar"])
def test_recalibrated_statistics_are_means_over_batches(name):
    images = [batch.repeat(1, 1, 2, 2) for batch in batches()]
    net = small_net(name)
    net.train()
    before = tensors_of(net)
    blocks = [1] * len(net.stage_names)
    sub = net.at_depth(*blocks)
    again = with_recalibrated_statistics(sub, images)
    assert not changed(net, before)
    assert all(module.training for module in net.modules())
    assert not any(module.training for module in again.modules())
    for key, parameter in again.named_parameters():
        assert torch.equal(parameter, before[key])
        assert parameter is not net.get_parameter(key)
    convolution = next(module for module in net.modules() if isinstance(module, nn.Conv2d))
    norm = next(module for module in again.modules() if isinstance(module, nn.BatchNorm2d))
    with torch.no_grad():
        maps = [convolution(batch) for batch in images]
    assert torch.allclose(norm.running_mean, torch.stack([m.mean((0, 2, 3)) for m in maps]).mean(0), atol=1e-5)
    assert torch.allclose(norm.running_var, torch.stack([m.var((0, 2, 3)) for m in maps]).mean(0), rtol=1e-4)
    assert int(norm.num_batches_tracked) == 3
    assert norm.momentum == 0.1
    assert again.spec.to_json() == sub.spec.to_json()
    rebuilt = build(again.spec, seed=0)
    rebuilt.load_state_dict(again.state_dict())
    assert torch.equal(rebuilt.eval()(IMAGES), again(IMAGES))


def test_every_recalibrated_norm_sees_what_train_mode_gives_it():
    """With one batch: eval mode on that batch is train mode, but for the unbiased variance."""
    net = small_net().double()
    images = torch.randn(64, 3, 32, 32).double()
    again = with_recalibrated_statistics(net, [images])
    expected = copy.deepcopy(net).train()(images)
    assert (again(images) - expected).abs().max() < 1e-2 * expected.abs().max()
    assert (net(images) - expected).abs().max() > 2e-2 * expected.abs().max()


def test_recalibration_ignores_what_stood_there():
    net = small_net()
    other = copy.deepcopy(net)
    for norm in other.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.fill_(1e6)
    one, two = (with_recalibrated_statistics(subject, iter(batches())) for subject in (net, other))
    assert not changed(one, tensors_of(two))


def test_recalibrating_the_full_net_keeps_the_statistics_of_its_depths(switchable):
    for blocks in DEPTHS:
        switchable.at_depth(*blocks).train()(IMAGES)
    switchable.eval()
    before = tensors_of(switchable)
    again = with_recalibrated_statistics(switchable, batches())
    moved = changed(again, before)
    assert moved
    assert not [name for name in moved if ".depths." in name]


def test_recalibrating_a_depth_with_statistics_of_its_own(switchable):
    sub = switchable.at_depth(1, 1, 1)
    before = tensors_of(switchable)
    again = with_recalibrated_statistics(sub, batches())
    expected = with_recalibrated_statistics(at_depth(small_net(), blocks=[1, 1, 1]), batches())
    assert torch.equal(again(IMAGES), expected(IMAGES))
    assert not changed(switchable, before)


def test_recalibration_without_images():
    with pytest.raises(UnskipError, match="no images"):
        with_recalibrated_statistics(small_net(), [])
