"""Against the formulas of JointRD and of the overhaul's margin distance, written out anew."""

import copy
import math
import weakref
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unskip import UnskipError, make_net
from unskip.edits import without_shortcuts
from unskip.losses import margin_distance, squared_distance
from unskip.methods import method_from
from unskip.methods.joint_rd import _mean_of_negatives
from unskip.nets import Residual
from unskip.tasks import Classification

LABELS = torch.tensor([0, 1, 2, 1])
FIELDS = [{}, {"tap": "pre_relu"}, {"tap": "pre_relu", "distance": "margin"}]
THREE, FOUR = ("resnet14", {"width": 4}), ("resnet18-cifar", {"width": 4})


def warmed(net):
    """In double precision, every BatchNorm as after a training, no dropout (its draws would differ from run to run)."""
    generator = torch.Generator().manual_seed(7)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in [
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.3, 0.3),
            ]:
                tensor.uniform_(low, high, generator=generator)
        elif isinstance(module, nn.Dropout):
            module.p = 0.0
    return net.double()


def pair_of(source, options, side=16, keep=()):
    torch.manual_seed(0)
    teacher = warmed(make_net(source, {**options, "num_classes": 3}))
    torch.manual_seed(1)
    student = warmed(without_shortcuts(make_net(source, {**options, "num_classes": 3}), keep=keep))
    images = torch.randn(4, 3, side, side, generator=torch.Generator().manual_seed(3)).double()
    return teacher, student, images


def objective_of(teacher, student, fields):
    (phase,) = method_from("joint_rd", fields).phases(teacher, student, 10, Classification())
    phase.objective.double().train()
    return phase.objective


def last_activation(net):
    """The last activation of the last stage."""
    stage = net.get_submodule(net.stage_names[-1])
    return [module for module in stage.modules() if isinstance(module, nn.ReLU)][-1]


def last_feature(hybrid, images, tap):
    """The last stage's map after its last activation, or what that activation read; and the logits."""
    read = []
    if tap == "pre_relu":
        hook = last_activation(hybrid).register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].clone()))
        logits = hybrid(images)
        hook.remove()
        return read[-1], logits
    feature = hybrid[:-1](images)
    return feature, hybrid[-1:](feature)


def slow_margin(teacher):
    """E[x | x < 0] by integrating each channel's normal density."""
    block = list(teacher.get_submodule(teacher.stage_names[-1]).children())[-1]
    norm = [module for module in block.body.modules() if isinstance(module, nn.BatchNorm2d)][-1]
    margins = []
    for beta, gamma in zip(norm.bias.tolist(), norm.weight.tolist(), strict=True):
        x = torch.linspace(-12 * abs(gamma), 0, 200_001, dtype=torch.float64)
        density = torch.exp(-(((x - beta) / gamma) ** 2) / 2)
        margins.append(float((x * density).sum() / density.sum()))
    return torch.tensor(margins, dtype=torch.float64)[:, None, None]


def slow_distance(feature, target, margin, connector):
    """Image by image."""
    if margin is None:
        return sum(((s - t) ** 2).sum() for s, t in zip(feature, target, strict=True)) / len(feature)
    total = 0.0
    for s, t in zip(connector(feature), target, strict=True):
        t = torch.where(t > margin, t, margin.expand_as(t))
        ignored = (s <= t) & (t <= 0)
        total = total + ((s - t) ** 2)[~ignored].sum()
    return total / len(feature)


def slow_reference(teacher, student, images, *, eta, weight=1e-3, tap="post_relu", distance="mse", connectors=()):
    """The formula, every hybrid by itself on the teacher as it came."""
    teacher = copy.deepcopy(teacher).eval()
    target = last_feature(teacher, images.detach(), tap)[0].detach()
    margin = slow_margin(teacher) if distance == "margin" else None
    names = student.part_names
    hybrid_ce, feature_term = 0.0, 0.0
    for k, stage in enumerate(student.stage_names):
        cut = names.index(stage) + 1
        hybrid = student if stage == student.stage_names[-1] else student[:cut] + teacher[cut:]
        feature, logits = last_feature(hybrid, images, tap)
        feature_term = feature_term + slow_distance(feature, target, margin, connectors[k] if connectors else None)
        log_probabilities = F.log_softmax(logits, 1)
        ce = -sum(row[label] for row, label in zip(log_probabilities, LABELS, strict=True)) / len(LABELS)
        if hybrid is not student:
            hybrid_ce = hybrid_ce + ce
    return {"ce": ce, "hybrid_ce": eta * hybrid_ce, "feature": eta * weight * feature_term}


def values(terms):
    return {name: float(term.detach()) for name, term in terms.items()}


