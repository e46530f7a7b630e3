import contextlib
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from unskip import UnskipError, load_recipe
from unskip.listing import named_recipes
from unskip.methods import METHODS, method_class
from unskip.recipe import DataRecipe, OneCycle, Recipe, TrainingRecipe, recipe_from
from unskip.recipe_nets import check_nets

SMALL = {"teacher": {"net": "resnet14"}, "training": {"epochs": 3}}


def test_the_defaults_are_the_papers():
    """AlignKD, section 5, and what ../docs/reference/methods.md says of the rest."""
    recipe = recipe_from({})
    training = recipe.training
    assert (training.epochs, training.batch_size) == (200, 128)
    assert training.optimizer.model_dump() == {
        "name": "sgd",
        "lr": 0.01,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 5e-4,
    }
    assert training.schedule.max_lr == 10 * training.optimizer.lr
    assert training.schedule.div_factor == 10
    align_kd = {
        "alpha": 0.5,
        "temperature": 1.0,
        "feature_weight": 1.0,
        "final_feature_weight": 0.5,
        "decay_share": 0.3,
        "feature": "mse",
        "taps": None,
    }
    assert recipe.methods == {"fade_kd": {**align_kd, "fade_share": 0.25, "order": "together"}}
    assert recipe_from({"student": {"net": "resnet20"}}).methods == {"align_kd": align_kd}
    assert recipe_from({"methods": {"a": {"method": "kd"}}}).methods == {
        "a": {"method": "kd", "temperature": 4.0, "alpha": 0.9}
    }
    assert recipe.student.init == "fresh"
    assert recipe.teacher.edits == ()
    assert recipe.student.edits == ({"without_shortcuts": {"keep": [], "only": []}},)


@pytest.mark.parametrize(
    ("student", "method"),
    [
        ({}, "fade_kd"),
        ({"init": "fresh"}, "fade_kd"),
        ({"edits": []}, "align_kd"),
        ({"options": {}}, "align_kd"),
        ({"initial_weights": "plain.safetensors"}, "align_kd"),
    ],
)
def test_the_default_method_fits_the_student(student, method):
    assert list(recipe_from({"student": student}).methods) == [method]
    assert list(recipe_from({"student": student, "methods": {"ce": {}}}).methods) == ["ce"]


@pytest.mark.parametrize("name", [name for name in METHODS if method_class(name).starts_as_teacher])
def test_weights_that_a_method_would_not_use_are_refused(name):
    """It trained the teacher's, and nobody was told."""
    tree = {"student": {"initial_weights": "plain.safetensors"}, "methods": {"ce": {}, "mine": {"method": name}}}
    with pytest.raises(UnskipError, match=r"methods\.mine starts from the teacher's weights, so plain\.safetensors "):
        recipe_from(tree)
    recipe_from({**tree, "student": {}})
    recipe_from({**tree, "student": {**tree["student"], "edits": ["with_fading_shortcuts"]}})


def test_a_resolved_recipe_reads_back_as_it_was(tmp_path):
    recipe = recipe_from(
        SMALL,
        [
            "methods.kd.alpha=0.5",
            "student.edits=[{without_shortcuts: {keep: [projection]}}]",
            "training.schedule.name=cosine",
        ],
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe.to_yaml())
    assert load_recipe(path) == recipe
    assert load_recipe(path).to_yaml() == recipe.to_yaml()


@pytest.mark.parametrize("name", named_recipes())
def test_every_recipe_of_the_project_is_valid_and_titled(name):
    recipe = load_recipe(name)
    assert recipe.title
    assert load_recipe(named_recipes()[name]) == recipe
    assert recipe_from(yaml.safe_load(recipe.to_yaml())) == recipe


