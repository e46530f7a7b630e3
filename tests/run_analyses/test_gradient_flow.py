"""Norms of gradients against autograd by hand."""

import pytest
import torch
from torch.nn import functional as F

from run_analyses.conftest import SMALL
from unskip import make_net, run_recipe
from unskip.edits import without_shortcuts
from unskip.methods import METHODS, method_from
from unskip.recipe import recipe_from
from unskip.recipe_nets import batches_seed
from unskip.run_analyses import read_runs
from unskip.run_analyses.gradient_flow import GradientFlow, gradient_norms


def nets():
    torch.manual_seed(0)
    teacher = make_net("resnet8", {"width": 4, "num_classes": 3}).eval()
    return teacher, without_shortcuts(make_net("resnet8", {"width": 4, "num_classes": 3}))


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 3, 16, 16, generator=generator), torch.randint(3, (6,), generator=generator)


def by_hand(student, loss):
    found = {}
    for name, part in student.named_parts():
        gradients = torch.autograd.grad(loss, list(part.parameters()), retain_graph=True)
        found[name] = sum(float(gradient.square().sum()) for gradient in gradients) ** 0.5
    return found


def test_norms_of_kd_are_autograds():
    teacher, student = nets()
    loss = method_from("kd", {"alpha": 0.9, "temperature": 4.0}).loss(teacher, student)
    expected = []
    for images, labels in map(batch, (1, 2)):
        student.train()
        logits, soft = student(images), F.log_softmax(teacher(images) / 4, 1)
        kl = F.kl_div(F.log_softmax(logits / 4, 1), soft, log_target=True, reduction="batchmean")
        expected.append(by_hand(student, 0.9 * 16 * kl + 0.1 * F.cross_entropy(logits, labels)))
    found = gradient_norms(loss, [batch(1), batch(2)], 0.0)
    assert list(found) == ["stem", "stage1", "stage2", "stage3", "head"]
    for part, norm in found.items():
        assert norm == pytest.approx(sum(each[part] for each in expected) / 2, rel=1e-4)


def test_what_a_phase_does_not_train_has_none():
    teacher, student = nets()
    loss = method_from("stagewise_kd", {}).loss(teacher, student, epochs=10)
    norms = gradient_norms(loss, [batch(1)], 0.0)
    assert norms.pop("stem") > 0
    assert not any(norms.values())


def test_the_first_gradient_is_that_of_the_first_step(two_seeds):
    """Before the first step: the run's own first batch, its own loss, its own fresh student."""
    runs = read_runs(two_seeds[:1], nets=["ce", "joint_rd"])
    flow = GradientFlow.of(runs, batches=1, epochs=(0,))
    run = runs[0]
    images, labels = next(run.data.train_batches(50, batches_seed(run.recipe, "ce")).epoch(0))
    student = run.net("ce", 0).train()
    expected = by_hand(student, F.cross_entropy(student(images), labels))
    (ce,) = [each for each in flow.norms if each.label == "ce"]
    for part, norm in expected.items():
        assert ce.parts[part][0][0] == pytest.approx(norm, rel=1e-4)
    (ratio,) = [each for each in flow.ratio if each.label == "ce"]
    assert ratio.figures[0][0] == pytest.approx(expected["stage1"] / expected["stage3"], rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_every_methods_loss_has_gradients(method):
    teacher = make_net("resnet14", {"width": 4, "num_classes": 3}).eval()
    student = teacher if method == "embedded_kd" else without_shortcuts(teacher)
    loss = method_from(method, {}).loss(teacher, student, epochs=10)
    norms = gradient_norms(loss, [batch(1)], 0.0)
    assert list(norms) == ["stem", "stage1", "stage2", "stage3", "head"]
    assert norms["stem"] > 0


def test_nets_that_come_out_of_one_training_are_looked_at_once(tmp_path):
    tree = {**SMALL, "teacher": {"net": "resnet14", "options": {"width": 4}, "accept_weak": True}}
    run_recipe(recipe_from({**tree, "methods": {"embedded_kd": {}}}, []), tmp_path)
    found = GradientFlow.of(read_runs([tmp_path]), batches=1)
    (norms,) = [each for each in found.norms if each.label != "teacher"]
    assert (norms.label, norms.method) == ("embedded_kd-full", "embedded_kd")
    assert all(set(norms.parts[part]) == {1} for part in ("stem", "stage1", "head"))
