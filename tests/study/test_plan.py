import re
from pathlib import Path

import pytest
import yaml

from unskip.errors import UnskipError
from unskip.study.cells import cells_of
from unskip.study.folder import StudyFolder
from unskip.study.plan import _kind, kinds_of, measure, plan_study
from unskip.study.readings import readings_of

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "study.md"


def plan_of(study, folder, seeds=(0, 1)):
    return plan_study(list(cells_of(study, seeds, folder).cells.values()), StudyFolder(folder))


def test_a_teacher_of_several_runs_is_one_training(tiny, study_of, tmp_path):
    counted = {
        label: (len(trainings), sum(training.users for training in trainings))
        for label, trainings in kinds_of(plan_of(study_of(tiny), tmp_path))
    }
    assert counted == {"teacher": (4, 8), "kd": (4, 4), "align_kd": (4, 4)}


def test_teachers_that_differ_are_not_shared(tiny, study_of, tmp_path):
    tiny["grids"][0]["axes"]["method"]["kd"]["teacher.training"] = {"epochs": 7}
    tiny["grids"][0]["rows"].pop()
    tiny["derived"], tiny["counted"] = {}, {}
    assert len(dict(kinds_of(plan_of(study_of(tiny), tmp_path, [0])))["teacher"]) == 4


def test_a_teacher_that_is_given_is_no_training(tiny, study_of, tmp_path):
    tiny["set"]["teacher.weights"] = "mine.pth"
    assert "teacher" not in dict(kinds_of(plan_of(study_of(tiny), tmp_path)))


def test_trainings_that_differ_in_their_seed_are_measured_once(tiny, study_of, tmp_path):
    plan = plan_of(study_of(tiny), tmp_path)
    assert len(plan.left) == 12
    assert len({_kind(training) for training in plan.left}) == 6


def test_what_is_done_of_a_training_is_not_left(tiny, study_of, tmp_path):
    run = StudyFolder(tmp_path).run(cells_of(study_of(tiny), [0], tmp_path).cells["runs/net-8_method-kd_seed-0"])
    for path in (run.trained("teacher"), run.checkpoint("kd")):
        path.parent.mkdir(parents=True)
        path.touch()
    tiny["set"]["training.epochs"] = 4
    run.metrics.write_text('{"net": "teacher"}\n{"net": "kd"}\n')
    plan = plan_of(study_of(tiny), tmp_path, [0])
    done = {(training.label, training.cell.labels["net"]): training.share_done for training in plan.trainings}
    assert done == {("teacher", "8"): 1, ("kd", "8"): 0.25, ("align_kd", "8"): 0} | {
        (label, "14"): 0 for label in ("teacher", "kd", "align_kd")
    }


def test_images_that_are_missing_everywhere_are_said_once(tiny, study_of, tmp_path):
    tiny["set"]["data.name"], tiny["set"]["data.path"] = "parquet", str(tmp_path / "nowhere")
    plan = plan_of(study_of(tiny), tmp_path)
    plan.check_images()  # nobody has looked
    measure(plan, StudyFolder(tmp_path))
    assert all(training.without_images and "nowhere" in training.problem for training in plan.left)
    with pytest.raises(UnskipError, match=r"no cell has its images.*nowhere"):
        plan.check_images()
    plan.trainings[0].without_images = False
    plan.check_images()  # one has them: the others fail by themselves


def test_the_example_of_the_docs_has_the_cells_that_they_say(study_of, tmp_path):
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    study = study_of(yaml.safe_load(example))
    cells = cells_of(study, range(3), tmp_path)
    readings_of(study, cells)
    assert len(cells.cells) == 12
    assert len(dict(kinds_of(plan_of(study, tmp_path, range(3))))["teacher"]) == 6
    assert "twelve runs with six teachers" in DOCS.read_text()