def compare(teacher, student, images, fields, progress, eta):
    """Terms and gradients, of the student's parameters, the connectors' and the images, against the slow reference.

    The images' gradients differ where a target is not detached.
    """
    objective = objective_of(teacher, student, fields)
    slow_student, slow_connectors = copy.deepcopy(student).train(), copy.deepcopy(objective.connectors)
    named = {key: value for key, value in fields.items() if key in ("tap", "distance")}
    slow_images = images.clone().requires_grad_()
    expected = slow_reference(
        teacher,
        slow_student,
        slow_images,
        eta=eta,
        weight=fields.get("feature_weight", 1e-3),
        connectors=slow_connectors,
        **named,
    )
    images = images.clone().requires_grad_()
    terms = objective(images, LABELS, progress)
    assert list(terms) == ["ce", "hybrid_ce", "feature"]
    assert values(terms) == pytest.approx(values(expected), rel=1e-5)
    sum(terms.values()).backward()
    sum(expected.values()).backward()
    ours = [*student.named_parameters(), *objective.connectors.named_parameters(), ("images", images)]
    theirs = [*slow_student.parameters(), *slow_connectors.parameters(), slow_images]
    for (name, tensor), reference in zip(ours, theirs, strict=True):
        error = (tensor.grad - reference.grad).norm()
        assert error <= 1e-5 * reference.grad.norm() + 1e-9, name


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("net", [THREE, FOUR])
def test_terms_and_gradients_are_those_of_the_formula(net, fields):
    compare(*pair_of(*net), fields, progress=0.15, eta=0.75)


@pytest.mark.parametrize(("progress", "eta"), [(0.0, 1.0), (0.1, 0.875), (0.3, 0.5), (0.9, 0.5)])
def test_eta_falls_by_half_a_cosine_over_60_of_200_epochs(progress, eta):
    compare(*pair_of(*THREE), {"feature_weight": 0.1}, progress, eta)


@pytest.mark.parametrize(
    ("source", "options", "side", "fields"),
    [
        ("wrn-10x1", {"width": 4}, 16, {}),
        ("mobilenetv2-cifar", {"width_mult": 0.25}, 16, {}),
        ("vgg11-cifar", {"width": 4}, 32, {}),
        ("vgg11-cifar", {"width": 4}, 32, {"tap": "pre_relu"}),
        ("resnet-bottleneck", {"width": 4, "blocks": [1, 1, 1]}, 64, {"tap": "pre_relu"}),
        ("resnet10-stagewise", {"width": 4}, 64, {}),
    ],
)
def test_other_families(source, options, side, fields):
    compare(*pair_of(source, options, side), fields, progress=0.5, eta=0.5)


@pytest.mark.parametrize("fields", FIELDS)
def test_a_student_that_keeps_its_projections(fields):
    compare(*pair_of(*THREE, keep=["projection"]), fields, progress=0.5, eta=0.5)


@pytest.mark.parametrize("tap", ["post_relu", "pre_relu"])
def test_a_student_that_is_the_teacher_has_no_distance_and_n_minus_1_equal_hybrids(tap):
    teacher, _, images = pair_of(*THREE)
    objective = objective_of(teacher, copy.deepcopy(teacher), {"tap": tap}).eval()
    terms = values(objective(images, LABELS, 0.0))
    assert terms["feature"] == pytest.approx(0, abs=1e-9)
    assert terms["hybrid_ce"] == pytest.approx(2 * terms["ce"], rel=1e-5)


@pytest.mark.parametrize("fields", FIELDS)
def test_the_teacher_gets_no_gradient_and_stays_as_it_is(fields):
    teacher, student, images = pair_of(*THREE)
    objective = objective_of(teacher, student, fields)
    frozen = objective.teacher.net
    before = copy.deepcopy(frozen.state_dict())
    sum(objective(images, LABELS, 0.0).values()).backward()
    assert all(not p.requires_grad and p.grad is None for p in frozen.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in frozen.state_dict().items())
    assert not any(module.training for module in frozen.modules())


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("net", [THREE, FOUR])
def test_every_stage_runs_as_often_as_it_must(net, fields):
    teacher, student, images = pair_of(*net)
    objective = objective_of(teacher, student, fields)
    runs, rows = Counter(), Counter()

    def count(key):
        def hook(module, inputs, output):
            runs[key] += 1
            rows[key] += len(output)

        return hook

    for side, parts in [("teacher", objective.teacher.net), ("student", objective.student)]:
        for name, part in parts.named_parts():
            part.register_forward_hook(count((side, name)))
    objective(images, LABELS, 0.0)
    stages = teacher.stage_names
    assert all(runs["student", name] == 1 for name in student.part_names)
    assert runs["teacher", "stem"] == runs["teacher", "stage1"] == 1, "its own pass"
    assert [runs["teacher", name] for name in stages] == list(range(1, len(stages) + 1)), "its own pass, and hybrids"
    assert runs["teacher", "head"] == len(stages) - 1
    assert all(count == len(images) * runs[key] for key, count in rows.items())


