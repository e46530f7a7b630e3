"""Against equations 2 and 3 of Romero et al. (2015), written out anew, for students of other widths and resolutions."""

import copy

import pytest
import torch
import torch.nn.functional as F

from unskip import UnskipError, make_net
from unskip.edits import without_shortcuts
from unskip.methods import method_from
from unskip.tasks import Classification

IMAGES = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 1, 0])
# Teacher, student, their options beside the classes, and the maps (channels, side) of hint and guided stage.
PAIRS = {
    "same": (("resnet14", {"width": 4}), ("resnet8", {"width": 4}), (8, 16), (8, 16)),
    "thinner": (("resnet14", {"width": 8}), ("resnet20", {"width": 3}), (16, 16), (6, 16)),
    "student smaller": (("resnet18-cifar", {"width": 4}), ("resnet10-stagewise", {"width": 4}), (8, 16), (8, 4)),
    "student larger": (("resnet14-stagewise", {"width": 6}), ("wrn-10x2", {"width": 4}), (12, 4), (16, 16)),
    "no stem": (("vgg13-cifar", {"width": 4}), ("resnet8", {"width": 4}), (16, 8), (8, 16)),
}


@pytest.fixture(params=PAIRS)
def pair(request):
    return make_pair(request.param)


def make_pair(name):
    nets = []
    for seed, (source, options) in enumerate(PAIRS[name][:2]):
        torch.manual_seed(seed)
        nets.append(make_net(source, {**options, "num_classes": 3}))
        for _ in range(3):
            nets[-1](torch.randn(8, 3, 32, 32))
    teacher, student = nets
    return teacher, without_shortcuts(student) if name == "thinner" else student


def phases_of(teacher, student, epochs=10, **fields):
    return method_from("fitnets", fields).phases(teacher, student, epochs, Classification())


def loss_of(phase):
    return torch.stack(list(phase.objective(IMAGES, LABELS, 0.3).values())).sum()


def through(net, stage):
    """The map at the end of a stage."""
    return net[: net.part_names.index(stage) + 1](IMAGES)


def middle(net):
    return {3: "stage2", 4: "stage2", 5: "stage3"}[len(net.stage_names)]


def pooled(maps, side):
    """The mean over the squares of a regular grid of side x side."""
    size = maps.shape[-1] // side
    rows = [maps[:, :, i * size : (i + 1) * size] for i in range(side)]
    cells = [[row[..., j * size : (j + 1) * size].mean(dim=(2, 3)) for j in range(side)] for row in rows]
    return torch.stack([torch.stack(row, dim=-1) for row in cells], dim=-2)


@pytest.mark.parametrize("name", PAIRS)
def test_the_hint_loss_is_equation_3(name):
    """A mean over all elements of (W s + b - t)^2, pixel by pixel, the larger map averaged over squares."""
    teacher, student = make_pair(name)
    *_, hint_map, guided_map = PAIRS[name]
    phase, _ = phases_of(teacher, student)
    phase.objective.eval()
    teacher.eval()
    s, t = through(student, middle(student)).detach(), through(teacher, middle(teacher)).detach()
    assert (t.shape[1], t.shape[2]) == hint_map
    assert (s.shape[1], s.shape[2]) == guided_map
    side = min(hint_map[1], guided_map[1])
    regressor = phase.objective.regressor
    weight, bias = regressor.weight.detach()[:, :, 0, 0], torch.linspace(-1, 1, hint_map[0])
    regressor.bias.data.copy_(bias)
    # The regressor first, the averages after it: the method may do it the other way round.
    regressed = torch.stack(
        [torch.stack([weight @ s[:, :, i, j].T for j in range(s.shape[3])], 0) for i in range(s.shape[2])], 0
    )
    regressed = regressed.permute(3, 2, 0, 1) + bias[:, None, None]
    differences = pooled(regressed, side) - pooled(t, side)
    (term,) = phase.objective(IMAGES, LABELS, 0.3).values()
    assert float(term.detach()) == pytest.approx(float(differences.double().square().mean()), rel=1e-4)


def test_the_hint_loss_is_the_usual_mean_squared_error_behind_the_regressor():
    """As RepDistiller's HintLoss: `mse_loss` of the regressed map, where the sizes agree."""
    teacher, student = make_pair("thinner")
    phase, _ = phases_of(teacher, student)
    phase.objective.train()
    expected = F.mse_loss(
        phase.objective.regressor(through(copy.deepcopy(student).train(), "stage2")), through(teacher.eval(), "stage2")
    )
    assert float(loss_of(phase)) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize(("hint", "guided"), [("stage1", "stage1"), ("stage3", "stage1"), ("stage1", "stage3")])
def test_hint_and_guided_name_the_stages(hint, guided):
    teacher, student = make_pair("thinner")
    phase, _ = phases_of(teacher, student, hint=hint, guided=guided)
    phase.objective.eval()
    s, t = through(student, guided), through(teacher.eval(), hint)
    side = min(s.shape[-1], t.shape[-1])
    expected = F.mse_loss(phase.objective.regressor(pooled(s, side)), pooled(t, side))
    assert float(loss_of(phase)) == pytest.approx(float(expected), rel=1e-4)


