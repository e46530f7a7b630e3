"""A study's record against its runs' run.json files, read and computed here once more by hand."""

import json
import statistics
from pathlib import Path

import pytest
from records import samples

from unskip.errors import UnskipError
from unskip.files import write_json
from unskip.study.cells import cells_of
from unskip.study.conducting import prepare
from unskip.study.folder import StudyFolder
from unskip.study.results import results_of

SCORES = {  # by net, method and seed
    ("8", "kd", 0): 0.71,
    ("8", "kd", 1): 0.77,
    ("8", "align_kd", 0): 0.75,
    ("8", "align_kd", 1): 0.74,
    ("14", "kd", 0): 0.80,
    ("14", "kd", 1): 0.81,
    ("14", "align_kd", 0): 0.79,
    ("14", "align_kd", 1): 0.78,
}
TEACHERS = {("8", 0): 0.90, ("8", 1): 0.91, ("14", 0): 0.93, ("14", 1): 0.94}


def finish(cells, folder, left_out=()):
    """Write what finished runs of the cells would have written."""
    for cell in cells.cells.values():
        net, method = cell.labels["net"], cell.labels["method"]
        if cell.folder in left_out:
            continue
        scores = {method: SCORES[net, method, cell.seed], "teacher": TEACHERS[net, cell.seed]}
        run = samples.changed(samples.run((method,), epochs=2, **scores), seed=cell.seed)
        if method == "align_kd":  # which found the teacher that the other has trained
            run = samples.changed(run, "nets", "teacher", reused=True, seconds=1.0)
        write_json(folder / cell.folder / "run.json", run.model_dump(mode="json"))
        (folder / cell.folder / "recipe.yaml").write_text(cell.recipe.to_yaml())


def top1(folder, run, label):
    """In per cent, from the file itself."""
    tree = json.loads((folder / run / "run.json").read_text())
    (subject,) = [each for each in tree["comparison"]["subjects"] if each["label"] == label]
    return 100 * subject["figures"]["top1"]["value"]


def test_entries_and_derived_rows_are_those_of_the_run_files(tiny, study_of, tmp_path):
    study = study_of(tiny)
    cells = cells_of(study, [0, 1], tmp_path)
    finish(cells, tmp_path)
    record = results_of(study, cells, tmp_path)
    assert {cell.state for cell in record.cells} == {"done"}
    for net in ("8", "14"):
        column = f"ResNet-{net}"
        figures = {
            method: {seed: top1(tmp_path, f"runs/net-{net}_method-{method}_seed-{seed}", method) for seed in (0, 1)}
            for method in ("kd", "align_kd")
        }
        for method, by_seed in figures.items():
            entry = record.at(method, column)
            assert entry.measured == pytest.approx(by_seed)
            assert entry.runs == {seed: f"runs/net-{net}_method-{method}_seed-{seed}" for seed in (0, 1)}
        teacher = {seed: top1(tmp_path, f"runs/net-{net}_method-kd_seed-{seed}", "teacher") for seed in (0, 1)}
        assert record.at("teacher", column).measured == pytest.approx(teacher)
        best = max(figures, key=lambda method: statistics.fmean(figures[method].values()))
        gain = {seed: figures[best][seed] - teacher[seed] for seed in (0, 1)}
        assert record.at("gain", column).measured == pytest.approx(gain)
        assert record.at("gain", column).of == best


def test_a_shared_net_has_the_time_of_the_run_that_trained_it(tiny, study_of, tmp_path):
    study = study_of(tiny)
    cells = cells_of(study, [0], tmp_path)
    finish(cells, tmp_path)
    entry = results_of(study, cells, tmp_path).at("teacher", "ResNet-8")
    assert entry.runs == {0: "runs/net-8_method-kd_seed-0"}
    assert entry.minutes == {0: pytest.approx(268 / 60)}


def test_a_net_at_chance_is_known_by_its_seeds(tiny, study_of, tmp_path, monkeypatch):
    monkeypatch.setitem(SCORES, ("8", "kd", 1), 0.108)  # of 10,000 images in ten classes: three errors are 0.009
    monkeypatch.setitem(SCORES, ("14", "kd", 1), 0.110)
    cells = cells_of(study_of(tiny), [0, 1], tmp_path)
    finish(cells, tmp_path)
    record = results_of(study_of(tiny), cells, tmp_path)
    assert record.at("kd", "ResNet-8").at_chance == (1,)
    assert record.at("kd", "ResNet-14").at_chance == record.at("teacher", "ResNet-8").at_chance == ()


