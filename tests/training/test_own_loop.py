"""A loop of the user's own over a plain DataLoader: the same steps as `unskip.distill`, for every method."""

import copy
import sys

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import unskip
from unskip import FadeKD, TrainingRecipe, UnskipError, distill, make_net, plain
from unskip.methods import METHODS, FrozenTeacher
from unskip.methods.base import Method, Objective, Phase
from unskip.tasks import Matching
from unskip.torchvision_compat import torchvision

EPOCHS = 5  # one for each phase of the method that has most
SETTINGS = TrainingRecipe(
    epochs=EPOCHS,
    precision="float32",
    channels_last=False,
    optimizer={"name": "sgd", "lr": 0.05, "momentum": 0.0, "nesterov": False, "weight_decay": 1e-3},
    schedule={"name": "constant"},
)


def loader(shuffle=False):
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(24, 3, 16, 16, generator=generator)
    return DataLoader(TensorDataset(images, torch.arange(24) % 3), batch_size=8, shuffle=shuffle)


@pytest.fixture
def teacher():
    torch.manual_seed(0)
    net = make_net("resnet14", {"width": 4, "num_classes": 3})
    for _ in range(3):
        net(torch.randn(8, 3, 16, 16))
    return net.eval()


def own_loop(method, teacher, batches, accumulate=1):
    torch.manual_seed(3)  # for new layers, as distill's seed
    loss = method.loss(teacher=teacher, student=plain(teacher), epochs=EPOCHS)
    loss.prepare(torch.cat([images for images, _ in batches]))
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.05, weight_decay=1e-3)
    steps = EPOCHS * len(batches)
    for step, (images, labels) in enumerate(batch for _ in range(EPOCHS) for batch in batches):
        (loss(images, labels, step / steps) / accumulate).backward()
        if (step + 1) % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
    return loss


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize("name", METHODS)
def test_it_is_distill_step_for_step(name, teacher):
    method, batches = METHODS[name](), loader()
    expected = distill(teacher, batches, method, student=plain(teacher), training=SETTINGS, seed=3)
    assert [row["epoch"] for row in expected.history] == list(range(1, EPOCHS + 1))
    loss = own_loop(method, teacher, batches)
    shipped = loss.finish(images for images, _ in batches)
    assert shipped.keys() == expected.keys()
    for net in shipped:
        assert same(shipped[net].state_dict(), expected[net].state_dict()), net
    assert not same(loss.student.state_dict(), method.loss(teacher, plain(teacher)).student.state_dict())


@pytest.mark.parametrize("name", METHODS)
def test_its_parameters_are_what_is_trained(name, teacher):
    loss = METHODS[name]().loss(teacher, plain(teacher))
    trained = {id(p) for phase in loss.phases for p in phase.trainable.parameters()}
    assert {id(p) for p in loss.parameters()} == trained
    assert not {id(p) for p in teacher.parameters()} & trained


@pytest.mark.parametrize("name", METHODS)
def test_gradients_can_be_accumulated(name, teacher):
    loss = own_loop(METHODS[name](), teacher, loader(), accumulate=3)
    assert loss.terms
    assert all(bool(torch.isfinite(tensor).all()) for tensor in loss.student.state_dict().values())


def resnet10(num_classes):
    """torchvision's, with one block in each stage."""
    resnet = torchvision.models.resnet
    return resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=num_classes)


def test_a_model_of_another_package_loses_its_shortcuts():
    model = resnet10(3)
    before = copy.deepcopy(model.state_dict())
    loss = FadeKD().loss(teacher=model, student=plain(model, fading=True))
    images, labels = torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0])
    for progress in (0.0, 0.1, 0.9):
        loss(images, labels, progress).backward()
    deployable = loss.finish()["student"]
    assert len(unskip.inventory(model, (3, 64, 64))) == 4
    assert unskip.inventory(deployable, (3, 64, 64)) == []
    assert same(model.state_dict(), before)
    assert deployable(images).shape == (4, 3)


