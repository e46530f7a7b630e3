"""Against the formulas of the AlignKD paper, written out anew."""

import math

import pytest
import torch
import torch.nn.functional as F

from unskip import UnskipError, make_net, method_from, without_shortcuts

IMAGES = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 1, 0])


@pytest.fixture
def pair():
    torch.manual_seed(0)
    teacher = make_net("resnet14", {"width": 4, "num_classes": 3}).eval()
    torch.manual_seed(1)
    student = without_shortcuts(make_net("resnet14", {"width": 4, "num_classes": 3})).eval()
    return teacher, student


def terms_of(method, pair, progress):
    (phase,) = method.phases(*pair, 10)
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
    assert terms["feature"] == 0


def test_every_field_counts(pair):
    base = terms_of(method_from("align_kd", {}), pair, 0.1)
    for fields, moves in [
        ({"alpha": 0.2}, {"ce", "kl"}),
        ({"temperature": 3.0}, {"kl"}),
        ({"feature_weight": 2.0}, {"feature"}),
        ({"final_feature_weight": 0.1}, {"feature"}),
        ({"decay_share": 0.2}, {"feature"}),
        ({"taps": ["stage2"]}, {"feature"}),
    ]:
        changed = terms_of(method_from("align_kd", fields), pair, 0.1)
        assert {name for name in base if changed[name] != pytest.approx(base[name], rel=1e-6)} == moves, fields


def test_taps_add_up(pair):
    parts = [terms_of(method_from("align_kd", {"taps": [f"stage{k}"]}), pair, 0.0)["feature"] for k in (1, 2, 3)]
    assert sum(parts) == pytest.approx(terms_of(method_from("align_kd", {}), pair, 0.0)["feature"])


def test_a_decay_share_of_nothing_starts_at_the_end():
    assert method_from("align_kd", {"decay_share": 0.0}).feature_weight_at(0.0) == 0.5


@pytest.mark.parametrize(("taps", "says"), [(["stage4"], "no stage of both"), (["head"], "no stage of both")])
def test_wrong_taps(pair, taps, says):
    with pytest.raises(UnskipError, match=says):
        method_from("align_kd", {"taps": taps}).phases(*pair, 1)


def test_maps_of_different_shapes_are_refused(pair):
    wide = make_net("resnet14", {"width": 8, "num_classes": 3})
    with pytest.raises(UnskipError, match="maps of one shape"):
        terms_of(method_from("align_kd", {}), (wide, pair[1]), 0.0)


def test_nets_of_different_stages_are_refused(pair):
    other = make_net("resnet18-cifar", {"width": 4, "num_classes": 3})
    with pytest.raises(UnskipError, match="different stages"):
        method_from("align_kd", {}).phases(other, pair[1], 1)
