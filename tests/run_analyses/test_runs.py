"""Which runs can be analysed together, and which of their networks are the same but for the seed."""

import json
import shutil

import pytest

from unskip import UnskipError
from unskip.files import write_json
from unskip.recipe import load_recipe
from unskip.report import write_report
from unskip.run_analyses import analyze, read_runs


@pytest.fixture
def copied(two_seeds, tmp_path):
    """The runs, to be changed."""
    return [shutil.copytree(folder, tmp_path / folder.name) for folder in two_seeds]


def test_networks_of_runs_that_differ_in_the_seed_are_one(two_seeds):
    runs = read_runs(two_seeds)
    kinds = {subject.label: (subject.kind, [run.seed for run in subject.runs]) for subject in runs.subjects}
    assert kinds == {"teacher": ("teacher", [0, 1]), "ce": ("plain", [0, 1]), "joint_rd": ("distilled", [0, 1])}
    assert all(subject.epochs == (0,) and subject.trained_for == 1 for subject in runs.subjects)


def test_another_training_stands_beside(copied):
    recipe = load_recipe(copied[1] / "recipe.yaml")
    training = recipe.training.model_copy(update={"epochs": 2})
    (copied[1] / "recipe.yaml").write_text(
        recipe.model_copy(
            update={"training": training, "teacher": recipe.teacher.model_copy(update={"training": recipe.training})}
        ).to_yaml()
    )
    labels = {subject.label: len(subject.runs) for subject in read_runs(copied).subjects}
    assert labels == {"teacher": 2, "ce (seed-0)": 1, "joint_rd (seed-0)": 1, "ce (seed-1)": 1, "joint_rd (seed-1)": 1}


def test_another_network_is_a_family_of_its_own(copied):
    text = (copied[1] / "recipe.yaml").read_text().replace("net: resnet8", "net: resnet14")
    (copied[1] / "recipe.yaml").write_text(text)
    subjects = read_runs(copied).subjects
    assert [[each.label for each in subjects if each.family == family] for family in (0, 1)] == [
        ["resnet8 teacher", "resnet8 ce", "resnet8 joint_rd"],
        ["resnet14 teacher", "resnet14 ce", "resnet14 joint_rd"],
    ]


def test_a_run_that_is_not_complete_is_refused(copied):
    (copied[1] / "run.json").unlink()
    with pytest.raises(UnskipError, match="not complete"):
        analyze(copied, "clusters")


def test_runs_on_other_images_are_refused(copied):
    inputs = json.loads((copied[1] / "inputs.json").read_text())
    write_json(copied[1] / "inputs.json", inputs | {"test images": "0" * 64})
    with pytest.raises(UnskipError, match="other images"):
        analyze(copied, "clusters")


def test_runs_without_labels_are_refused(copied):
    results = json.loads((copied[0] / "run.json").read_text())
    unlabelled = {"task": "matching", "data": results["data"] | {"classes": []}}
    write_json(copied[0] / "run.json", results | unlabelled)
    with pytest.raises(UnskipError, match="matching"):
        analyze(copied[:1], "clusters")


def test_a_repetition_is_refused(copied, two_seeds):
    with pytest.raises(UnskipError, match="repeats"):
        analyze([copied[0], two_seeds[0]], "clusters")


@pytest.mark.parametrize("name", ["landscape", "feature_reuse", "gradient_flow"])
def test_an_epoch_that_was_not_kept_is_refused(name, two_seeds):
    with pytest.raises(UnskipError, match=r"training\.snapshots: \[0, 3\]"):
        analyze(two_seeds, name, {"epochs": [0, 3]}, nets=["ce"])


def test_an_unknown_network_or_analysis_is_refused(two_seeds):
    with pytest.raises(UnskipError, match="did you mean 'joint_rd'"):
        analyze(two_seeds, "clusters", nets=["join_rd"])
    with pytest.raises(UnskipError, match="did you mean 'landscape'"):
        analyze(two_seeds, "landscap")


def test_a_damaged_analysis_is_named_by_the_report(copied):
    (copied[0] / "analyses").mkdir()
    (copied[0] / "analyses" / "clusters.json").write_text("{}")
    with pytest.raises(UnskipError, match="analyse the run again"):
        write_report(copied[0])
