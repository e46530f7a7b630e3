"""Against the formulas of the AlignKD paper, written out anew."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from unskip import AlignKD, DataRecipe, TrainingRecipe, UnskipError, distill, load_data, make_net
from unskip.edits import without_shortcuts
from unskip.losses import attention_transfer, feature_mse, nst
from unskip.methods import method_from
from unskip.nets.connector import to_one_size
from unskip.tasks import Classification

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 1, 0])
FEATURES = {"mse": feature_mse, "attention_transfer": attention_transfer, "nst": nst}


@pytest.fixture
def pair():
    torch.manual_seed(0)
    teacher = make_net("resnet14", {"width": 4, "num_classes": 3}).eval()
    torch.manual_seed(1)
    student = without_shortcuts(make_net("resnet14", {"width": 4, "num_classes": 3})).eval()
    return teacher, student


def terms_of(method, pair, progress):
    (phase,) = method.phases(*pair, 10, Classification())
    phase.objective.eval()
    return {name: float(term.detach()) for name, term in phase.objective(IMAGES, LABELS, progress).items()}


def slow_reference(teacher, student, *, alpha, eta):
    """Equation 7, image by image and stage by stage."""
    ce = kl = mse = 0.0
    for image, label in zip(IMAGES, LABELS, strict=True):
        t, s = teacher(image[None])[0].detach(), student(image[None])[0].detach()
        ce += float(-F.log_softmax(s, 0)[label])
        p, q = F.softmax(t, 0), F.softmax(s, 0)
        kl += float((p * (p.log() - q.log())).sum())
    for stage in range(1, 4):
        t, s = teacher[: stage + 1](IMAGES).detach(), student[: stage + 1](IMAGES).detach()
        mse += float(((s - t) ** 2).sum()) / s.numel()
    n = len(IMAGES)
    return {"ce": (1 - alpha) * ce / n, "kl": alpha * kl / n, "feature": eta * mse}


@pytest.mark.parametrize(("progress", "eta"), [(0.0, 1.0), (0.15, 0.75), (0.3, 0.5), (0.9, 0.5)])
def test_the_loss_is_equation_7_with_the_papers_defaults(pair, progress, eta):
    expected = slow_reference(*pair, alpha=0.5, eta=eta)
    assert terms_of(method_from("align_kd", {}), pair, progress) == pytest.approx(expected, rel=1e-4)


def test_eta_falls_by_half_a_cosine_over_60_of_200_epochs():
    method = method_from("align_kd", {})
    for epoch in range(200):
        expected = 0.5 + 0.25 * (1 + math.cos(math.pi * epoch / 60)) if epoch < 60 else 0.5
        assert method.feature_weight_at(epoch / 200) == pytest.approx(expected)


def test_zero_where_student_and_teacher_are_one(pair):
    teacher, _ = pair
    terms = terms_of(method_from("align_kd", {}), (teacher, teacher), 0.0)
    assert terms["kl"] == pytest.approx(0, abs=1e-6)
    assert terms["feature"] == pytest.approx(0, abs=1e-9)


def test_every_field_counts(pair):
    base = terms_of(method_from("align_kd", {}), pair, 0.1)
    for fields, moves in [
        ({"alpha": 0.2}, {"ce", "kl"}),
        ({"temperature": 3.0}, {"kl"}),
        ({"feature_weight": 2.0}, {"feature"}),
        ({"final_feature_weight": 0.1}, {"feature"}),
        ({"decay_share": 0.2}, {"feature"}),
        ({"taps": ["stage2"]}, {"feature"}),
        ({"feature": "attention_transfer"}, {"feature"}),
        ({"feature": "nst"}, {"feature"}),
    ]:
        changed = terms_of(method_from("align_kd", fields), pair, 0.1)
        assert {name for name in base if changed[name] != pytest.approx(base[name], rel=1e-6)} == moves, fields


@pytest.mark.parametrize("feature", FEATURES)
def test_taps_add_up(pair, feature):
    def term(**fields):
        return terms_of(method_from("align_kd", {"feature": feature, **fields}), pair, 0.0)["feature"]

    assert sum(term(taps=[f"stage{k}"]) for k in (1, 2, 3)) == pytest.approx(term(), rel=1e-5)


@pytest.mark.parametrize("feature", FEATURES)
def test_the_feature_term_is_the_chosen_distance_of_the_stages(pair, feature):
    teacher, student = pair
    maps = [(student[: k + 1](IMAGES).detach(), teacher[: k + 1](IMAGES).detach()) for k in (1, 2, 3)]
    expected = sum(float(FEATURES[feature](*each)) for each in maps)
    found = terms_of(method_from("align_kd", {"feature": feature, "feature_weight": 3.0}), pair, 0.0)["feature"]
    assert found == pytest.approx(3 * expected, rel=1e-4)


def test_a_decay_share_of_nothing_starts_at_the_end():
    assert method_from("align_kd", {"decay_share": 0.0}).feature_weight_at(0.0) == 0.5


@pytest.mark.parametrize(("taps", "says"), [(["stage4"], "no stage of both"), (["head"], "no stage of both")])
def test_wrong_taps(pair, taps, says):
    with pytest.raises(UnskipError, match=says):
        method_from("align_kd", {"taps": taps}).phases(*pair, 1, Classification())


def phase_of(teacher, student, **fields):
    (phase,) = method_from("align_kd", fields).phases(teacher, student, 10, Classification())
    return phase


def net(name, width, **options):
    torch.manual_seed(0)
    made = make_net(name, {"width": width, "num_classes": 3, **options})
    for _ in range(3):
        made(torch.randn(8, 3, 32, 32))
    return made.eval()


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("widths", [(8, 8), (4, 8), (8, 4)])
def test_a_student_of_another_depth_and_width(feature, widths):
    """A plain resnet18 learns from a resnet34 at the stages' ends, whatever the widths."""
    ours, theirs = widths
    teacher, student = net("resnet34-cifar", theirs), without_shortcuts(net("resnet18-cifar", ours))
    keys = set(student.state_dict())
    phase = phase_of(teacher, student, feature=feature, alpha=0.5)
    phase.objective.train()
    optimizer = torch.optim.Adam(phase.trainable.parameters(), lr=0.003)
    terms = []
    for _ in range(8):
        optimizer.zero_grad()
        found = phase.objective(IMAGES, LABELS, 0.0)
        sum(found.values()).backward()
        assert all(p.grad is not None and bool((p.grad != 0).any()) for p in phase.trainable.parameters())
        optimizer.step()
        terms.append(float(found["feature"].detach()))
    assert terms[-1] < terms[0]
    assert set(student.state_dict()) == keys, "what helps to compare is no part of the student"
    extra = len(list(phase.trainable.parameters())) - len(list(student.parameters()))
    assert extra == (4 * 3 if feature == "mse" and ours != theirs else 0)
    assert not any(p is q for p in phase.trainable.parameters() for q in teacher.parameters())


