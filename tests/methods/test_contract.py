"""What every method keeps to; a new file in methods/ is covered without a line here."""

import copy
import json
import sys

import pytest
import torch
from torch import nn

from unskip import UnskipError, build, make_net
from unskip.edits import without_shortcuts
from unskip.methods import METHODS, method_class, method_from
from unskip.surgery import residual_blocks
from unskip.tasks import Classification

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5))
LABELS = torch.tensor([0, 1, 2, 1])


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    net = make_net("resnet14", {"width": 4, "num_classes": 3})
    for _ in range(3):
        net(torch.randn(8, 3, 16, 16))
    return net


def set_up(name, teacher, epochs=7):
    method = method_from(name, {})
    torch.manual_seed(1)
    requested = without_shortcuts(make_net("resnet14", {"width": 4, "num_classes": 3}))
    student = method.student_of(teacher, requested)
    return method, student, method.phases(teacher, student, epochs, Classification())


def loss_of(phase, progress=0.4):
    return sum(phase.objective(IMAGES, LABELS, progress).values())


@pytest.mark.parametrize("name", list(METHODS))
class TestEveryMethod:
    def test_defaults_are_valid_and_the_card_is_there(self, name):
        method = method_from(name, {})
        assert method.name == name
        assert len(METHODS.card(name).splitlines()) >= 3
        for field, info in method_class(name).model_fields.items():
            assert info.description, f"{name}.{field} has no description"
            if info.alias is None and field not in ("taps",):
                assert f"``{field}``" in METHODS.card(name), f"the card does not name {field}"

    def test_what_it_trained_can_be_trained_on(self, name, teacher):
        method = method_from(name, {}).continued()
        student = without_shortcuts(teacher)
        loss = method.loss(teacher, student, epochs=1)
        assert loss.student is student, "the very network that ships"
        assert len(loss.phases) == 1
        terms = [loss(IMAGES, LABELS, progress).item() for progress in (0.0, 0.9)]
        assert terms[0] == pytest.approx(terms[1], rel=0.2), "no weight of the loss is on its way any more"
        loss(IMAGES, LABELS).backward()
        assert all(parameter.grad is not None for parameter in student.parameters())

    def test_unknown_fields_are_refused_with_the_nearest(self, name):
        with pytest.raises(UnskipError, match=f"methods.{name}.*unknown key"):
            method_from(name, {"alpah": 1})

    def test_the_epochs_add_up(self, name, teacher):
        _, _, phases = set_up(name, teacher)
        assert sum(phase.epochs for phase in phases) == 7

    def test_terms_are_named_finite_scalars_and_reach_what_trains(self, name, teacher):
        _, _, phases = set_up(name, teacher)
        for phase in phases:
            phase.objective.train()
            terms = phase.objective(IMAGES, LABELS, 0.0)
            assert terms
            assert all(term.shape == () and bool(torch.isfinite(term)) for term in terms.values())
            sum(terms.values()).backward()
            trained = [p for p in phase.trainable.parameters() if p.requires_grad]
            assert trained
            assert all(p.grad is not None and bool((p.grad != 0).any()) for p in trained)

    def test_the_teacher_stays_as_it_is_bit_by_bit(self, name, teacher):
        teacher.train()
        flags = [p.requires_grad for p in teacher.parameters()]
        before = copy.deepcopy(teacher.state_dict())
        _, _, phases = set_up(name, teacher)
        for phase in phases:
            phase.objective.train()
            optimizer = torch.optim.SGD(phase.trainable.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                loss_of(phase).backward()
                optimizer.step()
        assert all(torch.equal(tensor, before[key]) for key, tensor in teacher.state_dict().items())
        assert teacher.training
        assert [p.requires_grad for p in teacher.parameters()] == flags
        assert all(p.grad is None for p in teacher.parameters())

    def test_the_teacher_is_in_no_state(self, name, teacher):
        _, _, phases = set_up(name, teacher)
        ids = {id(p) for p in teacher.parameters()}
        for phase in phases:
            assert not any(id(p) in ids for p in phase.objective.parameters())
            assert not any("teacher" in key for key in phase.objective.state_dict())

    def test_the_teacher_answers_in_eval_mode(self, name, teacher):
        """In train mode its BatchNorm would mix a batch's images, and its answers would depend on their company."""
        if not method_class(name).needs_teacher:
            pytest.skip("no teacher")
        teacher.train()
        _, _, phases = set_up(name, teacher)
        teachers = []
        for phase in phases:
            phase.objective.train()
            teachers.append(phase.objective.teacher)  # None where a phase of several does without
        frozen_ones = [teacher for teacher in teachers if teacher is not None]
        assert frozen_ones
        for frozen in frozen_ones:
            assert torch.allclose(frozen(IMAGES)[:1], frozen(IMAGES[:1]), atol=1e-5)

    def test_one_batch_can_be_learnt(self, name, teacher):
        """Labelled by a teacher that is sure of itself, so that its answers and the labels can be learnt at once."""
        teacher.head.fc.weight.data.mul_(10)
        _, _, phases = set_up(name, teacher)
        labels = copy.deepcopy(teacher).eval()(IMAGES).argmax(1)
        for phase in phases:
            phase.objective.train()
            optimizer = torch.optim.Adam(phase.trainable.parameters(), lr=0.01)
            losses = []
            for _ in range(60):
                optimizer.zero_grad()
                loss = sum(phase.objective(IMAGES, labels, 0.4).values())
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
            assert losses[-1] < 0.5 * losses[0]

    def test_what_ships_has_no_shortcuts_and_can_be_built_again(self, name, teacher):
        method, student, phases = set_up(name, teacher)
        for phase in phases:
            phase.objective(IMAGES, LABELS, 0.99)  # what the last step sees
        shipped = method.deployables(student, [IMAGES])
        assert shipped
        for net in shipped.values():
            assert net.spec is not None
            assert not residual_blocks(net)
            assert net.eval()(IMAGES).shape == (4, 3)
            rebuilt = build(net.spec, seed=9).eval()
            rebuilt.load_state_dict(net.state_dict())
            assert torch.equal(rebuilt(IMAGES), net(IMAGES))

    def test_the_student_can_be_made_without_memory(self, name):
        """So that a run can refuse what does not fit before it trains a teacher."""
        with torch.device("meta"):
            net = make_net("resnet14", {"width": 4, "num_classes": 3})
            student = method_from(name, {}).student_of(net, without_shortcuts(net))
        assert all(parameter.is_meta for parameter in student.parameters())

    def test_a_method_that_needs_a_teacher_says_so(self, name):
        method = method_from(name, {})
        if not method.needs_teacher:
            pytest.skip("needs none")
        with pytest.raises(UnskipError, match="needs a teacher"):
            method.loss(None, make_net("resnet14", {"in_channels": 1}))


def test_unknown_methods_are_refused_with_the_nearest():
    with pytest.raises(UnskipError, match="did you mean 'align_kd'"):
        method_from("alignkd", {})


OWN = '''"""Squared distance of the answers: a method of one file."""

from pydantic import Field

from unskip import Method, Objective, Phase


class Distance(Objective):
    weight = 1.0

    def forward(self, images, labels, progress):
        return {"answers": self.weight * (self.student(images) - self.teacher(images)).square().mean()}


class Mine(Method):
    """Fields of it."""

    weight: float = Field(1.0, gt=0, description="of the distance")

    def phases(self, teacher, student, epochs, task):
        objective = Distance(student, task, teacher)
        objective.weight = self.weight
        return [Phase("mine", objective, student, epochs)]
'''


def test_a_method_of_ones_own_in_a_recipe(tmp_path, monkeypatch):
    from unskip import allow_module, load_recipe, own_code, run_recipe
    from unskip.recipe import recipe_from

    (tmp_path / "own_methods.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_code, "_allowed", set())
    tree = {
        "data": {"limit": 100, "test_limit": 40},
        "teacher": {"net": "resnet14", "options": {"width": 4}},
        "methods": {"mine": {"method": "own_methods:Mine", "weight": 0.5}},
        "training": {"epochs": 1, "batch_size": 50},
        "measure": {"latency": False, "parity_images": 10, "runtime": "torch"},
    }
    with pytest.raises(UnskipError, match="the method own_methods:Mine is code of the module own_methods"):
        recipe_from(tree)
    assert "own_methods" not in sys.modules
    allow_module("own_methods")
    with pytest.raises(UnskipError, match=r"methods\.mine: weight .*\(given: -1\)"):
        recipe_from({**tree, "methods": {"mine": {"method": "own_methods:Mine", "weight": -1}}})
    with pytest.raises(UnskipError, match=r"own_methods:Distance is no method: .*did you mean 'Mine'|no method"):
        recipe_from({**tree, "methods": {"mine": {"method": "own_methods:Distance"}}})
    run_recipe(recipe_from(tree), tmp_path / "run")
    recipe = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert recipe.methods == {"mine": {"method": "own_methods:Mine", "weight": 0.5}}
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [set(row["terms"]) for row in rows] == [{"ce"}, {"answers"}]
    assert (tmp_path / "run" / "export" / "mine.pt2").exists()
    sys.modules.pop("own_methods")


def test_a_file_in_the_folder_is_a_method_everywhere(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from unskip import methods
    from unskip.cli import app

    (tmp_path / "mine.py").write_text(OWN)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert "mine" in METHODS
    assert method_from("mine", {}).name == "mine"
    assert methods.Mine is METHODS["mine"]
    said = CliRunner().invoke(app(), ["methods"]).output
    assert "mine" in said
    assert "a method of one file" in said
    sys.modules.pop("unskip.methods.mine")


def test_a_label_can_differ_from_the_method():
    assert method_from("strong", {"method": "kd", "alpha": 1.0}) == method_from("kd", {"alpha": 1.0})


def test_objectives_run_under_autocast(teacher):
    for name in METHODS:
        _, _, phases = set_up(name, teacher)
        for phase in phases:
            with torch.autocast("cpu", torch.bfloat16):
                terms = phase.objective(IMAGES, LABELS, 0.0)
            assert all(term.dtype == torch.float32 for term in terms.values())


def test_every_module_of_a_student_is_reached():
    """A plain student has no dead parameter: what the shortcut used is gone."""
    plain = without_shortcuts(make_net("resnet14", {"width": 4, "num_classes": 3}))
    plain(IMAGES).sum().backward()
    assert all(p.grad is not None for p in plain.parameters())
    assert not any(isinstance(m, nn.Identity) for m in plain.modules())
