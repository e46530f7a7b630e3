"""Against equations 1 to 7 of EKD-DDNN, written out anew in loops."""

import copy
import math

import pytest
import torch
from torch import nn

from unskip import UnskipError, build, make_net
from unskip.edits import without_shortcuts
from unskip.methods import method_from
from unskip.surgery import extract, residual_blocks, with_recalibrated_statistics
from unskip.tasks import Classification

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 1, 0])
DEPTHS = ([1, 1, 1], [2, 2, 2], [3, 1, 2])
OPTIONS = {"width": 4, "num_classes": 3}


def full_net(name="resnet20", **options):
    torch.manual_seed(0)
    net = make_net(name, OPTIONS | options)
    for _ in range(3):
        net(torch.randn(8, 3, 32, 32))
    return net


def set_up(net, **fields):
    """Method, student and objective in train mode."""
    method = method_from("embedded_kd", fields)
    student = method.student_of(None, net)
    (phase,) = method.phases(student, student, 3, Classification())
    return method, student, phase.objective.train()


def terms_of(objective):
    return {name: float(term.detach()) for name, term in objective(IMAGES, LABELS, 0.5).items()}


def softmax(logits):
    exponentials = [math.exp(value - max(logits)) for value in logits]
    return [value / sum(exponentials) for value in exponentials]