@pytest.mark.parametrize(("where", "what"), [("meta", "device"), (torch.float64, "dtype")])
def test_a_frozen_teacher_goes_where_the_loss_goes(where, what, teacher):
    loss = METHODS["align_kd"]().loss(teacher, plain(teacher)).to(where)
    expected = torch.device(where) if what == "device" else where
    frozen = loss.phases[0].objective.teacher
    assert isinstance(frozen, FrozenTeacher)
    tensors = [*frozen.net.parameters(), *loss.parameters()]
    assert {getattr(each, what) for each in tensors} == {expected}
    assert not list(frozen.parameters())
    assert not frozen.state_dict()
    assert not any("teacher" in name for name in loss.state_dict())
    loss.train()
    assert not any(module.training for module in frozen.net.modules())
    assert {getattr(each, what) for each in teacher.parameters()} != {expected}


def test_phases_follow_progress_and_finished_parts_stay(teacher):
    loss = METHODS["stagewise_kd"]().loss(teacher, plain(teacher))
    images, labels = next(iter(loader()))
    for progress, part in ((0.0, 0), (0.19, 0), (0.2, 1), (0.6, 3), (0.99, 4), (1.0, 4)):
        loss.zero_grad()
        loss(images, labels, progress).backward()
        reached = [any(p.grad is not None for p in each.parameters()) for each in loss.student]
        assert reached == [place == part for place in range(5)], progress
        assert [each.training for each in loss.student][:part] == [False] * part


def test_an_interrupted_training_on_a_shuffling_loader_ends_with_the_same_bits(teacher, tmp_path):
    class Ending:
        def __init__(self, whole, left):
            self.whole, self.left = whole, left

        def __len__(self):
            return len(self.whole)

        def __iter__(self):
            for batch in self.whole:
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
                yield batch

    def trained(batches, checkpoint=None):
        student, settings = plain(teacher), SETTINGS.model_copy(update={"checkpoint_minutes": 1e-9})
        return distill(
            teacher, batches, METHODS["kd"](), student=student, training=settings, seed=1, checkpoint=checkpoint
        )

    expected = trained(loader(shuffle=True))
    with pytest.raises(KeyboardInterrupt):
        trained(Ending(loader(shuffle=True), left=9), tmp_path / "last.ckpt")
    resumed = trained(loader(shuffle=True), tmp_path / "last.ckpt")
    assert same(resumed["student"].state_dict(), expected["student"].state_dict())
    again = trained(loader(shuffle=True), tmp_path / "last.ckpt")
    assert same(again["student"].state_dict(), expected["student"].state_dict())
    assert again.history == resumed.history


def test_labels_alone_and_no_test_images(teacher):
    batches = loader()
    done = distill(None, batches, METHODS["ce"](), student=teacher, training=SETTINGS, test=batches)
    assert done.history[-1]["score"] > 0.3
    assert distill(None, batches, METHODS["ce"](), student=teacher, training=SETTINGS).history[-1]["score"] is None


def test_images_alone_for_a_task_without_labels(teacher):
    batches = [torch.randn(8, 3, 16, 16) for _ in range(2)]
    with pytest.raises(UnskipError, match="the method ce learns from labels, and the task matching has none"):
        distill(teacher, batches, METHODS["ce"](), task=Matching())
    for name in ("fade_kd", "stagewise_kd"):
        done = distill(teacher, batches, METHODS[name](), task=Matching(), training=SETTINGS, test=batches)
        assert 0 <= done.history[-1]["score"] <= 1
        assert not unskip.inventory(done["student"], (3, 16, 16))


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        ((batch for batch in loader()), "gone through once an epoch"),
        ([], "no batches"),
        ([("a", "b")], "expected batches"),
        (5, "gone through"),
    ],
)
def test_what_is_no_loader_is_refused(batches, said, teacher):
    with pytest.raises(UnskipError, match=said):
        distill(teacher, batches, METHODS["kd"](), training=SETTINGS)


IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (torch.tensor([0, 1, 2, 7]), "labels hold 7, and the network tells 3 classes apart, 0 to 2"),
        (torch.tensor([0, 1, -1, 2]), "labels hold -1"),
        (torch.tensor([[0], [1], [2], [0]]), r"\(4, 1\) of torch.int64; expected \(4,\)"),
        (torch.tensor([0.0, 1.0, 2.0, 0.0]), "torch.float32; expected"),
        (None, "the task classification learns from labels"),
    ],
)
def test_labels_that_do_not_fit_are_refused_in_a_sentence(labels, said, teacher):
    batches = [(IMAGES, labels) if labels is not None else IMAGES]
    with pytest.raises(UnskipError, match=said):
        distill(teacher, batches, METHODS["kd"](), training=SETTINGS)
    with pytest.raises(UnskipError, match=said):
        METHODS["kd"]().loss(teacher, plain(teacher))(IMAGES, labels)
    if labels is not None:
        with pytest.raises(UnskipError, match=said):
            unskip.evaluate(teacher, batches)


def test_a_module_that_does_not_fit_the_images_is_refused_in_a_sentence():
    model = resnet10(3)
    digits = unskip.load_data(unskip.DataRecipe(name="digits"))
    with pytest.raises(UnskipError, match="the network does not take images of 1x8x8"):
        distill(model, digits, METHODS["kd"](), training=SETTINGS)
    model.conv1 = torch.nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    with pytest.raises(UnskipError, match="the network tells 3 classes apart, but the images have 10"):
        distill(model, digits, METHODS["kd"](), training=SETTINGS)
    few, many = map(resnet10, (3, 5))
    with pytest.raises(UnskipError, match="the student tells 3 classes apart and its teacher 5"):
        METHODS["kd"]().loss(many, plain(few))(torch.randn(2, 3, 64, 64), torch.tensor([0, 1]))


class Forgetful(Method):
    """Trains a layer that its objective keeps in a list."""

    def phases(self, teacher, student, epochs, task):
        class Hidden(Objective):
            def forward(self, images, labels, progress):
                return {"ce": self.task.label_loss(self.student(images), labels)}

        return [Phase("hidden", Hidden(student, task), torch.nn.ModuleList([student, torch.nn.Linear(2, 2)]), epochs)]


def test_what_is_trained_and_not_held_is_refused(teacher):
    with pytest.raises(UnskipError, match="does not hold what"):
        Forgetful().loss(teacher)


def test_fields_are_checked_in_one_sentence():
    assert unskip.AlignKD(alpha=0.3).alpha == 0.3
    with pytest.raises(UnskipError, match=r"align_kd: alpha .*\(given: 3\)"):
        unskip.AlignKD(alpha=3)
    with pytest.raises(UnskipError, match="did you mean 'alpha'"):
        unskip.AlignKD(alhpa=0.3)


class AskedError(Exception):
    """Holds the settings with which a training would begin."""


@pytest.mark.parametrize(
    ("method", "given", "optimizer", "rate"),
    [
        ("fit_kd", None, "adamw", 0.0001),
        ("fit_kd", {"epochs": 3}, "adamw", 0.0001),
        ("fit_kd", {"optimizer": {"name": "sgd", "lr": 0.2}}, "sgd", 0.1),
        ("fit_kd", {"schedule": {"name": "onecycle", "max_lr": 0.01}}, "sgd", 0.01),
        ("fade_kd", None, "sgd", 0.1),
    ],
)
def test_settings_that_are_left_open_suit_a_fitted_start(method, given, optimizer, rate, monkeypatch):
    def asked(*_, training, **__):
        raise AskedError(training)

    monkeypatch.setattr(sys.modules[distill.__module__], "train_student", asked)
    settings = None if given is None else TrainingRecipe.model_validate(given)
    with pytest.raises(AskedError) as error:
        distill(make_net("resnet8", {"width": 2}), [], METHODS[method](), training=settings)
    (training,) = error.value.args
    assert (training.optimizer.name, training.highest_rate) == (optimizer, rate)
    assert training.epochs == (given or {}).get("epochs", TrainingRecipe().epochs)