@pytest.mark.parametrize("fields", FIELDS)
def test_of_a_hybrid_nothing_is_kept_when_the_next_stage_runs(fields):
    teacher, student, images = pair_of(*FOUR)
    objective = objective_of(teacher, student, fields)
    given, alive = [], []

    def count(*_):
        alive.append(len({id(tensor()) for tensor in given if tensor() is not None}))

    for part in objective.teacher.net.modules():
        part.register_forward_hook(lambda module, inputs, output: given.append(weakref.ref(output)))
    for name in student.stage_names:
        objective.student.get_submodule(name).register_forward_pre_hook(count)
    terms = objective(images, LABELS, 0.0)
    assert alive == [1] * 4, "the target"
    sum(terms.values()).backward()
    assert all(p.grad is not None for p in student.parameters())


def test_terms_are_the_same_without_gradients():
    teacher, student, images = pair_of(*THREE)
    objective = objective_of(teacher, student, {})
    with torch.no_grad():
        alone = objective(images, LABELS, 0.1)
    assert not any(term.requires_grad for term in alone.values())
    assert values(alone) == pytest.approx(values(objective(images, LABELS, 0.1)), rel=1e-9)


def test_a_stage_that_is_not_trained_gets_no_gradient_and_the_others_the_same():
    gradients = []
    for frozen in (False, True):
        teacher, student, images = pair_of(*THREE)
        objective = objective_of(teacher, student, {})
        for name in ("stem", "stage1"):
            objective.student.get_submodule(name).requires_grad_(not frozen)
        sum(objective(images, LABELS, 0.0).values()).backward()
        gradients.append({name: p.grad for name, p in student.named_parameters()})
    for name, gradient in gradients[1].items():
        if name.startswith(("stem", "stage1.")):
            assert gradient is None
        else:
            assert torch.allclose(gradient, gradients[0][name])


def test_terms_that_somebody_weights_are_refused_rather_than_wrong():
    teacher, student, images = pair_of(*THREE)
    terms = objective_of(teacher, student, {})(images, LABELS, 0.0)
    with pytest.raises(RuntimeError, match="added, not weighted"):
        (terms["ce"] + 2 * terms["hybrid_ce"] + terms["feature"]).backward()


@pytest.mark.parametrize("fields", FIELDS)
def test_every_parameter_that_trains_gets_a_gradient(fields):
    teacher, student, images = pair_of(*THREE)
    (phase,) = method_from("joint_rd", fields).phases(teacher, student, 10, Classification())
    phase.objective.double().train()
    sum(phase.objective(images, LABELS, 0.0).values()).backward()
    connectors = 3 * 3 if fields.get("distance") == "margin" else 0
    assert len(list(phase.trainable.parameters())) == len(list(student.parameters())) + connectors
    assert all(bool((p.grad != 0).any()) for p in phase.trainable.parameters())
    assert {id(p) for p in phase.trainable.parameters()} == {id(p) for p in phase.objective.parameters()}


def test_connectors_do_not_ship():
    teacher, student, _ = pair_of(*THREE)
    method = method_from("joint_rd", FIELDS[2])
    method.phases(teacher, student, 10, Classification())
    (shipped,) = method.deployables(student, []).values()
    assert list(shipped.state_dict()) == list(student.state_dict())


@pytest.mark.parametrize("fields", FIELDS)
def test_terms_are_float32_under_autocast(fields):
    teacher, student, images = pair_of(*THREE)
    (phase,) = method_from("joint_rd", fields).phases(teacher.float(), student.float(), 10, Classification())
    with torch.autocast("cpu", torch.bfloat16):
        terms = phase.objective(images.float(), LABELS, 0.0)
    assert {term.dtype for term in terms.values()} == {torch.float32}