def divergence(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def attention(features):
    """(channels, height, width) to height * width numbers of length 1."""
    channels, height, width = features.shape
    values = features.tolist()
    sums = [sum(max(values[c][y][x], 0) for c in range(channels)) for y in range(height) for x in range(width)]
    length = math.sqrt(sum(value**2 for value in sums))
    return [value / length for value in sums]


def distance(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / len(one)


def slow_reference(nets, *, w, beta, ensemble):
    """Equation 7, image by image; the full-net is the first of ``nets``."""
    outputs = [net.features(IMAGES) for net in nets]
    subs, n = len(nets) - 1, len(IMAGES)
    ce = sub_ce = kl = mse = 0.0
    for i, label in enumerate(LABELS.tolist()):
        full, *others = [softmax(logits[i].tolist()) for _, logits in outputs]
        ce -= math.log(full[label])
        sub_ce -= sum(math.log(p[label]) for p in others) / subs
        kl += sum(divergence(full, p) for p in others)
        if ensemble:
            mean = [sum(values) / (subs + 1) for values in zip(full, *others, strict=True)]
            kl += divergence(mean, full)
        for stage in range(3):
            full, *others = [attention(maps[stage][i].detach()) for maps, _ in outputs]
            mse += sum(distance(a, full) for a in others) / 3
            if ensemble:
                mean = [sum(values) / (subs + 1) for values in zip(full, *others, strict=True)]
                mse += distance(full, mean) / 3
    weights = {"ce": 1, "sub_ce": 1, "kl": w / (subs + 1), "attention": beta / (subs + 1)}
    return {name: weights[name] * total / n for name, total in zip(weights, (ce, sub_ce, kl, mse), strict=True)}


@pytest.mark.parametrize("ensemble", [True, False])
@pytest.mark.parametrize("subs", [1, 2, 3])
def test_the_loss_is_equation_7(subs, ensemble):
    fields = {"depths": DEPTHS[:subs], "ensemble": ensemble, "kl_weight": 0.7, "attention_weight": 30.0}
    _, student, objective = set_up(full_net(), **fields)
    expected = slow_reference([student, *objective.sub_nets], w=0.7, beta=30.0, ensemble=ensemble)
    assert min(expected.values()) > 1e-3
    assert terms_of(objective) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_gradients_are_the_sum_of_those_of_separate_nets_with_constant_targets():
    """So that no gradient goes through a target, and every weight hears of all nets that have it."""
    _, student, objective = set_up(full_net(), depths=DEPTHS, attention_weight=100.0)
    nets = [extract(net).train() for net in (student, *objective.sub_nets)]
    sum(objective(IMAGES, LABELS, 0.0).values()).backward()

    targets = [net.features(IMAGES) for net in nets]
    p = torch.stack([logits.softmax(1) for _, logits in targets]).detach()
    stages = zip(*(maps for maps, _ in targets), strict=True)
    maps = [torch.stack([m.detach().relu().sum(1).flatten(1) for m in stage]) for stage in stages]
    a = [stage / stage.norm(dim=2, keepdim=True) for stage in maps]
    for index, net in enumerate(nets):
        target_p, target_a = (p[0], [s[0] for s in a]) if index else (p.mean(0), [s.mean(0) for s in a])
        features, logits = net.features(IMAGES)
        log_p = logits.log_softmax(1)
        loss = -log_p[range(5), LABELS].mean() / (len(DEPTHS) if index else 1)
        loss = loss + (target_p * (target_p.log() - log_p)).sum(1).mean() / len(nets)
        for own, target in zip(features, target_a, strict=True):
            own = own.relu().sum(1).flatten(1)
            loss = loss + 100 / len(nets) / 3 * ((own / own.norm(dim=1, keepdim=True) - target) ** 2).mean()
        loss.backward()
    for name, parameter in student.named_parameters():
        parts = [dict(net.named_parameters()).get(name) for net in nets]
        expected = sum(part.grad for part in parts if part is not None)
        assert torch.allclose(parameter.grad, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())), name


@pytest.mark.parametrize("term", ["kl", "attention"])
def test_without_the_ensemble_the_full_net_learns_from_labels_alone(term):
    """The third blocks are the full-net's own: they hear of a term only if the full-net does."""
    for ensemble in (True, False):
        _, student, objective = set_up(full_net(), depths=DEPTHS[:2], ensemble=ensemble)
        objective(IMAGES, LABELS, 0.0)[term].backward()
        own = [p.grad for name, p in student.named_parameters() if ".block3." in name]
        assert any(g is not None and bool(g.any()) for g in own) is ensemble


def test_depths_that_compute_the_same_are_at_no_distance():
    net = full_net()
    for name, block in residual_blocks(net).items():
        if "block3" in name:  # what it adds is nothing
            nn.init.zeros_(block.body.bn2.weight)
            nn.init.zeros_(block.body.bn2.bias)
    _, _, objective = set_up(net, depths=[[2, 2, 2]])
    terms = terms_of(objective)
    assert terms["kl"] == pytest.approx(0, abs=1e-6)
    assert terms["attention"] == pytest.approx(0, abs=1e-9)
    assert terms["ce"] == pytest.approx(terms["sub_ce"])


def test_every_field_counts():
    base = terms_of(set_up(full_net(), depths=[[1, 1, 1]])[2])
    for fields, moves in [
        ({"kl_weight": 2.0}, {"kl"}),
        ({"attention_weight": 1.0}, {"attention"}),
        ({"ensemble": False}, {"kl", "attention"}),
        ({"depths": [[1, 1, 2]]}, {"sub_ce", "kl", "attention"}),
    ]:
        changed = terms_of(set_up(full_net(), **{"depths": [[1, 1, 1]], **fields})[2])
        assert {name for name in base if changed[name] != pytest.approx(base[name], rel=1e-6)} == moves, fields


def test_logits_of_any_size_give_numbers():
    _, student, objective = set_up(full_net())
    student.head.fc.weight.data.mul_(1e4)
    terms = objective(IMAGES, LABELS, 0.0)
    sum(terms.values()).backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in student.parameters())


def batches_seen(student):
    return {
        name.removesuffix(".num_batches_tracked"): int(t) for name, t in student.state_dict().items() if "num_" in name
    }


def test_shared_statistics_are_moved_by_all_depths_that_have_them():
    net = build(full_net().spec, seed=0)
    _, student, objective = set_up(net, depths=[[1, 1, 1], [2, 2, 2]], batch_norm="shared")
    assert student is net
    objective(IMAGES, LABELS, 0.0)
    for name, count in batches_seen(student).items():
        assert count == 1 if "block3" in name else count == (2 if "block2" in name else 3), name


