"""Against section 3.4 of the Stagewise KD paper, written out anew: one part at a time, all others at rest."""

import copy

import pytest
import torch
import torch.nn.functional as F

from unskip import DataRecipe, TrainingRecipe, UnskipError, load_data, make_net
from unskip.edits import without_shortcuts
from unskip.methods import method_from
from unskip.tasks import Classification
from unskip.training import Checkpoint, train_student

IMAGES = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 1, 0])
# Teacher and student, and the number of their parts.
PAIRS = {
    "resnet": ("resnet14-stagewise", "resnet10-stagewise", 6),
    "plain": ("resnet14", "resnet14", 5),
    "wrn": ("wrn-16x2", "wrn-10x2", 5),
    "vgg": ("vgg13-cifar", "vgg11-cifar", 6),
}
PHASES = [(name, place) for name, (_, _, parts) in PAIRS.items() for place in range(parts)]
OPTIONS = {"width": 4, "num_classes": 3}


def lived_in(source, seed, **options):
    """A net whose BatchNorm statistics are those of some images."""
    torch.manual_seed(seed)
    net = make_net(source, {**OPTIONS, **options})
    for _ in range(3):
        net(torch.randn(8, options.get("in_channels", 3), 32, 32))
    return net


def pair_of(name, **options):
    teacher, student, _ = PAIRS[name]
    if name == "wrn" and not options:
        options = {"dropout": 0.0}  # so that a step can be repeated
    teacher, student = lived_in(teacher, 0, **options), lived_in(student, 1, **options)
    return teacher, without_shortcuts(student) if name == "plain" else student


def phases_of(teacher, student, epochs=6, **fields):
    return method_from("stagewise_kd", fields).phases(teacher, student, epochs, Classification())


def loss_of(phase):
    return torch.stack(list(phase.objective(IMAGES, LABELS, 0.3).values())).sum()


def slow_reference(teacher, student, place, *, drift=False):
    """What the paper says of one phase, element by element, of copies."""
    teacher, student = copy.deepcopy(teacher).eval(), copy.deepcopy(student)
    s = t = IMAGES
    for index in range(place + 1):
        s = student[index].train(index == place or drift)(s).detach()
        t = teacher[index](t).detach()
    if place == len(student) - 1:
        return -sum(float(F.log_softmax(row.double(), 0)[label]) for row, label in zip(s, LABELS, strict=True)) / len(s)
    squares = [(a - b) ** 2 for a, b in zip(s.flatten().tolist(), t.flatten().tolist(), strict=True)]
    return sum(squares) / len(squares)