def test_a_connector_is_a_1x1_convolution_and_batchnorm_from_student_to_teacher():
    teacher, student = net("resnet14", 8), without_shortcuts(net("resnet14", 4))
    phase = phase_of(teacher, student, taps=["stage1", "stage3"])
    shapes = {name: tuple(tensor.shape) for name, tensor in phase.objective.connectors.named_parameters()}
    assert shapes["0.conv.weight"] == (8, 4, 1, 1)
    assert shapes["1.conv.weight"] == (32, 16, 1, 1)
    assert shapes["1.bn.weight"] == (32,)
    phase.objective.eval()
    feature_loss = float(phase.objective(IMAGES, LABELS, 0.0)["feature"].detach())
    expected = 0.0
    for place, end in enumerate((2, 4)):
        ours, theirs = student[:end](IMAGES), teacher[:end](IMAGES)
        mixed = torch.einsum("oi,bihw->bohw", phase.objective.connectors[place].conv.weight[:, :, 0, 0], ours)
        mixed = phase.objective.connectors[place].bn(mixed)
        expected += float(((mixed - theirs) ** 2).mean().detach())
    assert feature_loss == pytest.approx(expected, rel=1e-4)


def test_connectors_start_from_the_trainings_seed():
    """A training that is begun again begins the same, whatever was drawn before."""
    data = load_data(DataRecipe(name="digits", limit=40, test_limit=20))
    teacher, student = (make_net("resnet14", {"width": w, "in_channels": 1}) for w in (8, 4))
    ends = []
    for drawn in (1, 99):
        torch.manual_seed(drawn)
        twin = copy.deepcopy(without_shortcuts(student))
        settings = TrainingRecipe(epochs=1, batch_size=20)
        distill(teacher, data, AlignKD(), student=twin, training=settings, seed=3)
        ends.append(twin.state_dict())
    assert all(torch.equal(tensor, ends[1][key]) for key, tensor in ends[0].items())


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("larger", ["teacher", "student"])
def test_the_larger_map_is_pooled_to_the_smaller(feature, larger):
    """resnet18 halves the image twice before stage 1, resnet18-cifar not at all: maps of 8 and of 32 pixels."""
    images = torch.randn(4, 3, 32, 32)
    small, large = net("resnet18", 4), net("resnet18-cifar", 4)
    teacher, student = (large, without_shortcuts(small)) if larger == "teacher" else (small, without_shortcuts(large))
    objective = phase_of(teacher, student, feature=feature, taps=["stage1"]).objective.eval()
    found = float(objective(images, LABELS[:4], 0.0)["feature"].detach())
    ours, theirs = student[:2](images), teacher[:2](images)
    pooled = [F.avg_pool2d(maps, maps.shape[2] // 8) for maps in (ours, theirs)]
    assert found == pytest.approx(float(FEATURES[feature](*pooled).detach()), rel=1e-3)


def test_pooling_to_one_size_takes_each_side_by_itself():
    one, other = to_one_size(torch.randn(2, 3, 8, 4), torch.randn(2, 5, 4, 6))
    assert (one.shape, other.shape) == ((2, 3, 4, 4), (2, 5, 4, 4))
    same = torch.randn(2, 3, 4, 4)
    assert to_one_size(same, other)[0] is same


def test_nets_of_different_stages_are_refused(pair):
    other = make_net("resnet18-cifar", {"width": 4, "num_classes": 3})
    with pytest.raises(UnskipError, match="different stages"):
        method_from("align_kd", {}).phases(other, pair[1], 1, Classification())