def test_errors_and_minutes_are_in_the_units_of_the_papers(tiny, study_of, tmp_path):
    tiny["value"] = "error"
    tiny["grids"][0]["rows"].append({"row": "kd, minutes", "column": "{net}", "net": "{method}", "value": "minutes"})
    tiny["grids"][0]["axes"]["method"].pop("align_kd")
    tiny["conclusions"] = []
    study = study_of(tiny)
    cells = cells_of(study, [0], tmp_path)
    finish(cells, tmp_path)
    record = results_of(study, cells, tmp_path)
    assert record.at("kd", "ResNet-8").measured == {0: pytest.approx(29.0)}
    assert record.at("kd, minutes", "8").measured == {0: pytest.approx(268 / 60)}


def test_curves_are_of_the_net_that_was_validated(tiny, study_of, tmp_path):
    tiny["curves"] = True
    study = study_of(tiny)
    cells = cells_of(study, [0], tmp_path)
    finish(cells, tmp_path)
    curve = results_of(study, cells, tmp_path).at("kd", "ResNet-8").curve[0]
    assert [epoch for epoch, _ in curve] == [1, 2]
    assert curve[-1][1] == pytest.approx(71.0)


def test_what_has_not_been_run_is_said_and_nothing_stands_for_it(tiny, study_of, tmp_path):
    study = study_of(tiny)
    cells = cells_of(study, [0, 1], tmp_path)
    missing, failed = "runs/net-8_method-kd_seed-1", "runs/net-14_method-kd_seed-0"
    finish(cells, tmp_path, left_out=(missing, failed))
    StudyFolder(tmp_path).fail(cells.cells[failed], "the images are not there")
    record = results_of(study, cells, tmp_path)
    states = {cell.run: (cell.state, cell.why) for cell in record.cells}
    assert states[missing] == ("missing", "it has not been run")
    assert states[failed] == ("failed", "the images are not there")
    assert record.at("kd", "ResNet-8").measured.keys() == {0}
    assert record.at("kd", "ResNet-14").measured.keys() == {1}
    assert record.at("teacher", "ResNet-8").measured.keys() == {0, 1}, "its other run has it"


def test_runs_of_one_net_that_disagree_are_refused(tiny, study_of, tmp_path):
    study = study_of(tiny)
    cells = cells_of(study, [0], tmp_path)
    finish(cells, tmp_path)
    place = tmp_path / "runs/net-8_method-kd_seed-0/run.json"
    other = samples.run(("kd",), teacher=0.5)
    place.write_text(json.dumps(other.model_dump(mode="json")))
    with pytest.raises(UnskipError, match=r"'teacher', 'ResNet-8' is 50.00 in .* and 90.00 in"):
        results_of(study, cells, tmp_path)


def test_a_net_that_a_run_turned_out_not_to_have(tiny, study_of, tmp_path):
    tiny["grids"][0]["rows"][0]["net"] = "{method}-3-3"
    study = study_of(tiny)
    cells = cells_of(study, [0], tmp_path)
    finish(cells, tmp_path)
    with pytest.raises(UnskipError, match="has no net 'kd-3-3', which the study reads; it has teacher, kd"):
        results_of(study, cells, tmp_path)


def test_a_study_that_has_changed_does_not_pass_its_old_runs_for_new_ones(tiny, study_of, tmp_path):
    folder = tmp_path / "out"
    study = study_of(tiny)
    StudyFolder(folder).open(study)
    finish(cells_of(study, [0], folder), folder)
    assert len(prepare(study, folder, seeds=[0]).chosen) == 4
    tiny["set"]["training.epochs"] = 2
    with pytest.raises(UnskipError, match=r"run of another recipe.*training.epochs \(1 there, 2 now\)"):
        prepare(study_of(tiny), folder, seeds=[0])


def test_images_may_lie_elsewhere_later(tiny, study_of, tmp_path):
    folder = tmp_path / "out"
    study = study_of(tiny)
    StudyFolder(folder).open(study)
    finish(cells_of(study, [0], folder), folder)
    tiny["set"]["data.path"] = "elsewhere"
    tiny["title"] = "Called otherwise"
    assert len(prepare(study_of(tiny), folder, seeds=[0]).chosen) == 4


def test_a_folder_of_something_else_is_left_alone(tiny, study_of, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UnskipError, match="no folder of `unskip study`; choose another `folder`"):
        prepare(study_of(tiny), tmp_path, seeds=[0])
    assert [file.name for file in Path(tmp_path).iterdir()] == ["notes.txt"]
