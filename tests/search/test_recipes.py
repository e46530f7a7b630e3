"""Each line is a recipe: it is read, builds the student that was counted, and runs."""

import copy
import dataclasses
import json
import shlex
from pathlib import Path

import pytest
import typer
from torch import nn

from search.known import meta_net, searched
from unskip import Budget, fit_budget, forecast, load_recipe
from unskip.cli import app
from unskip.cli.run import asked_recipe
from unskip.dataflow import count_macs, num_parameters
from unskip.nets import NetSpec, Residual, StagedNet
from unskip.recipe import recipe_from
from unskip.recipe_nets import check_nets
from unskip.run import run_recipe
from unskip.search.recipes import command, method_for, recipe_tree
from unskip.search.student import Student
from unskip.surgery import build

FIGURES = {"memory": "peak", "parameters": "parameters", "macs": "macs"}


def own_figures(net, shape):
    return searched(net, shape).students[0].figures(bytes_per_element=4)


def requested(line):
    """The recipe that the `run` command of a line means."""
    words = shlex.split(command(line.recipe).removesuffix(" --data MY_IMAGES"))
    given = typer.main.get_command(app()).commands["run"].make_context("run", words[2:]).params
    return asked_recipe(None, teacher=given["teacher"], methods=given["methods"], settings=given["settings"])[0]


@pytest.mark.parametrize(
    ("name", "options", "side", "limits"),
    [
        ("resnet14", {"width": 4}, 16, {"macs": 0.5}),
        ("resnet18", {"width": 8, "num_classes": 10}, 64, {"memory": 0.7, "parameters": 0.9}),
        pytest.param("mobilenetv2", {"width_mult": 0.25}, 64, {"macs": 0.8}, marks=pytest.mark.slow),
        pytest.param("timm:resnet10t", {}, 64, {"macs": 0.9}, marks=pytest.mark.slow),
    ],
)
def test_a_recipe_builds_the_student_of_its_line(name, options, side, limits, tmp_path):
    net, shape = meta_net(name, options), (3, side, side)
    own = own_figures(net, shape)
    budget = Budget({name: int(share * own[FIGURES[name]]) for name, share in limits.items()})
    fit = fit_budget(net, shape, budget, latency=False, limit=6)
    assert fit.candidates
    written = fit.write_recipes(tmp_path / "students")
    assert {path.name for path in written} == {line.file for line in fit.candidates}
    assert sorted((tmp_path / "students").iterdir()) == sorted(written)
    for line in fit.candidates:
        recipe = load_recipe(tmp_path / "students" / line.file)
        assert recipe == recipe_from(json.loads(json.dumps(line.to_json()["recipe"])))
        assert list(recipe.methods) == [line.method]
        assert recipe.data.image_size == side
        assert requested(line).model_copy(update={"title": recipe.title}) == recipe
        assert "num_classes" not in recipe.teacher.options, "the data says how many there are"
        if line.student.sub_net:
            assert list(line.student.depth) in recipe.methods["embedded_kd"]["depths"]
            continue
        built = build(
            NetSpec(
                name,
                options,
                tuple(pair for entry in recipe.student.edits for pair in entry.items()),
            ),
            seed=0,
        )
        assert line.figures["peak"].value == forecast(built, shape).peak_bytes <= budget.most.get("peak", 10**12)
        assert line.figures["macs"].value == count_macs(built, shape) <= budget.most.get("macs", 10**12)
        assert line.figures["parameters"].value == num_parameters(built)


def test_one_run_trains_all_sub_nets_of_a_network():
    net = meta_net("resnet20", {"width": 4})
    macs = own_figures(net, (3, 16, 16))["macs"]
    fit = fit_budget(net, (3, 16, 16), Budget({"macs": int(0.7 * macs)}), latency=False, limit=20)
    plain = [line for line in fit.candidates if line.student.sub_net and line.student.removed is None]
    whole = [line for line in fit.candidates if line.student.sub_net and line.student.removed == ()]
    assert len(whole) > 1
    for lines in (plain, whole):
        assert len({line.file for line in lines}) <= 1
        for line in lines:
            assert line.recipe["methods"] == {"embedded_kd": {"depths": [list(one.student.depth) for one in lines]}}
            assert "at_depth" not in str(line.recipe["student"])


def test_the_method_follows_from_the_edits():
    net = meta_net("resnet18", {"width": 4})
    by_words = {str(student): student for student in searched(net, (3, 64, 64)).students}
    for words, method in {
        "plain": "fade_kd",
        "plain in stage1": "fade_kd",
        "lean stem, plain in stage1": "align_kd",
        "blocks 2-2-2-1": "align_kd",
        "2 groups": "align_kd",
        "plain, blocks 1-1-1-1": "align_kd",
        "plain, sub-net 1-1-1-1": "embedded_kd",
    }.items():
        assert method_for(net, by_words[words]) == method, words


PLAIN = Student(
    lean=False,
    groups=1,
    depth=None,
    removed=None,
    sub_net=False,
    gone=frozenset(),
    shortcuts=0,
    peak_elements=1,
    macs=1,
    parameters=1,
)


def test_the_method_follows_from_how_many_shortcuts_go():
    for name, method in {
        "resnet20": "fade_kd",
        "resnet26": "fade_joint_rd",
        "resnet50": "fade_joint_rd",
        "resnet38": "fit_kd",
    }.items():
        assert method_for(meta_net(name, {"width": 4}), PLAIN) == method, name