def test_every_field_counts():
    teacher, student, images = pair_of(*THREE)

    def terms_of(fields):
        return values(objective_of(teacher, student, fields)(images, LABELS, 0.1))

    base = terms_of({})
    for fields, moves in [
        ({"hybrid_weight": 2.0}, {"hybrid_ce", "feature"}),
        ({"final_hybrid_weight": 0.1}, {"hybrid_ce", "feature"}),
        ({"decay_share": 0.2}, {"hybrid_ce", "feature"}),
        ({"feature_weight": 0.1}, {"feature"}),
        ({"tap": "pre_relu"}, {"feature"}),
        ({"tap": "pre_relu", "distance": "margin"}, {"feature"}),
    ]:
        changed = terms_of(fields)
        assert {name for name in base if changed[name] != pytest.approx(base[name], rel=1e-6)} == moves, fields


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.7, 0.5), (-2.0, 0.3), (3.0, 1.0), (-0.1, 2.0)])
def test_the_mean_of_negatives_is_the_integral(mean, deviation):
    x = torch.linspace(min(0.0, mean) - 12 * deviation, 0, 400_001, dtype=torch.float64)
    density = torch.exp(-(((x - mean) / deviation) ** 2) / 2)
    expected = float((x * density).sum() / density.sum())
    found = _mean_of_negatives(torch.tensor(mean).double(), torch.tensor(deviation).double())
    assert float(found) == pytest.approx(expected, rel=1e-3)


def test_the_mean_of_negatives_at_its_limits():
    """Hardly ever negative: about -deviation^2 / mean. Always the same value: that value, or nothing below 0."""
    means, deviations = torch.tensor([[50.0, 1.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).double().unbind(1)
    found = _mean_of_negatives(means, deviations)
    assert found.tolist() == pytest.approx([-1 / 50, -1.0, 0.0, 0.0], rel=1e-3, abs=1e-9)


def test_a_projection_adds_to_the_margins_distribution():
    teacher, student, _ = pair_of("resnet-basic", {"width": 4, "blocks": [1, 1]})
    block = teacher.stage2.block1
    assert isinstance(block, Residual)
    found = objective_of(teacher, student, FIELDS[2]).margin[:, 0, 0]
    assert block.kind == "projection"
    body, shortcut = block.body.bn2, block.shortcut.bn
    for channel, margin in enumerate(found.tolist()):
        mean = body.bias[channel].item() + shortcut.bias[channel].item()
        deviation = math.hypot(body.weight[channel].item(), shortcut.weight[channel].item())
        z = mean / deviation
        density, share = math.exp(-z * z / 2) / math.sqrt(2 * math.pi), math.erfc(z / math.sqrt(2)) / 2
        assert margin == pytest.approx(mean - deviation * density / share, rel=1e-6)


def test_distances_give_no_gradient_to_the_teacher():
    student, teacher = torch.randn(2, 3, 5, 4, 4).requires_grad_().unbind()
    margin = torch.full((5, 1, 1), -0.3, requires_grad=True)
    for loss in (squared_distance(student, teacher), margin_distance(student, teacher, margin)):
        to_student, to_teacher, to_margin = torch.autograd.grad(loss, (student, teacher, margin), allow_unused=True)
        assert bool((to_student != 0).any())
        assert to_teacher is None
        assert to_margin is None


def test_margin_without_pre_relu_is_refused():
    with pytest.raises(UnskipError, match=r"joint_rd.*set tap: pre_relu"):
        method_from("joint_rd", {"distance": "margin"})


@pytest.mark.parametrize(("source", "options"), [("wrn-10x1", {"width": 4}), ("mobilenetv2-cifar", {})])
def test_pre_relu_is_refused_where_no_activation_ends_the_last_stage(source, options):
    teacher, student, _ = pair_of(source, options)
    with pytest.raises(UnskipError, match="does not end with an activation"):
        objective_of(teacher, student, {"tap": "pre_relu"})


def test_margin_needs_a_batchnorm_in_front_of_the_activation():
    teacher, student, _ = pair_of(*THREE)
    teacher.stage3.block2.body.bn2 = nn.Identity()
    with pytest.raises(UnskipError, match="there is Identity"):
        objective_of(teacher, student, FIELDS[2])


def test_maps_of_different_shapes_are_refused():
    _, student, images = pair_of(*THREE)
    wide = warmed(make_net("resnet14", {"width": 8, "num_classes": 3}))
    with pytest.raises(UnskipError, match=r"at stage1 the student's is \(4, 64, 64\) and the teacher's \(8, 64, 64\)"):
        objective_of(wide, student, {})(images, LABELS, 0.0)


def test_nets_of_different_stages_are_refused():
    student = pair_of(*THREE)[1]
    with pytest.raises(UnskipError, match="different stages"):
        objective_of(pair_of(*FOUR)[0], student, {})


def test_nets_of_one_stage_are_refused():
    teacher, student, _ = pair_of("resnet-basic", {"width": 4, "blocks": [1]})
    with pytest.raises(UnskipError, match="two stages or more"):
        objective_of(teacher, student, {})