def test_the_first_phase_trains_exactly_the_guided_parts_and_the_regressor(pair):
    teacher, student = pair
    phase, _ = phases_of(teacher, student)
    before = copy.deepcopy(student.state_dict())
    phase.objective.train()
    loss_of(phase).backward()
    parts = student.part_names[: student.part_names.index(middle(student)) + 1]
    reached = {key for key, p in student.named_parameters() if p.grad is not None}
    assert reached == {key for key, _ in student.named_parameters() if key.split(".")[0] in parts}
    assert all(p.grad is not None for p in phase.objective.regressor.parameters())
    trained = {id(p) for p in phase.trainable.parameters()}
    assert trained == {id(p) for p in phase.objective.parameters() if p.grad is not None}
    torch.optim.SGD(phase.trainable.parameters(), lr=0.1, weight_decay=0.1).step()
    moved = {key for key, tensor in student.state_dict().items() if not torch.equal(tensor, before[key])}
    assert moved == {key for key in before if key.split(".")[0] in parts}


def test_nothing_is_run_behind_the_two_stages(pair):
    teacher, student = pair
    phase, _ = phases_of(teacher, student)
    calls = []
    for whose, net in (("student", student), ("given", teacher), ("teacher", phase.objective.teacher.net)):
        for name, part in net.named_parts():
            part.register_forward_hook(lambda *_, what=(whose, name): calls.append(what))
    loss_of(phase)
    expected = [
        (whose, name)
        for whose, net in (("student", student), ("teacher", teacher))
        for name in net.part_names[: net.part_names.index(middle(net)) + 1]
    ]
    assert sorted(calls) == sorted(expected)


def test_the_second_phase_is_kd_of_the_whole_student(pair):
    teacher, student = pair
    for fields in ({}, {"alpha": 0.9, "temperature": 4.0}):
        _, phase = phases_of(teacher, student, **fields)
        (expected,) = method_from("kd", {"alpha": 0.3, "temperature": 3.0, **fields}).phases(
            teacher, student, 1, Classification()
        )
        terms = []
        for each in (phase, expected):
            each.objective.eval()
            terms.append({key: float(term.detach()) for key, term in each.objective(IMAGES, LABELS, 0.3).items()})
        assert terms[0] == terms[1]
        assert phase.trainable is student
        assert set(phase.objective.state_dict()) == {f"student.{key}" for key in student.state_dict()}


def test_alpha_is_lambda_in_another_scale():
    """CE + lambda H(teacher, student), lambda = alpha t^2 / (1 - alpha), has the same gradient but for a factor."""
    alpha, t = 0.3, 3.0
    assert alpha * t**2 / (1 - alpha) == pytest.approx(3.9, abs=0.05)
    teacher, student = make_pair("same")
    _, phase = phases_of(teacher, student)
    phase.objective.eval()
    gradients = []
    logits = student.eval()(IMAGES)
    soft = -(F.softmax(teacher.eval()(IMAGES).detach() / t, 1) * F.log_softmax(logits / t, 1)).sum(1).mean()
    papers = F.cross_entropy(logits, LABELS) + alpha * t**2 / (1 - alpha) * soft
    for loss in (papers * (1 - alpha), loss_of(phase)):
        gradients.append(torch.autograd.grad(loss, student.head.fc.weight)[0])
    assert torch.allclose(*gradients, atol=1e-6)
    assert float(gradients[0].abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("epochs", "share", "expected"),
    [(200, 0.3, [60, 140]), (10, 0.3, [3, 7]), (2, 0.3, [1, 1]), (2, 0.9, [1, 1]), (10, 0.01, [1, 9])],
)
def test_epochs(epochs, share, expected):
    phases = phases_of(*make_pair("same"), epochs, hint_share=share)
    assert [(phase.name, phase.epochs) for phase in phases] == list(zip(["hint", "kd"], expected, strict=True))


def test_too_few_epochs():
    with pytest.raises(UnskipError, match=r"2 phases \(hint, kd\) need at least as many epochs, not 1"):
        phases_of(*make_pair("same"), 1)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"hint": "stage4"}, "hint: 'stage4' is no stage of the teacher; it has stage1, stage2, stage3"),
        ({"guided": "head"}, "guided: 'head' is no stage of the student; it has stage1, stage2, stage3"),
    ],
)
def test_stages_that_there_are_not(fields, says):
    with pytest.raises(UnskipError, match=says):
        phases_of(*make_pair("same"), **fields)


def test_the_regressor_is_in_the_state_of_the_first_phase_alone():
    hint, kd = phases_of(*make_pair("thinner"))
    assert {key for key in hint.objective.state_dict() if not key.startswith("student.")} == {
        "regressor.weight",
        "regressor.bias",
    }
    assert not any("regressor" in key for key in kd.objective.state_dict())
