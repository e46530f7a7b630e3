"""A plain net starts with what its teacher's blocks answered with their shortcuts."""

import copy

import pytest
import torch
from torch import nn

from unskip import DataRecipe, TrainingRecipe, UnskipError, load_data, make_net
from unskip.edits import fit_without_shortcuts, without_shortcuts
from unskip.methods import METHODS, method_from
from unskip.nets.staged_net import Residual, StagedNet
from unskip.recipe import recipe_from
from unskip.surgery import residual_blocks
from unskip.tasks import Classification
from unskip.training import Checkpoint, distill, train_student

IMAGES = torch.randn(48, 3, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    net = make_net("resnet14", {"width": 4, "num_classes": 3})
    for _ in range(20):
        net(IMAGES)
    return net.eval()


def digits():
    return load_data(DataRecipe(name="digits", limit=96, test_limit=32))


def of_digits():
    torch.manual_seed(0)
    net = make_net("resnet14", {"width": 4, "in_channels": 1, "num_classes": 10})
    net(torch.randn(32, 1, 8, 8))
    return net.eval()


def test_it_starts_with_the_fitted_blocks(teacher):
    loss = method_from("fit_kd", {}).loss(teacher)
    assert torch.equal(loss.student.eval()(IMAGES), without_shortcuts(teacher).eval()(IMAGES)), "cut until then"
    said = loss.prepare(IMAGES)
    fitted = fit_without_shortcuts(teacher, IMAGES.split(24))
    assert torch.equal(loss.student.eval()(IMAGES), fitted.net(IMAGES))
    assert "6 blocks fitted on 48 images" in said
    assert all(parameter.requires_grad for parameter in loss.student.parameters())


def test_it_is_fitted_on_as_many_images_as_it_says(teacher):
    asked = []

    def images(count):
        asked.append(count)
        return IMAGES

    loss = method_from("fit_kd", {"images": 20}).loss(teacher)
    assert "on 20 images" in loss.prepare(images)
    assert asked == [20]


def test_shortcuts_that_the_student_keeps_stay(teacher):
    loss = method_from("fit_kd", {}).loss(teacher, without_shortcuts(teacher, keep=["stage2"]))
    loss.prepare(IMAGES)
    assert all(place.startswith("stage2") for place in residual_blocks(loss.student))
    assert loss.student.spec == without_shortcuts(teacher, keep=["stage2"]).spec


def test_it_trains_by_the_loss_of_align_kd(teacher):
    plain = without_shortcuts(teacher)
    ours, theirs = (method_from(name, {}).loss(teacher, plain) for name in ("fit_kd", "align_kd"))
    labels = torch.arange(48) % 3
    assert ours(IMAGES, labels, 0.2).item() == pytest.approx(theirs(IMAGES, labels, 0.2).item())


def test_a_training_begins_with_the_fit_and_goes_on_without_another(tmp_path, monkeypatch):
    teacher, method = of_digits(), method_from("fit_kd", {"images": 64})
    training = TrainingRecipe(epochs=2, batch_size=32, validate_every=2, precision="float32", snapshots=[0])
    kept = {}

    def keep(epochs, net):
        kept[epochs] = copy.deepcopy(net)

    loss, _ = train_student(
        teacher, digits(), method, training=training, checkpoint=Checkpoint(tmp_path / "c"), on_snapshot=keep
    )
    images = digits().train_images(64, 0)
    expected = fit_without_shortcuts(teacher, images.split(32)).net
    assert torch.allclose(kept[0].eval()(images), expected(images), atol=1e-4)
    monkeypatch.setattr(type(method), "prepare", lambda *_: pytest.fail("fitted again"))
    again, _ = train_student(teacher, digits(), method, training=training, checkpoint=Checkpoint(tmp_path / "c"))
    assert all(
        torch.equal(tensor, again.student.state_dict()[key]) for key, tensor in loss.student.state_dict().items()
    )


def test_what_ships_has_no_shortcuts():
    shipped = distill(
        of_digits(), digits(), method_from("fit_kd", {}), training=TrainingRecipe(epochs=1, batch_size=32)
    )
    assert not residual_blocks(shipped["student"])


def test_a_student_of_another_architecture_is_refused(teacher):
    with pytest.raises(UnskipError, match="fit_kd starts from the teacher"):
        method_from("fit_kd", {}).student_of(teacher, without_shortcuts(make_net("resnet20", {"num_classes": 3})))
    with pytest.raises(UnskipError, match="fit_kd finds no shortcut"):
        method_from("fit_kd", {}).student_of(teacher, teacher)


def of_blocks(*bodies):
    blocks = nn.Sequential(*(Residual(body, activation=nn.ReLU()) for body in bodies))
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    return StagedNet({"stem": nn.ReLU(), "stage1": blocks, "head": head}).eval()


def test_blocks_that_cannot_be_fitted_are_named():
    good = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1))
    bad = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU())
    said = method_from("fit_kd", {}).loss(of_blocks(good, bad)).prepare(IMAGES)
    assert "1 block fitted" in said
    assert "1 could not be, stage1.1 first: its body does not end with a convolution" in said
    with pytest.raises(UnskipError, match=r"fit_kd can fit none of the blocks: stage1\.0"):
        method_from("fit_kd", {}).loss(of_blocks(bad)).prepare(IMAGES)


@pytest.mark.parametrize(
    ("tree", "optimizer", "rate"),
    [
        ({"methods": {"fit_kd": {}}}, "adamw", 0.0003),
        ({"methods": {"a": {"method": "fit_kd"}, "b": {"method": "fit_kd", "images": 64}}}, "adamw", 0.0003),
        ({"methods": {"fit_kd": {}, "align_kd": {}}}, "sgd", 0.1),
        ({"methods": {"fit_kd": {}}, "training": {"schedule": {"max_lr": 0.003}}}, "sgd", 0.003),
        ({"methods": {"fit_kd": {}}, "training": {"optimizer": {"name": "adam"}}}, "adam", 0.01),
    ],
)
def test_a_recipe_that_fits_has_an_optimiser_for_it(tree, optimizer, rate):
    recipe = recipe_from(tree)
    assert recipe.training.optimizer.name == optimizer
    assert recipe.training.schedule.max_lr == rate
    assert recipe.teacher_training().optimizer.name == ("adam" if optimizer == "adam" else "sgd"), "not the teacher's"


def test_what_it_trained_is_trained_on_by_align_kd():
    assert method_from("fit_kd", {"alpha": 0.3}).continued() == method_from("align_kd", {"alpha": 0.3}).continued()


def test_the_loss_of_methods_without_a_start_has_nothing_to_prepare(teacher):
    before = copy.deepcopy(teacher.state_dict())
    for name in sorted(set(METHODS) - {"fit_kd"}):
        loss = method_from(name, {}).loss(teacher, epochs=8, task=Classification())
        start = copy.deepcopy(loss.student.state_dict())
        assert loss.prepare(IMAGES) == ""
        assert all(torch.equal(tensor, start[key]) for key, tensor in loss.student.state_dict().items())
    assert all(torch.equal(tensor, before[key]) for key, tensor in teacher.state_dict().items())
