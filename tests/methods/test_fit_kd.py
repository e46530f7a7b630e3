"""A plain net starts with what its teacher's blocks answered with their shortcuts."""

import copy
import re

import pytest
import torch
from rich.console import Console
from torch import nn

from unskip import DataRecipe, TrainingRecipe, UnskipError, load_data, make_net
from unskip.edits import fit_without_shortcuts, without_shortcuts
from unskip.methods import METHODS, method_from
from unskip.nets.staged_net import Residual, StagedNet
from unskip.recipe import recipe_from
from unskip.surgery import residual_blocks
from unskip.tasks import Classification
from unskip.training import Checkpoint, distill, train_student
from unskip.training.monitor import Monitor

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
    assert asked == [2, 20], "two to see how large their maps are"


def test_it_takes_fewer_images_where_their_maps_are_large(teacher, monkeypatch):
    largest = 4 * 16 * 16  # numbers in a map of the first stage, for one image
    monkeypatch.setattr("unskip.methods.fit_kd._BYTES", 30 * 4 * largest)
    said = method_from("fit_kd", {"images": 40}).loss(teacher).prepare(IMAGES)
    assert "fitted on 30 of 40 images" in said
    assert "(more images would take" in said
    said = method_from("fit_kd", {"images": 400}).loss(teacher).prepare(lambda count: IMAGES[: min(count, 10)])
    assert "fitted on 10 images" in said, "there are no more"


def test_it_says_how_far_it_is(teacher):
    said = []
    loss = method_from("fit_kd", {}).loss(teacher, without_shortcuts(teacher, keep=["stage2"]))
    loss.prepare(IMAGES, said.append)
    assert [text.split(" fitted: ")[0] for text in said] == [f"block {number} of 4" for number in (1, 2, 3, 4)]
    assert "stage1.block1 misses" in said[0]
    assert "left" in said[0]


def test_without_passes_it_is_least_squares_alone(teacher):
    loss = method_from("fit_kd", {"passes": 0}).loss(teacher)
    loss.prepare(IMAGES)
    fitted = fit_without_shortcuts(teacher, IMAGES.split(24), passes=0)
    assert torch.equal(loss.student.eval()(IMAGES), fitted.net(IMAGES))


def test_the_run_says_how_good_the_start_is():
    console = Console(record=True, width=500)
    training = TrainingRecipe(epochs=1, batch_size=32, precision="float32")
    train_student(
        of_digits(), digits(), method_from("fit_kd", {}), training=training, monitor=Monitor("plain", console)
    )
    assert re.search(r"plain: 6 blocks fitted .*; score \d+\.\d\d % before the first step", console.export_text())


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
    least_squares = method_from("fit_kd", {"passes": 0})
    loss = least_squares.loss(of_blocks(bad, good))
    said = loss.prepare(IMAGES)
    assert "1 block fitted" in said
    assert "1 could not be, stage1.0 first: its body does not end with a convolution" in said
    kept = loss.student.get_submodule("stage1.0.body").state_dict()
    assert all(torch.equal(kept[key], tensor) for key, tensor in bad.state_dict().items())
    with pytest.raises(UnskipError, match=r"fit_kd can fit none of the blocks: stage1\.0.*`passes` above 0"):
        least_squares.loss(of_blocks(bad)).prepare(IMAGES)
    assert "2 blocks fitted" in method_from("fit_kd", {}).loss(of_blocks(bad, good)).prepare(IMAGES), "by training"


@pytest.mark.parametrize(
    ("tree", "optimizer", "rate"),
    [
        ({"methods": {"fit_kd": {}}}, "adamw", 0.0001),
        ({"methods": {"a": {"method": "fit_kd"}, "b": {"method": "fit_kd", "images": 64}}}, "adamw", 0.0001),
        ({"methods": {"fit_kd": {}, "align_kd": {}}}, "sgd", 0.1),
        ({"methods": {"fit_kd": {}}, "training": {"schedule": {"max_lr": 0.003}}}, "sgd", 0.003),
        ({"methods": {"fit_kd": {}}, "training": {"optimizer": {"name": "adam"}}}, "adam", 0.01),
    ],
)
def test_a_recipe_that_fits_has_an_optimiser_for_it(tree, optimizer, rate):
    recipe = recipe_from(tree)
    assert recipe.training.optimizer.name == optimizer
    assert recipe.training.schedule.max_lr == rate
    of_teacher = recipe.training_of("teacher")
    assert of_teacher.optimizer.name == ("adam" if optimizer == "adam" else "sgd"), "not the teacher's"


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