@pytest.mark.parametrize(
    ("setting", "read"),
    [
        ("training.epochs=8", lambda r: r.training.epochs == 8),
        ("training.optimizer.lr=1e-3", lambda r: r.training.optimizer.lr == 1e-3),
        ("training.clip_norm=1", lambda r: r.training.clip_norm == 1.0),
        ("training.optimizer={name: adam, lr: 3e-4}", lambda r: r.training.optimizer.lr == 3e-4),
        ("training.schedule.milestones=[0.5]", None),
        ("training.channels_last=false", lambda r: r.training.channels_last is False),
        ("data.path=/tmp/a=b", lambda r: r.data.path == "/tmp/a=b"),
        ("methods.kd.temperature=2", lambda r: r.methods["kd"] == {"temperature": 2.0, "alpha": 0.9}),
        ("teacher.options.width=32", lambda r: r.teacher.options == {"width": 32}),
        ("title=", lambda r: False),
    ],
)
def test_settings(setting, read):
    if read is None:
        changed = recipe_from(SMALL, ["training.schedule.name=step", setting])
        assert changed.training.schedule.milestones == (0.5,)
    elif setting == "title=":
        with pytest.raises(UnskipError, match="title"):
            recipe_from(SMALL, [setting])
    else:
        assert read(recipe_from(SMALL, [setting]))


@pytest.mark.parametrize(
    ("tree", "settings", "says"),
    [
        ({"trainin": {}}, [], "trainin: unknown key; did you mean 'training'"),
        ({"training": {"epoch": 3}}, [], "training.epoch: unknown key; did you mean 'epochs'"),
        ({"training": {"optimizer": {"name": "sgd", "learning_rate": 1.0}}}, [], "training.optimizer.learning_rate"),
        ({"training": {"optimizer": {"name": "sgd", "momentun": 1.0}}}, [], "did you mean 'momentum'"),
        ({"training": {"schedule": {"name": "onecyle"}}}, [], "onecyle.*onecycle"),
        ({"training": {"epochs": "8"}}, [], "training.epochs.*whole number.*'8'"),
        ({"training": {"epochs": 8.5}}, [], "training.epochs.*whole number"),
        ({"training": {"epochs": True}}, [], "training.epochs.*whole number"),
        ({"training": {"epochs": 0}}, [], "training.epochs"),
        ({"training": {"optimizer": {"name": "sgd", "lr": -1.0}}}, [], "training.optimizer.lr.*greater than 0"),
        ({"training": {"schedule": {"name": "step", "milestones": [0.7, 0.5]}}}, [], "rising"),
        ({"training": {"optimizer": {"name": "sgd", "momentum": 0.0}}}, [], "nesterov"),
        ({"data": {"limit": 3, "fraction": 0.5}}, [], "not both"),
        ({"data": {"fraction": 1.5}}, [], "data.fraction"),
        ({"methods": {}}, [], "methods is empty"),
        ({"methods": {"align_k": {}}}, [], "did you mean 'align_kd'"),
        ({"methods": {"kd": {"alpha": 2.0}}}, [], "methods.kd: alpha"),
        ({"methods": {"teacher": {"method": "kd"}}}, [], "label"),
        ({"methods": {"../x": {"method": "kd"}}}, [], "label"),
        ({"student": {"init": "teacher", "net": "resnet20"}}, [], "student.init: teacher"),
        ({"seed": -1}, [], "seed"),
        ({"seed": 2**63}, [], "seed .*at most"),
        ({"training": {"optimizer": {"name": "adam", "betas": [0.9, 1.0]}}}, [], "betas.1 .*less than 1"),
        ({"training": {"optimizer": {"name": "adam", "betas": ["0.9", 0.9]}}}, [], "betas.0 .*number"),
        ({"training": {"epochs": 10**18}}, [], "training.epochs .*at most"),
        ({"training": {"batch_size": 10**12}}, [], "training.batch_size .*at most"),
        ({"data": {"image_size": 10**7}}, [], "data.image_size: .*from 4 to 16384"),
        ({"data": {"workers": 10**6}}, [], "data.workers .*at most"),
        ({"title": "a\nb"}, [], "one line"),
        ({"title": "x" * 600}, [], "at most 500"),
        ({"methods": {"x" * 101: {"method": "kd"}}}, [], "a label is up to 100"),
        ({"a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1}, [], "; and 2 more$"),
        ({"seed": {1, 2}}, [], "holds what is no plain data: .*set is not JSON serializable"),
        ({"training": {"clip_norm": float("inf")}}, [], "no plain data: Out of range float"),
        ({"x" * 9000: 1}, [], r"xx\.\.xx.*: unknown key"),
        ({}, ["a..b=3"], "KEY=VALUE"),
        ({}, [f"{'a.' * 5000}a=3"], "KEY=VALUE"),
        ({}, ["training.clip_norm=.inf"], "no finite number"),
        ({}, ["training.clip_norm=1e999"], "no finite number"),
        ({}, ["epochs"], "KEY=VALUE"),
        ({}, ["=3"], "KEY=VALUE"),
        ({"seed": 1}, ["seed.x=3"], "seed is a value"),
        ({}, ["training.epochs=["], "not YAML"),
    ],
)
def test_mistakes_are_named(tree, settings, says):
    with pytest.raises(UnskipError, match=says):
        recipe_from(tree, settings)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"a: [", "not YAML"), (b"- a\n", "mapping"), (b"", "mapping"), (b"\xff\xfe", "not YAML"), (b"x", "mapping")],
)
def test_files_that_are_no_recipe(tmp_path, content, says):
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(UnskipError, match=says):
        load_recipe(path)