def test_statistics_of_a_depth_are_moved_by_it_alone():
    _, student, objective = set_up(build(full_net().spec, seed=0), depths=[[1, 1, 1], [2, 2, 2]])
    twin = build(student.spec, seed=0)
    twin.load_state_dict(student.state_dict())
    for blocks in ((), (1, 1, 1), (2, 2, 2)):  # each alone, as in a training of its own
        (twin.at_depth(*blocks) if blocks else twin).train()(IMAGES)
    objective(IMAGES, LABELS, 0.0)
    seen = batches_seen(student)
    assert {count for name, count in seen.items() if ".block2." in name and "1-1-1" in name} == {0}
    assert set(batches_seen(student.at_depth(1, 1, 1)).values()) == {1}
    for name, tensor in twin.state_dict().items():
        assert torch.equal(tensor, student.state_dict()[name]), name


@pytest.mark.parametrize("batch_norm", ["shared", "per_depth_statistics", "recalibrated"])
def test_the_views_follow_the_student(batch_norm):
    """Modes, loaded states, other types: what happens to the objective happens to every depth."""
    _, student, objective = set_up(full_net(), depths=DEPTHS, batch_norm=batch_norm)
    assert list(objective.state_dict()) == [f"student.{name}" for name in student.state_dict()]
    for mode in (False, True):
        objective.train(mode)
        assert all(module.training is mode for net in objective.sub_nets for module in net.modules())
    other = set_up(full_net(), depths=DEPTHS, batch_norm=batch_norm)[2]
    for _ in range(2):
        other(torch.randn(4, 3, 16, 16), LABELS[:4], 0.0)
    objective.load_state_dict(other.state_dict())
    objective.double().eval()
    for view, wanted in zip(objective.sub_nets, other.double().eval().sub_nets, strict=True):
        assert torch.equal(view(IMAGES.double()), wanted(IMAGES.double()))


NETS = [
    ("resnet20", {}, [[1, 2, 1], [2, 2, 3]], False),
    ("resnet20", {}, [[1, 2, 1], [2, 2, 3]], True),
    ("resnet26-bottleneck", {"width": 4}, [[1, 1, 2, 1]], False),
    ("wrn-16x1", {"dropout": 0.5}, [[1, 1, 2]], False),
    ("vgg13-cifar", {}, [[1, 1, 2, 2, 2], [1, 1, 1, 1, 1]], False),
]


@pytest.mark.parametrize("batch_norm", ["shared", "per_depth_statistics"])
@pytest.mark.parametrize(("name", "options", "depths", "plain"), NETS)
def test_what_ships_computes_what_was_trained(name, options, depths, plain, batch_norm):
    net = full_net(name, **options)
    net = without_shortcuts(net) if plain else net
    method, student, objective = set_up(net, depths=depths, batch_norm=batch_norm)
    images = torch.randn(4, 3, 32, 32)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        sum(objective(images, LABELS[:4], 0.0).values()).backward()
        optimizer.step()
    again = build(student.spec, seed=4)
    again.load_state_dict(student.state_dict())
    objective.eval()
    shipped = method.deployables(again.eval(), [])
    assert list(shipped) == ["full", *("-".join(map(str, depth)) for depth in depths)]
    for own, view in zip(shipped.values(), (student, *objective.sub_nets), strict=True):
        assert torch.equal(own.eval()(images), view(images))
        rebuilt = build(own.spec, seed=9).eval()
        rebuilt.load_state_dict(own.state_dict())
        assert torch.equal(rebuilt(images), own(images))
        assert {type(m).__name__ for m in own.modules() if "Norm" in type(m).__name__} == {"BatchNorm2d"}
        assert not any("depths" in key for key in own.state_dict())
        assert not {p.data_ptr() for p in own.parameters()} & {p.data_ptr() for p in again.parameters()}
        assert (not residual_blocks(own)) is (plain or name.startswith("vgg"))
    assert shipped["full"].spec == net.spec