def test_where_jointrd_cannot_train_a_student_its_blocks_are_fitted():
    blocks = [Residual(nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)), activation=nn.ReLU())]
    blocks += [copy.deepcopy(blocks[0]) for _ in range(11)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    net = StagedNet({"stem": nn.Conv2d(3, 4, 3, padding=1), "stage1": nn.Sequential(*blocks), "head": head})
    assert method_for(net.to("meta"), PLAIN) == "fit_kd"


def test_shortcuts_of_a_student_with_other_edits_fade_by_how_many_they_are():
    student = dataclasses.replace(PLAIN, lean=True)
    for name, method in [("resnet18", "fade_kd"), ("resnet34", "fade_joint_rd")]:
        tree = recipe_tree(meta_net(name, {"width": 4}), student, image_size=(64, 64), weights=Path("mine.pth"))
        assert tree["student"] == {"edits": ["with_lean_stem", "with_fading_shortcuts"], "init": "teacher"}
        assert tree["methods"] == {method: {}}
        check_nets(recipe_from(tree))


def test_where_many_shortcuts_go_the_blocks_are_fitted():
    net, weights = meta_net("resnet38", {"width": 4}), Path("mine.pth")
    by_words = {str(student): student for student in searched(net, (3, 32, 32)).students}
    for words, method in {
        "plain": "fit_kd",
        "plain in stage1": "fade_kd",
        "plain in stage1, stage2": "fade_joint_rd",
        "blocks 6-6-5": "align_kd",
    }.items():
        assert method_for(net, by_words[words]) == method, words
    tree = recipe_tree(net, by_words["plain"], image_size=(32, 32), weights=weights)
    assert tree["student"] == {"edits": ["without_shortcuts"], "init": "teacher"}
    recipe = recipe_from(tree)
    check_nets(recipe)
    assert (list(recipe.methods), recipe.training.epochs) == (["fit_kd"], 30)
    assert (recipe.training.optimizer.name, recipe.training.highest_rate) == ("adamw", 0.0001)


def test_a_trained_teacher_stands_in_the_recipe():
    net = meta_net("resnet14", {"width": 4})
    weights = Path("runs/a/teacher.safetensors")
    fit = fit_budget(net, (3, 16, 16), Budget({"macs": 10**6}), latency=False, limit=1, weights=str(weights))
    assert fit.candidates[0].recipe["teacher"] == {
        "net": "resnet14",
        "options": {"width": 4},
        "weights": "runs/a/teacher.safetensors",
    }
    assert "--set teacher.weights=runs/a/teacher.safetensors" in command(fit.candidates[0].recipe)


def test_students_of_a_trained_teacher_begin_with_its_weights():
    pytest.importorskip("torch_pruning")
    net, weights = meta_net("resnet18", {"width": 4}), Path("mine.pth")
    by_words = {str(student): student for student in searched(net, (3, 64, 64)).students}
    for words, edits, method in (
        ("plain", ["without_shortcuts"], "fade_kd"),
        ("lean stem, plain in stage1", ["with_lean_stem", "with_fading_shortcuts"], "fade_kd"),
        ("blocks 2-2-2-1", ["at_depth"], "align_kd"),
        ("0.5 pruned", ["with_pruned_channels"], "align_kd"),
        ("0.5 pruned, plain", ["with_pruned_channels", "with_fading_shortcuts"], "fade_kd"),
    ):
        tree = recipe_tree(net, by_words[words], image_size=(64, 64), weights=weights)
        check_nets(recipe_from(json.loads(json.dumps(tree))))
        recipe = recipe_from(tree)
        assert [name for entry in recipe.student.edits for name in entry] == edits, words
        assert (list(recipe.methods), recipe.student.init) == ([method], "teacher")
        assert recipe.training.epochs < 200
    for words in ("2 groups", "plain, sub-net 1-1-1-1"):  # new layers; all sub-nets at once
        assert "init" not in recipe_tree(net, by_words[words], image_size=(64, 64), weights=weights)["student"]
    for words in ("0.5 pruned", "0.5 pruned, plain"):  # a teacher that the run trains says what goes, too
        recipe = recipe_from(recipe_tree(net, by_words[words], image_size=(64, 64)))
        assert (recipe.student.init, recipe.training.epochs) == ("teacher", 200)


def test_commands_start_from_the_teacher():
    net = meta_net("resnet14", {"width": 4})
    line = fit_budget(net, (3, 16, 16), Budget({"macs": 10**6}), latency=False, limit=1).candidates[0]
    assert "--set teacher.weights=MY_WEIGHTS" in line.command
    assert line.to_json()["command"] == line.command
    assert "weights" not in line.recipe["teacher"]


@pytest.mark.parametrize("sub_nets", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_written_recipe_runs(sub_nets, tmp_path):
    net = meta_net("resnet14", {"width": 4, "in_channels": 1, "num_classes": 10})
    own = own_figures(net, (1, 8, 8))
    budget = Budget({"macs": int(0.9 * own["macs"]), "memory": own["peak"]})
    fit = fit_budget(net, (1, 8, 8), budget, latency=False, limit=20)
    fit.write_recipes(tmp_path)
    line = next(line for line in fit.candidates if line.student.sub_net == sub_nets)
    settings = ["data.limit=100", "data.test_limit=50", "training.epochs=1", "training.batch_size=50"]
    settings += ["measure.latency=false", "measure.parity_images=20"]
    results = run_recipe(load_recipe(tmp_path / line.file, settings), tmp_path / "run")
    label = f"embedded_kd-{'-'.join(map(str, line.student.depth))}" if sub_nets else line.method
    figures = results.comparison.subject(label).figures
    for measure in ("macs", "parameters", "peak"):
        assert figures[measure].value == line.figures[measure].value