def test_a_recipe_that_is_not_there():
    with pytest.raises(UnskipError, match="did you mean 'cifar10-quick'"):
        load_recipe("cifar10-quik")


def test_what_holds_itself_or_has_no_end_is_no_recipe():
    loop: dict = {}
    loop["data"] = loop
    deep: dict = {}
    for _ in range(100_000):
        deep = {"data": deep}
    for tree in (loop, deep):
        with pytest.raises(UnskipError, match="no plain data"):
            recipe_from(tree)


@pytest.mark.parametrize("section", ["methods", "training", "data"])
def test_infinity_is_no_setting_from_python_either(section):
    """Recipes are read from YAML, which refuses it; sections are also made by hand."""
    made = {"methods": method_class("kd"), "training": OneCycle, "data": DataRecipe}[section]
    field = {"methods": "temperature", "training": "max_lr", "data": "test_fraction"}[section]
    for value in (float("inf"), float("nan")):
        with pytest.raises((ValidationError, UnskipError), match="finite"):
            made(**{field: value})


keys = st.sampled_from(list(Recipe.model_fields)) | st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda v: st.dictionaries(keys, v)
)


@given(st.dictionaries(keys, values, max_size=3))
def test_anything_is_a_recipe_or_a_sentence(tree):
    """No other exception than the one that users are meant to read."""
    with contextlib.suppress(UnskipError):
        assert isinstance(recipe_from(tree), Recipe)


@pytest.mark.parametrize(
    ("edits", "read"),
    [
        ("[]", ()),
        ("[fold_dirac]", ({"fold_dirac": {}},)),
        ("[{fold_dirac: null}]", ({"fold_dirac": {}},)),
        (
            "[{with_grouped_convs: {groups: 2}}, without_shortcuts]",
            (
                {"with_grouped_convs": {"groups": 2, "channels_per_group": None}},
                {"without_shortcuts": {"keep": [], "only": []}},
            ),
        ),
        ("[{at_depth: {blocks: [2, 2]}}]", ({"at_depth": {"blocks": [2, 2]}},)),
    ],
)
def test_edits_are_names_with_all_their_arguments(edits, read):
    assert recipe_from({}, [f"student.edits={edits}"]).student.edits == read


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ("[without_shortcut]", "did you mean 'without_shortcuts'"),
        ("[{with_grouped_convs: {group: 2}}]", "group: unknown key; did you mean 'groups'"),
        ("[{with_grouped_convs: {groups: 0}}]", "greater than 0"),
        ("[{with_grouped_convs: 2}]", "one name with its arguments, {NAME: {argument: value}}, not"),
        ("[{at_depth: {}}]", "blocks is missing"),
        ("[{at_depth: {blocks: [1]}, fold_dirac: {}}]", "one name with its arguments"),
        ("[3]", "not 3"),
        ("without_shortcuts", "student.edits"),
    ],
)
def test_wrong_edits(edits, says):
    with pytest.raises(UnskipError, match=re.escape(says)):
        recipe_from({}, [f"student.edits={edits}"])