@pytest.mark.parametrize("drift", [False, True])
@pytest.mark.parametrize(("name", "place"), PHASES)
def test_a_phases_loss_is_the_papers(name, place, drift):
    teacher, student = pair_of(name)
    if name == "vgg":  # dropout in its head
        student.head.dropout1, student.head.dropout2 = torch.nn.Identity(), torch.nn.Identity()
    expected = slow_reference(teacher, student, place, drift=drift)
    phase = phases_of(teacher, student, drift=drift)[place]
    phase.objective.train()
    terms = phase.objective(IMAGES, LABELS, 0.3)
    assert list(terms) == (["ce"] if place == len(student) - 1 else ["feature"])
    assert float(loss_of(phase)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", PAIRS)
def test_a_phase_for_every_part(name):
    teacher, student = pair_of(name)
    phases = phases_of(teacher, student, 7)
    stem = [] if name == "vgg" else ["stem"]
    assert [phase.name for phase in phases] == [*stem, *student.stage_names, "head"]
    assert [phase.name for phase in phases] == list(student.part_names)
    assert sum(phase.epochs for phase in phases) == 7
    assert {phase.epochs for phase in phases} == {1, 2}
    for place, phase in enumerate(phases):
        assert phase.trainable is student[place]
        assert set(phase.objective.state_dict()) == {f"student.{key}" for key in student.state_dict()}


def test_the_papers_600_epochs_are_100_a_phase():
    assert [phase.epochs for phase in phases_of(*pair_of("resnet"), 600)] == [100] * 6


@pytest.mark.parametrize(("name", "place"), PHASES)
def test_the_gradient_reaches_exactly_the_part(name, place):
    teacher, student = pair_of(name)
    phase = phases_of(teacher, student)[place]
    phase.objective.train()
    loss_of(phase).backward()
    reached = {key for key, p in student.named_parameters() if p.grad is not None}
    part = student.part_names[place]
    assert reached == {key for key, _ in student.named_parameters() if key.startswith(f"{part}.")}
    assert all(p.grad is None for p in teacher.parameters())


def changed_by(phase, student):
    """The keys of the student's state that some steps of a phase change: parameters and buffers."""
    before = copy.deepcopy(student.state_dict())
    phase.objective.train()
    # Weight decay would move parameters without a gradient of their own.
    optimizer = torch.optim.SGD(phase.trainable.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(phase).backward()
        optimizer.step()
    moved = {key for key, tensor in student.state_dict().items() if not torch.equal(tensor, before[key])}
    parameters = {key for key, _ in student.named_parameters()}
    return moved & parameters, moved - parameters


def keys_of(student, parts):
    parameters = {key for key, _ in student.named_parameters() if key.split(".")[0] in parts}
    return parameters, {key for key, _ in student.named_buffers() if key.split(".")[0] in parts}


@pytest.mark.parametrize(("name", "place"), PHASES)
def test_all_other_parts_stay_bit_by_bit(name, place):
    teacher, student = pair_of(name)
    assert changed_by(phases_of(teacher, student)[place], student) == keys_of(student, student.part_names[place])


@pytest.mark.parametrize(("name", "place"), PHASES)
def test_with_drift_the_statistics_in_front_move_and_no_parameter_does(name, place):
    teacher, student = pair_of(name)
    parameters, buffers = changed_by(phases_of(teacher, student, drift=True)[place], student)
    assert parameters == keys_of(student, student.part_names[place])[0]
    assert buffers == keys_of(student, student.part_names[: place + 1])[1]


def test_a_phase_that_follows_another_freezes_what_that_one_trained():
    teacher, student = pair_of("resnet")
    phases = phases_of(teacher, student)
    for place, phase in enumerate(phases):
        assert changed_by(phase, student) == keys_of(student, student.part_names[place])


@pytest.mark.parametrize("name", PAIRS)
def test_zero_where_student_and_teacher_are_one(name):
    teacher, _ = pair_of(name)
    *features, _ = phases_of(teacher, teacher)
    for phase in features:
        phase.objective.eval()
        assert float(loss_of(phase)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("name", "place"), PHASES)
def test_nothing_is_run_behind_the_part(name, place):
    teacher, student = pair_of(name)
    phase = phases_of(teacher, student)[place]
    phase.objective.train()
    calls = []
    frozen = phase.objective.teacher
    for whose, net in (("student", student), ("given", teacher), ("teacher", frozen.net if frozen else [])):
        for index, part in enumerate(net):
            part.register_forward_hook(lambda *_, what=(whose, index): calls.append(what))
    loss_of(phase)
    expected = [("student", index) for index in range(place + 1)]
    if place < len(student) - 1:
        expected += [("teacher", index) for index in range(place + 1)]
    assert sorted(calls) == sorted(expected)
    assert (frozen is None) == (place == len(student) - 1)


@pytest.mark.parametrize("name", PAIRS)
def test_simultaneous_is_the_mean_of_all_losses(name):
    """(CE + the sum of the n feature losses) / (n + 1), the stem's among them."""
    teacher, student = pair_of(name)
    (phase,) = phases_of(teacher, student, 1, order="simultaneous")
    assert phase.epochs == 1
    assert phase.trainable is student
    phase.objective.eval()
    *features, head = (slow_reference_in_eval(teacher, student, place) for place in range(len(student)))
    terms = {key: float(term.detach()) for key, term in phase.objective(IMAGES, LABELS, 0.3).items()}
    assert terms == pytest.approx({"ce": head / len(student), "feature": sum(features) / len(student)}, rel=1e-4)
    loss_of(phase).backward()
    assert all(p.grad is not None for p in student.parameters())


def slow_reference_in_eval(teacher, student, place):
    s, t = student[: place + 1](IMAGES), teacher.eval()[: place + 1](IMAGES)
    if place == len(student) - 1:
        return float(-F.softmax(s.detach().double(), 1)[range(5), LABELS].log().mean())
    return float((s - t).detach().double().square().sum()) / s.numel()


def test_too_few_epochs():
    with pytest.raises(UnskipError, match=r"6 phases \(stem, stage1, .*head\) need at least as many epochs, not 5"):
        phases_of(*pair_of("resnet"), 5)


@pytest.mark.parametrize(
    ("other", "options", "says"),
    [
        ("resnet10-stagewise", {"width": 8}, r"student's stem gives \(4, 32, 32\) and the teacher's \(8, 32, 32\)"),
        ("resnet18-cifar", {}, r"stem gives \(4, 32, 32\) and the teacher's \(4, 64, 64\)"),
        ("resnet50", {}, r"stage1 gives \(4, 16, 16\) and the teacher's \(16, 16, 16\)"),
        ("resnet14", {}, "different parts: the teacher stem, stage1, stage2, stage3, head, the student stem, .*stage4"),
        ("vgg11-cifar", {}, "different parts"),
    ],
)
@pytest.mark.parametrize("order", ["stagewise", "simultaneous"])
def test_pairs_that_do_not_fit(other, options, says, order):
    with pytest.raises(UnskipError, match=says):
        phases_of(make_net(other, {**OPTIONS, **options}), make_net("resnet10-stagewise", OPTIONS), 6, order=order)


class StoppingError(Exception):
    """Stands for the end of the process."""


class StopsIn(Checkpoint):
    """A checkpoint that is written at one step of one phase, where the process then ends."""

    def __init__(self, path, phase, step):
        super().__init__(path)
        self.moment = (phase, step)

    def save(self, state):
        if (state["state"]["phase"], state["state"]["step"]) == self.moment:
            super().save(state)
            raise StoppingError


@pytest.fixture(scope="module")
def digits():
    return load_data(DataRecipe(limit=60, test_limit=20, image_size=32))


RESUMED = [
    ("resnet", {}),
    *(pytest.param(name, {}, marks=pytest.mark.slow) for name in PAIRS if name != "resnet"),
    pytest.param("resnet", {"drift": True}, marks=pytest.mark.slow),
    ("wrn", {"drift": True}),
    ("vgg", {"order": "simultaneous"}),
]


@pytest.mark.parametrize(("name", "fields"), RESUMED, ids=str)
def test_resumed_in_the_middle_of_each_phase_it_ends_with_the_same_bits(name, fields, digits, tmp_path):
    options = {"num_classes": 10, "in_channels": 1}
    teacher = pair_of(name, **options)[0]

    def trained(checkpoint, minutes):
        _, student = pair_of(name, **options)
        _, history = train_student(
            teacher,
            digits,
            method_from("stagewise_kd", fields),
            student=student,
            training=TrainingRecipe(epochs=6, batch_size=20, validate_every=3, checkpoint_minutes=minutes),
            seed=3,
            checkpoint=checkpoint,
        )
        return student.state_dict(), history

    expected, history = trained(None, minutes=5)
    phases = list(dict.fromkeys(row["phase"] for row in history))
    assert phases == (["simultaneous"] if "order" in fields else list(pair_of(name)[1].part_names))
    place = tmp_path / "a.ckpt"
    for phase in range(len(phases)):
        with pytest.raises(StoppingError):
            trained(StopsIn(place, phase, step=2), minutes=1e-9)
    weights, resumed = trained(Checkpoint(place), minutes=5)
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert [row["loss"] for row in resumed] == pytest.approx([row["loss"] for row in history])
