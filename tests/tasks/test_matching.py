from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from unskip.errors import UnskipError
from unskip.evaluation import evaluate
from unskip.tasks import TASKS, Matching

Pair = namedtuple("Pair", "first second")


class Answering(nn.Module):
    """Any function of images as a network."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images)


def slow_agreement(answers, expected):
    """From the formula: over all images, channel means of the teacher's, one sum over everything."""
    s, t = answers.double().numpy(), expected.double().numpy()
    axes = tuple(axis for axis in range(t.ndim) if axis != 1)
    mean = t.mean(axis=axes, keepdims=True) if t.ndim > 1 else t.mean()
    return min(max(1 - ((s - t) ** 2).sum() / ((t - mean) ** 2).sum(), 0), 1)


def slow_argmax(answers, expected):
    s, t = (np.moveaxis(each.numpy(), 1, 0).reshape(each.shape[1], -1) for each in (answers, expected))
    return sum(s[:, i].argmax() == t[:, i].argmax() for i in range(s.shape[1])) / s.shape[1]


def drawn(seed, shape, noise):
    generator = torch.Generator().manual_seed(seed)
    expected = torch.randn(shape, generator=generator) * 3 + 20
    return expected + noise * torch.randn(shape, generator=generator), expected


def batches_of(images, size):
    return [(part, torch.zeros(len(part), dtype=torch.int64)) for part in images.split(size)]


shapes = st.sampled_from([(7, 5), (6, 3, 4, 2), (9, 1, 3), (8,)])


@given(st.integers(0, 10_000), shapes, st.floats(0, 4), st.integers(1, 9))
@settings(max_examples=60)
def test_the_score_is_the_formula_over_all_batches(seed, shape, noise, size):
    answers, expected = drawn(seed, shape, noise)
    both = torch.stack([answers, expected], dim=1)  # an image holds what the two say of it
    student, teacher = (Answering(lambda images, at=at: images[:, at]) for at in (0, 1))
    score = evaluate(student, batches_of(both, size), Matching(teacher))
    assert score.value == score.figures["agreement"] == pytest.approx(slow_agreement(answers, expected), abs=1e-9)
    assert score.images == shape[0]
    assert score.chance is None
    if len(shape) > 1 and shape[1] > 1:
        assert score.figures["same_argmax"] == pytest.approx(slow_argmax(answers, expected))
    else:
        assert "same_argmax" not in score.figures


@given(st.floats(0.01, 100), st.integers(0, 1000))
@settings(max_examples=30)
def test_the_loss_is_the_formula_whatever_the_scale(scale, seed):
    s, t = drawn(seed, (4, 3, 2, 2), 1.0)
    loss = Matching().terms(scale * s, scale * t, torch.zeros(4), alpha=0.3, temperature=4)
    assert set(loss) == {"output"}
    assert loss["output"].item() == pytest.approx(float(((s - t) ** 2).sum() / (t**2).sum()), rel=1e-4)


structures = st.recursive(
    st.just("tensor"),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.tuples(inner, inner).map(lambda pair: Pair(*pair)),
        st.dictionaries(st.sampled_from(["out", "aux", "p3", "p4"]), inner, min_size=1, max_size=3),
        st.dictionaries(st.sampled_from("ab"), inner, min_size=1, max_size=2).map(OrderedDict),
    ),
    max_leaves=6,
)


def filled(structure, tensors):
    if structure == "tensor":
        return next(tensors)
    if isinstance(structure, dict):
        return type(structure)((key, filled(inner, tensors)) for key, inner in structure.items())
    inner = [filled(each, tensors) for each in structure]
    return Pair(*inner) if isinstance(structure, Pair) else type(structure)(inner)


@given(structures, st.integers(0, 1000))
@settings(max_examples=60)
def test_any_structure_is_the_mean_over_its_tensors(structure, seed):
    answers, expected = [], []
    generator = torch.Generator().manual_seed(seed)

    def stream(kept, noise):
        while True:
            tensor = torch.randn(4, 2, 3, generator=generator) + noise
            kept.append(tensor)
            yield tensor

    s = filled(structure, stream(answers, 0.5))
    t = filled(structure, stream(expected, 0.0))
    wanted = sum(map(slow_agreement, answers, expected)) / len(expected)
    assert Matching().agreement(s, t) == pytest.approx(wanted, abs=1e-9)
    term = Matching().terms(s, t, torch.zeros(4), alpha=1, temperature=1)["output"]
    ratios = [float(((a - b) ** 2).sum() / (b**2).sum()) for a, b in zip(answers, expected, strict=True)]
    assert term.item() == pytest.approx(sum(ratios) / len(ratios), rel=1e-4)
    assert Matching().agreement(t, t) == 1