@pytest.mark.parametrize("name", named_recipes())
def test_the_nets_and_students_of_every_recipe_can_be_built(name):
    check_nets(load_recipe(name))


WEIGHTS = {"initial_weights": "before.safetensors"}


@pytest.mark.parametrize(
    ("tree", "student", "teacher"),
    [
        ({}, 0.1, 0.1),
        ({"teacher": WEIGHTS}, 0.1, 0.05),
        ({"student": {"init": "teacher"}}, 0.1, 0.1),
        ({"student": {"init": "teacher"}, "methods": {"fade_joint_rd": {}}}, 0.1, 0.1),
        ({"student": {"init": "teacher"}, "methods": {"fade_joint_rd": {}, "x": {"method": "fade_kd"}}}, 0.1, 0.1),
        ({"student": {"init": "teacher"}, "methods": {"fade_kd": {}, "kd": {}}}, 0.05, 0.1),
        ({"student": {"init": "teacher", "edits": []}}, 0.05, 0.1),
        ({"student": {"init": "teacher"}, "methods": {"fit_kd": {}}}, 0.0001, 0.1),
        ({"student": WEIGHTS, "teacher": WEIGHTS, "methods": {"ce": {}}}, 0.05, 0.05),
        ({"student": WEIGHTS, "training": {"schedule": {"max_lr": 0.1}}}, 0.1, 0.1),
        ({"student": WEIGHTS, "methods": {"ce": {}}, "training": {"schedule": {"div_factor": 5}}}, 0.05, 0.1),
        ({"student": WEIGHTS, "training": {"schedule": {"name": "cosine"}}}, 0.01, 0.01),
        ({"student": WEIGHTS, "training": {"optimizer": {"name": "adamw"}}}, 0.01, 0.01),
        ({"teacher": {**WEIGHTS, "training": {"epochs": 3}}}, 0.1, 0.05),
        ({"training": {"optimizer": {"name": "adam"}}}, 0.01, 0.01),
    ],
)
def test_networks_that_are_trained_already_have_lower_default_rates(tree, student, teacher):
    recipe = recipe_from(tree)
    assert recipe.training.highest_rate == student
    assert recipe.training_of("teacher").highest_rate == teacher
    assert recipe_from(recipe.model_dump(mode="json")) == recipe
    resolved = recipe.model_dump(mode="json")["training"]["schedule"]
    assert resolved.get("max_lr", student) == student


def rates_of(tree, *settings):
    recipe = recipe_from(tree, settings)
    assert recipe_from(yaml.safe_load(recipe.to_yaml())) == recipe
    trainings = {label: recipe.training_of(label) for label in recipe.methods}
    return {label: (each.optimizer.name, each.highest_rate, each.epochs) for label, each in trainings.items()}


