"""Every method whose student's shortcuts fade: a little at every step, and at the end altogether."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from unskip import DataRecipe, TrainingRecipe, UnskipError, load_data, load_net, make_net, run_recipe
from unskip.edits import without_shortcuts
from unskip.methods import METHODS, method_class, method_from
from unskip.methods._fading import Fading
from unskip.nets.fading import fading_blocks
from unskip.recipe import recipe_from
from unskip.surgery import residual_blocks, with_lean_stem
from unskip.tasks import Classification
from unskip.training import Checkpoint, distill, train_student

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(5))
LABELS = torch.tensor([0, 1, 2, 1])
STEPS = [0.0, 0.02, 0.05, 0.1, 0.125, 0.2, 0.249]


FADING = [each for each in METHODS if issubclass(method_class(each), Fading)]


@pytest.fixture(params=FADING)
def name(request):
    return request.param


def trained(net="resnet14", **options):
    torch.manual_seed(0)
    net = make_net(net, {"num_classes": 3, **({"width": 4} if net.startswith(("res", "wrn")) else {}), **options})
    for _ in range(3):
        net(torch.randn(8, 3, 32, 32))
    return net.eval()


def objective_of(name, teacher, requested=None, **fields):
    method = method_from(name, fields)
    student = method.student_of(teacher, requested or without_shortcuts(teacher))
    (phase,) = method.phases(teacher, student, 4, Classification())
    return phase.objective, student


def factors_of(student):
    return [float(block.factor) for block in fading_blocks(student).values()]


def test_together_all_factors_fall_linearly(name):
    method = method_from(name, {})
    for progress in STEPS:
        assert method.shortcut_factors_at(progress, 3) == pytest.approx([1 - 4 * progress] * 3)
    assert method.shortcut_factors_at(0.0, 2) == [1.0, 1.0]


@pytest.mark.parametrize("order", ["together", "from_front", "from_back"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.3, 0.9])
@pytest.mark.parametrize("count", [1, 2, 7, 15])
def test_every_factor_falls_from_1_to_exactly_0(name, order, share, count):
    method = method_from(name, {"order": order, "fade_share": share})
    rows = [method.shortcut_factors_at(step / 1000, count) for step in range(1000)]
    assert rows[0] == [1.0 if share else 0.0] * count
    assert all(row == [0.0] * count for step, row in enumerate(rows) if step / 1000 >= share)
    for factors in zip(*rows, strict=True):
        assert all(0 <= after <= before <= 1 for before, after in pairwise(factors))
    for row in rows:
        moving = [factor for factor in row if 0 < factor < 1]
        assert len(moving) <= 1 or order == "together"
        if order == "from_front":
            assert row == sorted(row)
        if order == "from_back":
            assert row == sorted(row, reverse=True)


def test_block_by_block_each_has_an_equal_part_of_the_time(name):
    front = method_from(name, {"order": "from_front", "fade_share": 0.4})
    back = method_from(name, {"order": "from_back", "fade_share": 0.4})
    for progress, expected in [(0.05, [0.5, 1, 1, 1]), (0.125, [0, 0.75, 1, 1]), (0.38, [0, 0, 0, 0.2])]:
        assert front.shortcut_factors_at(progress, 4) == pytest.approx(expected)
        assert back.shortcut_factors_at(progress, 4) == pytest.approx(expected[::-1])


@pytest.mark.parametrize("share", [-0.1, 0.91, 1.0])
def test_the_fade_ends_before_the_training(name, share):
    with pytest.raises(UnskipError, match=rf"methods\.{name}.*fade_share"):
        method_from(name, {"fade_share": share})


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.6, 0.9])
def test_the_last_of_the_least_steps_has_no_shortcut(name, share):
    method = method_from(name, {"fade_share": share})
    steps = method.least_steps
    assert method.shortcut_factors_at((steps - 1) / steps, 1) == [0.0]
    assert steps == 1 or method.shortcut_factors_at((steps - 2) / (steps - 1), 1) != [0.0]


def test_a_training_that_is_too_short_to_fade_is_refused_before_it_begins(name):
    data = load_data(DataRecipe(name="digits", limit=30, test_limit=10))
    teacher = make_net("resnet8", {"width": 4, "in_channels": 1, "num_classes": 10})
    training = TrainingRecipe(epochs=1, batch_size=30)
    with pytest.raises(UnskipError, match=rf"{name} needs 2 steps at least, and this training has 1: take a smaller"):
        distill(teacher, data, method_from(name, {}), training=training)
    assert not residual_blocks(
        distill(teacher, data, method_from(name, {}), training=training.model_copy(update={"epochs": 2}))["student"]
    )


def test_gradients_reach_projections_while_they_fade_and_not_afterwards(name):
    fading, student = objective_of(name, trained())
    fading.train()
    weight = student.stage2.block1.shortcut.conv.weight
    for progress, reached in [(0.0, True), (0.1, True), (0.2, True), (0.25, False), (0.9, False)]:
        weight.grad = None
        sum(fading(IMAGES, LABELS, progress).values()).backward()
        assert bool((weight.grad != 0).any()) is reached


def test_the_factor_is_a_function_of_progress_alone(name):
    fading, student = objective_of(name, trained(), order="from_back")
    for progress in (0.9, 0.1, 0.0, 0.2, 0.1):
        fading(IMAGES, LABELS, progress)
        assert factors_of(student) == pytest.approx(fading.method.shortcut_factors_at(progress, 6))


NETS = {
    "basic": ("resnet14", {}),
    "bottleneck": ("resnet-bottleneck", {"blocks": [1, 2], "small_images": True}),
    "preactivation": ("wrn-16x2", {}),
    "mobile": ("mobilenetv2-cifar", {"width_mult": 0.25}),
    "deep stem": ("resnet18", {}),
}


@pytest.mark.parametrize("net", NETS)
def test_what_ships_is_plain_and_computes_the_same(name, net):
    source, options = NETS[net]
    teacher = trained(source, **options)
    before = copy.deepcopy(teacher.state_dict())
    method = method_from(name, {})
    fading, student = objective_of(name, teacher)
    assert len(fading_blocks(student)) == len(residual_blocks(teacher))
    fading.train()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.01)
    for progress in (0.0, 0.12, 0.24, 0.5):
        with pytest.raises(UnskipError, match="not faded yet"):
            method.deployables(student, [])
        optimizer.zero_grad()
        sum(fading(IMAGES, LABELS, progress).values()).backward()
        optimizer.step()
    (shipped,) = method.deployables(student, []).values()
    assert not any(isinstance(module, nn.Identity) for module in shipped.modules())
    assert not residual_blocks(shipped)
    assert shipped.spec == without_shortcuts(teacher).spec
    assert torch.equal(shipped.eval()(IMAGES), student.eval()(IMAGES))
    assert not torch.equal(shipped(IMAGES), teacher(IMAGES))
    assert all(torch.equal(tensor, before[key]) for key, tensor in teacher.state_dict().items())


@pytest.mark.parametrize("keep", [["projection"], ["stage1"]])
def test_kept_shortcuts_do_not_fade(name, keep):
    teacher = trained()
    requested = without_shortcuts(teacher, keep=keep)
    fading, student = objective_of(name, teacher, requested)
    assert set(residual_blocks(student)) - set(fading_blocks(student)) == set(residual_blocks(requested))
    fading(IMAGES, LABELS, 0.9)
    (shipped,) = method_from(name, {}).deployables(student, []).values()
    assert set(residual_blocks(shipped)) == set(residual_blocks(requested))
    requested.load_state_dict(shipped.state_dict())
    assert torch.equal(requested.eval()(IMAGES), shipped.eval()(IMAGES))


def test_only_the_shortcuts_named_fade(name):
    teacher = trained()
    requested = without_shortcuts(teacher, only=["stage1.block1"])
    student = method_from(name, {}).student_of(teacher, requested)
    assert list(fading_blocks(student)) == ["stage1.block1"]
    assert student.spec.edits[-1] == ("with_fading_shortcuts", {"keep": [], "only": ["stage1.block1"]})
    assert str(student.spec).endswith("(only ['stage1.block1'])")


def test_a_frozen_teacher_gives_a_student_that_trains(name):
    teacher = trained().requires_grad_(False)
    _, student = objective_of(name, teacher)
    assert all(parameter.requires_grad for parameter in student.parameters())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize(
    "requested",
    [
        lambda: without_shortcuts(trained("resnet20")),
        lambda: without_shortcuts(trained("resnet20").at_depth(2, 2, 1)),
        lambda: without_shortcuts(trained(width=8)),
        lambda: without_shortcuts(trained(num_classes=4)),
        lambda: trained("vgg11-cifar"),
    ],
)
def test_a_student_of_another_architecture_is_refused(name, requested):
    with pytest.raises(UnskipError, match="starts from the teacher"):
        method_from(name, {}).student_of(trained(), requested())


def test_a_lean_stem_is_another_architecture(name):
    """It has the same tensors, and another stride."""
    teacher = make_net("resnet18", {"width": 4})
    plain = without_shortcuts(teacher)
    assert method_from(name, {}).student_of(teacher, plain)
    with pytest.raises(UnskipError, match="starts from the teacher"):
        method_from(name, {}).student_of(teacher, with_lean_stem(plain))


def test_a_student_that_loses_nothing_is_refused(name):
    with pytest.raises(UnskipError, match="no shortcut to remove"):
        method_from(name, {}).student_of(trained(), trained())
    with pytest.raises(UnskipError, match="student_of"):
        method_from(name, {}).phases(trained(), without_shortcuts(trained()), 4, Classification())


class StoppingError(Exception):
    """Stands for the end of the process."""


class StoppedIn:
    """A checkpoint that lets the process end after a number of saves."""

    def __init__(self, checkpoint, saves):
        self.checkpoint = checkpoint
        self.saves = saves

    def exists(self):
        return self.checkpoint.exists()

    def load(self):
        return self.checkpoint.load()

    def save(self, state):
        self.checkpoint.save(state)
        self.saves -= 1
        if self.saves == 0:
            raise StoppingError


@pytest.mark.parametrize("order", ["together", "from_back"])
def test_interrupted_while_shortcuts_fade_it_ends_with_the_same_bits(name, order, tmp_path):
    data = load_data(DataRecipe(limit=200, test_limit=50))
    torch.manual_seed(0)
    teacher = make_net("resnet14", {"width": 4, "in_channels": 1})
    settings = TrainingRecipe(epochs=4, batch_size=50, checkpoint_minutes=1e-9)
    method = method_from(name, {"order": order, "fade_share": 0.6})

    def fit(checkpoint):
        student = method.student_of(teacher, without_shortcuts(teacher))
        try:
            train_student(teacher, data, method, student=student, training=settings, seed=3, checkpoint=checkpoint)
        except StoppingError:
            assert any(0 < factor < 1 for factor in factors_of(student))
        return student

    whole = fit(None)
    fit(StoppedIn(Checkpoint(tmp_path / "last.ckpt"), saves=5))
    resumed = fit(Checkpoint(tmp_path / "last.ckpt"))
    assert factors_of(whole) == [0.0] * 6
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in whole.state_dict().items())


def test_a_run_ships_the_plain_net(tmp_path):
    recipe = recipe_from(
        {
            "data": {"name": "digits", "limit": 300, "test_limit": 100},
            "teacher": {"net": "resnet14", "options": {"width": 4}, "accept_weak": True},
            "methods": {**{each: {} for each in FADING}, "at_once": {"method": "fade_kd", "fade_share": 0.0}},
            "training": {"epochs": 2, "batch_size": 50},
            "measure": {"latency": False, "parity_images": 20, "runtime": "torch"},
        }
    )
    results = run_recipe(recipe, tmp_path / "run")
    assert [subject.shortcuts for subject in results.comparison.subjects] == [6, *[0] * (len(FADING) + 1)]
    assert (tmp_path / "run" / "report.html").exists()
    for label in (*FADING, "at_once"):
        shipped, _ = load_net(tmp_path / "run" / "nets" / f"{label}.safetensors")
        fading, _ = load_net(tmp_path / "run" / "trained" / f"{label}.safetensors")
        assert [name for name, _ in shipped.spec.edits] == ["without_shortcuts"]
        assert not residual_blocks(shipped)
        assert factors_of(fading) == [0.0] * 6
        images = torch.randn(2, 1, 32, 32)
        assert torch.equal(shipped(images), fading(images))
        assert (tmp_path / "run" / "export" / f"{label}.pt2").exists()
