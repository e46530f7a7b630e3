"""Which students are tried, and how they are trained."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import unskip
from unskip.methods import method_from
from unskip.methods.fit_kd import FitKD
from unskip.recipe_nets import check_nets, requested_student
from unskip.records import Trial
from unskip.search import Budget, fit_budget
from unskip.shrink import base_recipe
from unskip.shrink.candidates import FEWEST_FADED_STEPS, STUDENT, candidates_of, fitting_share, recipe_of
from unskip.shrink.lengths import FITTING_SHARE, Length

SHAPE = (3, 32, 32)
RECIPE = base_recipe("resnet14", data="digits")


@pytest.fixture(scope="module")
def answer():
    net = unskip.make_net("resnet14", {})
    return fit_budget(net, SHAPE, Budget({"macs": "20M"}), limit=None, latency=False, recipes=False)


@pytest.fixture(scope="module")
def trials(answer):
    return candidates_of([answer], unskip.make_net("resnet14", {}), 8)


def test_every_kind_of_edits_comes_before_a_second_of_one_kind(answer, trials):
    kinds = [
        frozenset(name for edit in trial.edits for name in ([edit] if isinstance(edit, str) else edit))
        for trial in trials
    ]
    usable = {candidate.student.kinds for candidate in answer.candidates if not candidate.student.sub_net}
    first = kinds[: min(len(usable), len(kinds))]
    assert len(set(first)) == len(first)
    assert len({trial.label for trial in trials}) == len(trials) == 8


def test_one_edit_is_tried_before_several_together(trials):
    firsts = list(dict.fromkeys(map(_names, trials)))
    without_groups = [names for names in firsts if "with_grouped_convs" not in names]
    assert {frozenset({"at_depth"}), frozenset({"with_pruned_channels"})} <= set(firsts)
    assert firsts[: len(without_groups)] == without_groups
    assert [len(names) for names in without_groups] == sorted(map(len, without_groups))


def test_shortcuts_fade_where_some_go_and_other_students_are_aligned(trials):
    methods = {}
    for trial in trials:
        edits = _names(trial)
        assert bool({"with_fading_shortcuts", "without_shortcuts"} & edits) == (trial.method == "fade_kd")
        methods[trial.method] = trial
    assert {"fade_kd", "align_kd"} <= methods.keys()


@pytest.mark.parametrize("method", ["fade_kd", "fade_joint_rd"])
def test_in_few_steps_blocks_are_fitted_where_a_student_only_loses_shortcuts(method):
    for edits, fitted in [
        ([{"without_shortcuts": {}}], True),
        (["without_shortcuts"], True),
        ([{"with_lean_stem": {}}, {"with_fading_shortcuts": {}}], False),
    ]:
        trial = PLAIN.model_copy(update={"edits": tuple(edits), "method": method})
        for steps in (FEWEST_FADED_STEPS - 1, FEWEST_FADED_STEPS):
            few = steps < FEWEST_FADED_STEPS
            length = Length(1, steps * RECIPE.training.batch_size / 10**6)
            assert length.steps(10**6, RECIPE.training.batch_size) == steps
            recipe = recipe_of(RECIPE, trial, length, 10**6)
            assert recipe.methods[STUDENT]["method"] == ("fit_kd" if fitted and few else method)
            assert fitting_share([trial], steps) == (FITTING_SHARE if fitted and few else 0)
            if edits[0] != {"with_lean_stem": {}}:  # which a resnet14 has not
                check_nets(recipe)
    aligned = PLAIN.model_copy(update={"edits": ({"at_depth": {"blocks": [2, 2, 1]}},), "method": "align_kd"})
    assert recipe_of(RECIPE, aligned, Length(1, 1.0), 100).methods[STUDENT]["method"] == "align_kd"


def test_a_recipe_starts_from_the_teachers_weights_and_fits(trials):
    for trial in trials:
        recipe = recipe_of(RECIPE, trial, Length(7, 1.0), 1000)
        assert recipe.student.init == "teacher"
        assert list(recipe.methods) == [STUDENT]
        assert recipe.training.epochs == 7
        assert recipe.data.fraction is None
        check_nets(recipe)


def test_what_ships_has_the_shape_that_was_counted(trials):
    data = unskip.load_data(RECIPE.data.model_copy(update={"image_size": 32, "limit": 40, "test_limit": 20}))
    for trial in trials[:4]:
        recipe = recipe_of(RECIPE, trial, Length(1, 1.0), 1000)
        teacher = unskip.make_net("resnet14", {"in_channels": 1})
        student = requested_student(recipe, data, teacher)
        counted = trial.figures["parameters"].value
        kept = sum(weight.numel() for name, weight in student.named_parameters() if not _fades(name, student))
        first = next(student.parameters())
        assert kept == counted - 2 * first[:, 0].numel(), "one channel instead of three"


def _names(trial):
    return frozenset(name for edit in trial.edits for name in ([edit] if isinstance(edit, str) else edit))


def _fades(name, net):
    from unskip.nets.fading import fading_blocks

    return any(name.startswith(f"{place}.shortcut") for place in fading_blocks(net))


@pytest.mark.parametrize(("limit", "left"), [(None, {"fraction": 0.25}), (100, {"limit": 25})])
def test_a_share_of_an_epoch_is_one_of_what_the_recipe_takes(trials, limit, left):
    base = RECIPE.model_copy(update={"data": RECIPE.data.model_copy(update={"limit": limit})})
    data = recipe_of(base, trials[0], Length(1, 0.25), 1000).data
    assert data.image_size == (32, 32)
    assert {name: getattr(data, name) for name in ("limit", "fraction") if getattr(data, name) is not None} == left


def test_smaller_images_are_candidates_too_the_network_as_it_is_among_them(answer):
    net = unskip.make_net("resnet14", {})
    smaller = fit_budget(net, (3, 24, 24), answer.budget, limit=None, latency=False, recipes=False)
    trials = candidates_of([answer, smaller], net, 30)
    own = next(trial for trial in trials if not trial.edits)
    assert trials.index(own) < 2, "a network that needs no edit comes early"
    assert own.input_shape == (3, 24, 24)
    assert "24x24" in own.words
    recipe = recipe_of(RECIPE, own, Length(1, 1.0), 1000)
    assert recipe.data.image_size == (24, 24)
    assert recipe.methods[STUDENT]["method"] == "ce"
    assert {trial.input_shape for trial in trials} == {SHAPE, (3, 24, 24)}


def test_a_trained_network_is_trained_gently_unless_its_shortcuts_fade_or_somebody_knows_better(trials):
    usual = RECIPE.training.highest_rate
    for trial in trials:
        rate = recipe_of(RECIPE, trial, Length(1, 1.0), 1000).training.highest_rate
        assert rate == usual if trial.method == "fade_kd" else rate < usual
    asked = base_recipe("resnet14", data="digits", settings=["training.schedule.max_lr=0.3"])
    cosine = base_recipe("resnet14", data="digits", settings=["training.schedule={name: cosine}"])
    for trial in trials:
        assert recipe_of(asked, trial, Length(1, 1.0), 1000).training.highest_rate == 0.3
        assert recipe_of(cosine, trial, Length(1, 1.0), 1000).training.schedule.name == "cosine"


DEEP = base_recipe("resnet38", data="digits")
PLAIN = Trial(
    label="plain",
    words="plain",
    edits=("without_shortcuts",),
    method="fit_kd",
    input_shape=SHAPE,
    shortcuts=0,
    figures={},
)


def test_a_student_whose_blocks_are_fitted_is_trained_as_such_start_needs(trials):
    recipe = recipe_of(DEEP, PLAIN, Length(2, 1.0), 1000)
    assert (recipe.training.optimizer.name, recipe.training.highest_rate) == ("adamw", 0.0001)
    check_nets(recipe)
    assert (fitting_share([PLAIN, *trials], 10**6), fitting_share(trials, 10**6)) == (FITTING_SHARE, 0)


@given(epochs=st.integers(1, 300), share=st.floats(0.01, 1), images=st.integers(64, 100_000))
def test_fitting_takes_at_most_its_share_of_a_training(epochs, share, images):
    length = Length(epochs, share if epochs == 1 else 1.0)
    fields = recipe_of(DEEP, PLAIN, length, images).methods[STUDENT]
    method, usual = method_from(STUDENT, fields), FitKD()
    seen = length.steps(images, DEEP.training.batch_size) * DEEP.training.batch_size
    assert method.images <= min(usual.images, max(2, round(length.share * images)))
    assert method.images_to_prepare(images) <= FITTING_SHARE * seen + 1e-6
    longest = usual.images_to_prepare(images)
    assert method.images_to_prepare(images) > 0.99 * min(FITTING_SHARE * seen, longest) or method.images < images
