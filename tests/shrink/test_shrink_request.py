"""What a user asks for."""

import pytest

from unskip.errors import UnskipError
from unskip.shrink import Request, base_recipe

RECIPE = base_recipe("resnet8", data="digits")


def test_a_run_folder_stands_for_its_teacher_and_its_images(tmp_path):
    import unskip

    tree = unskip.load_recipe("demo").model_dump(mode="json")
    tree |= {
        "teacher": {"net": "resnet8", "options": {"width": 8}, "training": {"epochs": 1, "batch_size": 64}},
        "data": {"name": "digits", "limit": 200, "test_limit": 50},
        "methods": {"ce": {}},
        "training": {"epochs": 1, "batch_size": 64},
        "measure": {"latency": False},
    }
    from unskip.recipe import recipe_from

    unskip.run_recipe(recipe_from(tree, (), origin="test"), tmp_path / "run")
    recipe = base_recipe(str(tmp_path / "run"))
    assert recipe.teacher.net == "resnet8"
    assert recipe.teacher.options == {"width": 8}
    assert recipe.teacher.weights == str(tmp_path / "run" / "nets" / "teacher.safetensors")
    assert (recipe.data.name, recipe.data.limit, recipe.data.test_limit) == ("digits", 200, 50)
    assert base_recipe(str(tmp_path / "run"), data="cifar10").data.name == "cifar10"


def test_images_must_be_named():
    with pytest.raises(UnskipError, match="`data`"):
        base_recipe("resnet8")


def test_a_slip_in_the_network_is_said_first():
    with pytest.raises(UnskipError, match="resnet9"):
        base_recipe("resnet9")
    with pytest.raises(UnskipError, match="runs/nowhere"):
        base_recipe("runs/nowhere")


def test_a_file_takes_no_other_weights(teacher_file):
    with pytest.raises(UnskipError, match="trained network already"):
        base_recipe(str(teacher_file), weights="others.pth", data="digits")


@pytest.mark.parametrize(
    "setting",
    ["training.epochs=3", "student.edits=[]", "methods.kd.alpha=1", "teacher.net=resnet20", "measure.threads=2"],
)
def test_what_is_looked_for_cannot_be_set(setting):
    with pytest.raises(UnskipError, match=setting.partition("=")[0]):
        base_recipe("resnet8", data="digits", settings=[setting])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"limits": {}}, "at least one limit"),
        ({"limits": {"memory": "much"}}, "`memory` much"),
        ({"preset": "better"}, "no `preset` 'better'"),
        ({"runtime": "tensorrt"}, "tensorrt"),
        ({"runtime": "ethos_u"}, "one device"),
        ({"element": "int4"}, "int4"),
    ],
)
def test_what_cannot_be(wrong, sentence):
    with pytest.raises(UnskipError, match=sentence):
        Request(**{"recipe": RECIPE, "limits": {"memory": "4KiB"}, **wrong})


def test_images_without_labels_are_refused():
    unlabelled = RECIPE.model_copy(update={"task": RECIPE.task.model_copy(update={"name": "matching"})})
    with pytest.raises(UnskipError, match="labels"):
        Request(recipe=unlabelled, limits={"memory": "4KiB"})