def test_a_files_lists_stand_for_tuples():
    t = torch.randn(4, 3)
    assert Matching().agreement([t, {"a": t}], Pair(t, OrderedDict(a=t))) == 1


def test_the_teacher_gets_no_gradient_and_is_left_as_it_is():
    student, teacher = nn.Linear(4, 3), nn.Linear(4, 3)
    images = torch.randn(5, 4)
    Matching().terms(student(images), teacher(images), torch.zeros(5), alpha=1, temperature=1)["output"].backward()
    assert student.weight.grad.abs().sum() > 0
    assert teacher.weight.grad is None
    teacher.train()
    evaluate(student, batches_of(images, 2), Matching(teacher))
    assert teacher.training


def test_answers_that_never_vary():
    constant = torch.full((4, 2), 3.0)
    assert Matching().agreement(constant, constant) == 1
    assert Matching().agreement(constant * (1 + 1e-7), constant) > 0.9
    assert Matching().agreement(constant + 1, constant) == 0
    assert Matching().agreement(torch.zeros(4, 2), torch.zeros(4, 2)) == 1


def test_nan_agrees_with_nothing():
    t = torch.randn(4, 2)
    assert Matching().agreement(torch.full_like(t, torch.nan), t) == 0


def test_a_file_that_normalises_is_compared_on_the_same_images():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    scaled = torch.rand(6, 3, 2, 2)
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    shift, scale = (torch.tensor(each)[:, None, None] for each in (mean, std))
    file = Answering(lambda images: net((images - shift) / scale))
    assert evaluate(file, batches_of(scaled, 4), Matching(net).scaled(mean, std)).value == pytest.approx(1)
    assert evaluate(file, batches_of(scaled, 4), Matching(net)).value < 0.99


def test_the_users_own_score_is_a_figure_beside():
    net = nn.Linear(3, 2)
    task = Matching(net, score=lambda given: 0.25 if given is net and not given.training else 1.0)
    assert evaluate(net, batches_of(torch.randn(4, 3), 2), task).figures["own_score"] == 0.25
    assert "own_score" not in task.evaluate(lambda images: net(images), batches_of(torch.randn(4, 3), 2)).figures
    for wrong in (1.5, float("nan"), "good", None):
        with pytest.raises(UnskipError, match=r"task\.score"):
            evaluate(net, batches_of(torch.randn(4, 3), 2), Matching(net, score=lambda given, wrong=wrong: wrong))


@pytest.mark.parametrize(
    ("student", "teacher", "named"),
    [
        (lambda x: {"out": x}, lambda x: {"out": x, "aux": x}, "aux"),
        (lambda x: x[:, :2], lambda x: x, r"\(4, 2\)"),
        (lambda x: x.argmax(1), lambda x: x, "floating-point"),
        (lambda x: {"out": "cat"}, lambda x: x, "str at out"),
        (lambda x: {"out": x, "aux": None}, lambda x: {"out": x}, "NoneType at aux"),
        (lambda x: [], lambda x: x, "floating-point"),
    ],
)
def test_answers_that_cannot_be_compared_are_refused_by_name(student, teacher, named):
    with pytest.raises(UnskipError, match=named):
        evaluate(Answering(student), batches_of(torch.randn(4, 3), 4), Matching(Answering(teacher)))


def test_it_needs_a_teacher_images_and_no_labels():
    with pytest.raises(UnskipError, match="no teacher"):
        evaluate(nn.Identity(), batches_of(torch.randn(2, 3), 1), Matching())
    with pytest.raises(UnskipError, match="no images"):
        evaluate(nn.Identity(), [], Matching(nn.Identity()))
    with pytest.raises(UnskipError, match="no labels"):
        Matching().label_loss(torch.randn(2, 3), torch.zeros(2))


def test_tasks_are_found_by_listing():
    assert list(TASKS) == ["classification", "matching"]
    assert all(TASKS[name]().name == name for name in TASKS)