def test_recalibrated_statistics_are_those_of_50_batches():
    images = [torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in range(50)]
    net = full_net()
    shared = method_from("embedded_kd", {"depths": [[1, 1, 1]], "batch_norm": "shared"}).deployables(net, [])
    method, student, _ = set_up(net, depths=[[1, 1, 1]], batch_norm="recalibrated")
    shipped = method.deployables(student, [*images, 1e6 * images[0]])
    for name, view in (("full", student), ("1-1-1", student.at_depth(1, 1, 1))):
        expected = with_recalibrated_statistics(view, images)(IMAGES)
        assert torch.equal(shipped[name].eval()(IMAGES), expected)
        assert not torch.allclose(shared[name].eval()(IMAGES), expected, atol=1e-3)
        assert all(torch.equal(p, dict(view.named_parameters())[key]) for key, p in shipped[name].named_parameters())


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("resnet14", {}, (1, 1, 1)),
        ("resnet20", {}, (2, 2, 2)),
        ("resnet32", {}, (3, 3, 3)),
        ("resnet56", {}, (5, 5, 5)),
        ("resnet50", {}, (2, 2, 4, 2)),
        ("resnet101", {}, (2, 2, 14, 2)),
        ("wrn-40x2", {}, (4, 4, 4)),
        ("vgg16-cifar", {}, (1, 1, 2, 2, 2)),
        ("resnet-basic", {"blocks": [1, 2]}, (1, 1)),
    ],
)
def test_the_default_is_three_fifths_of_the_blocks(name, options, expected):
    with torch.device("meta"):
        net = make_net(name, options)
        method = method_from("embedded_kd", {})
        assert method.depths_of(net) == [expected]
        assert method.depths_of(method.student_of(None, without_shortcuts(net))) == [expected]


@pytest.mark.parametrize(
    ("depths", "says"),
    [
        ([[1, 1]], "a number of blocks for each of 3 stages"),
        ([[1, 1, 4]], "stage3 has 3 blocks, 4 cannot be kept"),
        ([[1, 0, 1]], r"stage2\.block1 cannot be left out"),
        ([[3, 3, 3]], "3-3-3 is the full-net itself"),
        ([[1, 1, 1], [2, 2, 2], [1, 1, 1]], "1-1-1 stands there twice"),
    ],
)
@pytest.mark.parametrize("batch_norm", ["shared", "per_depth_statistics"])
def test_wrong_depths(depths, says, batch_norm):
    with pytest.raises(UnskipError, match=says):
        method_from("embedded_kd", {"depths": depths, "batch_norm": batch_norm}).student_of(None, full_net())


def test_wrong_fields():
    for depths in ([], [[-1, 1, 1]], [1, 1, 1], [[1.5, 1, 1]]):
        with pytest.raises(UnskipError, match=r"methods.embedded_kd.*depths"):
            method_from("embedded_kd", {"depths": depths})
    with pytest.raises(UnskipError, match="1-1-1 is the full-net itself"):
        method_from("embedded_kd", {}).student_of(None, make_net("resnet8", OPTIONS))


def test_a_net_that_student_of_did_not_make_is_refused():
    with pytest.raises(UnskipError, match="train what student_of makes"):
        method_from("embedded_kd", {}).phases(full_net(), full_net(), 1, Classification())


def test_a_copy_of_the_objective_is_one_of_its_own():
    _, _, objective = set_up(full_net(), depths=[[1, 1, 1]])
    twin = copy.deepcopy(objective)
    twin.student.stem.conv.weight.data.zero_()
    assert not bool(twin.sub_nets[0].stem.conv.weight.any())
    assert bool(objective.sub_nets[0].stem.conv.weight.any())
