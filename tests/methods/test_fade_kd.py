"""Fading under AlignKD's loss, against the formula; what all methods that fade share is in test_fading.py."""

import pytest
import torch

from unskip import make_net
from unskip.edits import without_shortcuts
from unskip.methods import method_from
from unskip.surgery import residual_blocks
from unskip.tasks import Classification

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(5))
LABELS = torch.tensor([0, 1, 2, 1])
STEPS = [0.0, 0.02, 0.05, 0.1, 0.125, 0.2, 0.249]


def trained(name="resnet14", **options):
    torch.manual_seed(0)
    net = make_net(name, {"num_classes": 3, **({"width": 4} if name.startswith(("res", "wrn")) else {}), **options})
    for _ in range(3):
        net(torch.randn(8, 3, 32, 32))
    return net.eval()


def objective_of(teacher, requested=None, **fields):
    method = method_from("fade_kd", fields)
    student = method.student_of(teacher, requested or without_shortcuts(teacher))
    (phase,) = method.phases(teacher, student, 4, Classification())
    return phase.objective, student


def test_it_starts_as_the_teacher():
    teacher = trained()
    fading, student = objective_of(teacher)
    terms = fading.eval()(IMAGES, LABELS, 0.0)
    (align,) = method_from("align_kd", {}).phases(teacher, teacher, 4, Classification())
    expected = align.objective.eval()(IMAGES, LABELS, 0.0)
    assert torch.equal(student(IMAGES), teacher(IMAGES))
    assert all(torch.equal(terms[name], expected[name]) for name in expected)
    assert float(terms["feature"].detach()) == pytest.approx(0, abs=1e-9)
    assert float(terms["kl"].detach()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("order", ["together", "from_back"])
@pytest.mark.parametrize("progress", [0.0, 0.06, 0.1, 0.2, 0.5])
def test_the_loss_is_alignkds_with_the_formulas_student(order, progress):
    teacher = trained()
    fading, _ = objective_of(teacher, order=order)
    terms = {name: float(term.detach()) for name, term in fading.eval()(IMAGES, LABELS, progress).items()}
    maps, x = [], teacher.stem(IMAGES)
    blocks = list(residual_blocks(teacher))
    for name in teacher.stage_names:
        for child, block in teacher.get_submodule(name).named_children():
            place = blocks.index(f"{name}.{child}")
            done = min(progress / 0.25, 1) * (1 if order == "together" else len(blocks))
            start = 0 if order == "together" else len(blocks) - 1 - place
            factor = max(0.0, min(1.0, 1 - (done - start)))
            x = torch.relu(block.body(x) + factor * block.shortcut(x))
        maps.append(x)
    logits, (targets, target_logits) = teacher.head(x), teacher.features(IMAGES)
    logs, target_logs = logits.log_softmax(1), target_logits.log_softmax(1)
    eta = method_from("align_kd", {}).feature_weight_at(progress)
    expected = {
        "ce": 0.5 * -logs[range(4), LABELS].mean(),
        "kl": 0.5 * (target_logs.exp() * (target_logs - logs)).sum() / 4,
        "feature": eta * sum(((s - t) ** 2).mean() for s, t in zip(maps, targets, strict=True)),
    }
    expected = {name: float(value.detach()) for name, value in expected.items()}
    assert terms == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_fields_are_alignkds():
    align, fade = (method_from(name, {}).model_dump() for name in ("align_kd", "fade_kd"))
    assert fade == {**align, "fade_share": 0.25, "order": "together"}
    teacher = trained()
    base = objective_of(teacher)[0].eval()(IMAGES, LABELS, 0.5)
    for fields, moves in [
        ({"alpha": 0.2}, {"ce", "kl"}),
        ({"feature": "nst"}, {"feature"}),
        ({"final_feature_weight": 2.0}, {"feature"}),
        ({"taps": ["stage3"]}, {"feature"}),
    ]:
        terms = objective_of(teacher, **fields)[0].eval()(IMAGES, LABELS, 0.5)
        assert {name for name in base if not torch.allclose(terms[name], base[name])} == moves, fields