def test_every_method_of_a_recipe_has_the_rate_that_suits_it():
    """Beside others, fit_kd trained at the rate of fresh networks, which undoes a fitted start."""
    methods = {"ce": {}, "mine": {"method": "fit_kd"}, "fade_kd": {}}
    fresh, trained, fitted = ("sgd", 0.1, 9), ("sgd", 0.05, 9), ("adamw", 0.0001, 9)
    tree = {"methods": methods, "training": {"epochs": 9}}
    assert rates_of(tree) == {"ce": fresh, "mine": fitted, "fade_kd": fresh}
    from_teacher = {**tree, "student": {"init": "teacher"}}
    assert rates_of(from_teacher) == {"ce": trained, "mine": fitted, "fade_kd": fresh}
    assert recipe_from(from_teacher).training_of("teacher").highest_rate == 0.1
    assert set(rates_of(from_teacher, "training.schedule.max_lr=0.2").values()) == {("sgd", 0.2, 9)}


def test_a_method_may_have_settings_of_its_own():
    tree = {"methods": {"ce": {}, "kd": {}}, "training": {"epochs": 9, "snapshots": [0, 9], "batch_size": 7}}
    alike = ("sgd", 0.1, 9)
    for settings, own in [
        (["methods.kd.training.epochs=2"], ("sgd", 0.1, 2)),
        (["methods.kd.training.schedule.max_lr=0.3"], ("sgd", 0.3, 9)),
        (["methods.kd.training.optimizer.name=adam"], ("adam", 0.01, 9)),
        (["methods.kd.training={epochs: 3, optimizer: {lr: 0.5}, schedule: {name: cosine}}"], ("sgd", 0.5, 3)),
    ]:
        assert rates_of(tree, *settings) == {"ce": alike, "kd": own}, settings
    kd = recipe_from(tree, ["methods.kd.training.clip_norm=2"]).training_of("kd")
    assert (kd.clip_norm, kd.batch_size, kd.snapshots) == (2.0, 7, (0, 9))
    own = recipe_from({"methods": {"fit_kd": {"training": {"optimizer": {"name": "sgd"}}}, "ce": {}}})
    assert own.training_of("fit_kd").highest_rate == 0.1, "as where it stands in `training`"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"batch_size": 3}, r"methods\.kd\.training takes .*epochs.*, and not batch_size; all other settings are"),
        ({1: 2, "foo": 3}, r"methods\.kd\.training takes .* and not 1;"),
        (5, r"methods\.kd\.training takes .* and not 5"),
        ({"epochs": 0}, r"methods\.kd\.training: epochs must be at least 1"),
        ({"optimizer": {"name": "foo"}}, r"methods\.kd\.training: optimizer\.name: no 'foo'"),
        ({"warmup_epochs": "x"}, r"methods\.kd\.training: warmup_epochs"),
    ],
)
def test_settings_that_a_method_cannot_have_are_refused(own, message):
    with pytest.raises(UnskipError, match=message):
        recipe_from({"methods": {"kd": {"training": own}}})


def test_what_the_training_of_a_teacher_leaves_out_is_as_in_the_recipe_s():
    """One setting of the teacher's left its batches at 128, whatever the recipe said, and nobody was told."""
    tree = {"training": {"epochs": 8, "batch_size": 16, "optimizer": {"name": "adamw"}, "snapshots": [0, 8]}}
    recipe = recipe_from(tree, ["teacher.training.epochs=4"])
    assert recipe.training_of("teacher") == recipe.training.model_copy(update={"epochs": 4, "snapshots": ()})
    assert recipe_from(recipe.model_dump(mode="json")) == recipe
    own = recipe_from(tree, ["teacher.training.optimizer.lr=0.02"]).training_of("teacher")
    assert (own.optimizer.name, own.optimizer.lr, own.batch_size) == ("adamw", 0.02, 16)
    read = Recipe(teacher={"training": TrainingRecipe(epochs=4)}, training=TrainingRecipe(batch_size=16))
    assert (read.training_of("teacher").epochs, read.training_of("teacher").batch_size) == (4, 16)


def test_a_given_teacher_is_not_trained_and_gets_no_training():
    student = {"init": "teacher", "edits": []}
    given = recipe_from({"student": student, "teacher": {"weights": "teacher.pth"}})
    assert given.teacher.training is None
    assert given.training.highest_rate == 0.05
