"""Wrong teachers are stopped before a student trains, with the cause and what to do."""

import io

import pytest
import torch
from records import samples
from rich.console import Console

from unskip import CE, TrainingRecipe, UnskipError, distill, load_data, load_net, make_net, run_recipe
from unskip.data import named_normalization
from unskip.recipe import DataRecipe, recipe_from
from unskip.records import Run
from unskip.run_folder import RunFolder
from unskip.tasks import Score
from unskip.teacher_check import stated_accuracy, weakness

NET = {"net": "resnet14", "options": {"width": 8}}
SMALL = {
    "data": {"name": "digits", "limit": 100},
    "teacher": NET,
    "methods": {"kd": {}},
    "training": {"epochs": 1, "batch_size": 50},
    "measure": {"latency": False, "parity_images": 8, "runtime": "torch"},
}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """State dicts of trained networks: as the data has it, one for pixels from 0 to 255, one of another order."""
    folder = tmp_path_factory.mktemp("teachers")
    data = load_data(DataRecipe(name="digits"), device="cpu")
    seen = {"right": data, "pixels": data.normalized(named_normalization("pixels", 1))}
    for name, images in seen.items():
        torch.manual_seed(0)
        net = make_net("resnet14", {"width": 8, "num_classes": 10, "in_channels": 1})
        distill(None, images, CE(), student=net, training=TrainingRecipe(epochs=6, batch_size=50))
        torch.save(net.state_dict(), folder / f"{name}.pth")
    state = torch.load(folder / "right.pth", weights_only=True)
    for key in ("head.fc.weight", "head.fc.bias"):
        state[key] = state[key][[3, 0, 7, 1, 9, 5, 2, 8, 4, 6]]
    torch.save(state, folder / "order.pth")
    right = torch.load(folder / "right.pth", weights_only=True)
    torch.save({"state_dict": right, "best_prec1": 95.0}, folder / "says.pth")
    return folder


def run(teachers, name, folder, *settings):
    """What is printed."""
    printed = io.StringIO()
    recipe = recipe_from(SMALL, [f"teacher.weights={teachers / name}.pth", *settings])
    run_recipe(recipe, folder, console=Console(file=printed, width=1000))
    return printed.getvalue().splitlines()


@pytest.mark.parametrize(
    ("name", "settings", "cause"),
    [
        ("right", ["teacher.normalization=pixels"], "add `teacher.normalization=data`"),
        ("pixels", [], "add `teacher.normalization=pixels`"),
        ("order", [], r"classes are in another order .* \[1, 3, 6, 0, 8, 5, 9, 2, 7, 4\]"),
        ("says", ["teacher.normalization=pixels"], "add `teacher.normalization=data`"),
    ],
)
def test_wrong_teachers_are_stopped_with_the_cause(teachers, tmp_path, name, settings, cause):
    with pytest.raises(UnskipError, match=cause):
        run(teachers, name, tmp_path / "run", *settings)
    assert not RunFolder(tmp_path / "run").started, "so that the mended recipe can use the same folder"


def test_too_few_images_to_tell_are_said_where_it_matters(teachers, tmp_path):
    words = "60 test images cannot tell whether it knows more than the most frequent class"
    said = {
        name: " ".join(run(teachers, name, tmp_path / name, "data.test_limit=60", "methods={ce: {}}"))
        for name in ("order", "right")
    }
    assert words in said["order"]
    assert words not in said["right"]
    unasked = "images are normalised by their own mean and deviation, which 60 test images are too few to question"
    assert unasked in said["right"]
    named = run(
        teachers, "right", tmp_path / "named", "data.test_limit=60", "teacher.normalization=data", "methods={ce: {}}"
    )
    assert unasked not in " ".join(named)


def test_the_mended_recipe_runs_in_the_same_folder(teachers, tmp_path):
    with pytest.raises(UnskipError, match="nobody should learn from it"):
        run(teachers, "pixels", tmp_path / "run")
    lines = run(teachers, "pixels", tmp_path / "run", "teacher.normalization=pixels")
    (said,) = [line for line in lines if "% top-1 on " in line]
    assert float(said.removeprefix("teacher: ").split(" %")[0]) > 80
    first_student = next(place for place, line in enumerate(lines) if line.startswith("kd:"))
    assert lines.index(said) < first_student
    for label in ("teacher", "kd"):
        _, info = load_net(tmp_path / "run" / "nets" / f"{label}.safetensors")
        assert (info.mean, info.std) == ((0.0,), (1 / 255,))
    results = Run.read(tmp_path / "run")
    assert f"{100 * results.score(results.teacher):.2f}" in said
    assert results.data.chance == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("setting", ["teacher.accept_weak=true", "methods={ce: {}}"])
def test_told_to_go_on_or_teaching_nobody_it_is_only_said(teachers, tmp_path, setting):
    lines = run(teachers, "order", tmp_path / "run", setting)
    assert any("likely cause: its classes are in another order" in line for line in lines)
    assert (tmp_path / "run" / "report.html").exists()


def test_a_normalisation_of_other_channels_is_refused(teachers, tmp_path):
    with pytest.raises(UnskipError, match=r"teacher.normalization: .* 3 channels .* have 1"):
        run(teachers, "right", tmp_path / "run", "teacher.normalization=imagenet")


def accuracy(top1, images=1000, chance=0.1):
    return Score("top1", {"top1": top1}, images, chance)


@pytest.mark.parametrize(
    ("score", "trained_elsewhere", "stated", "words"),
    [
        (accuracy(0.1), False, None, "at chance"),
        (accuracy(0.12), False, None, None),
        (accuracy(0.12), True, None, "at chance"),
        (accuracy(0.18), True, None, "near chance"),
        (accuracy(0.25), True, None, None),
        (accuracy(0.54, chance=0.5), True, None, "at chance"),
        (accuracy(0.6, chance=0.5), True, None, None),
        (accuracy(0.03, chance=0.005), True, None, None),
        (accuracy(0.1, images=50), True, 0.9, None),
        (accuracy(0.6), True, 0.918, "its file states 91.8 %"),
        (accuracy(0.81), True, 0.918, None),
    ],
)
def test_what_makes_a_teacher_worthless(score, trained_elsewhere, stated, words):
    said = weakness(score, trained_elsewhere=trained_elsewhere, stated=stated)
    assert said is None if words is None else words in said


@pytest.mark.parametrize(
    ("extra", "stated"),
    [
        ({"best_prec1": 91.78}, 0.9178),
        ({"best_acc": torch.tensor(0.5)}, 0.5),
        ({"acc": "good"}, None),
        ({"acc1": True}, None),
        ({"top1": float("nan")}, None),
        ({}, None),
    ],
)
def test_what_a_checkpoint_states(tmp_path, extra, stated):
    torch.save({"state_dict": {}, **extra}, tmp_path / "a.th")
    assert stated_accuracy(tmp_path / "a.th") == (stated and pytest.approx(stated))


def test_what_a_run_states_of_its_networks(tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "run.json").write_text(samples.run(("kd",)).model_dump_json())
    assert stated_accuracy(tmp_path / "nets" / "kd.safetensors") == samples.SCORES["kd"]
    assert stated_accuracy(tmp_path / "nets" / "ce.safetensors") is None
    (tmp_path / "run.json").write_text("[]")
    assert stated_accuracy(tmp_path / "nets" / "kd.safetensors") is None
