import pytest

from unskip.errors import UnskipError
from unskip.study.cells import cells_of, chosen
from unskip.study.datasets import DataSets
from unskip.study.readings import readings_of


def test_cells_are_the_product_of_axes_and_seeds(tiny, study_of, tmp_path):
    cells = cells_of(study_of(tiny), [0, 1], tmp_path)
    assert len(cells.cells) == 2 * 2 * 2
    cell = cells.cells["runs/net-14_method-align_kd_seed-1"]
    assert (cell.label, cell.seed, cell.recipe.seed) == ("net 14, method align_kd", 1, 1)
    assert cell.recipe.teacher.net == "resnet14"
    assert list(cell.recipe.methods) == ["align_kd"]
    assert not cell.recipe.measure.latency
    assert "mine" in cell.recipe.title


def test_equal_recipes_of_several_grids_are_one_cell(tiny, study_of, tmp_path):
    second = {
        "axes": {"student": {"R8": {"teacher.net": "resnet8", "methods": {"kd": {}}}}},
        "rows": [{"row": "again", "column": "{student}", "net": "kd"}],
    }
    tiny["grids"].append(second)
    study = study_of(tiny)
    cells = cells_of(study, [0], tmp_path)
    assert len(cells.cells) == 4
    (again,) = [each for each in readings_of(study, cells).entries if each.row == "again"]
    assert again.sources == {0: [("runs/net-8_method-kd_seed-0", "kd")]}
    assert [cell.folder for cell in chosen(study, cells.cells.values(), ["student=R8"])] == [
        "runs/net-8_method-kd_seed-0"
    ]


def test_combinations_that_are_left_out(tiny, study_of, tmp_path):
    tiny["grids"][0]["leave_out"] = [{"net": ["14"], "method": ["kd"]}]
    assert len(cells_of(study_of(tiny), [0], tmp_path).cells) == 3


def test_settings_go_from_the_study_over_grids_to_axes(tiny, study_of, tmp_path):
    tiny["grids"][0]["set"] = {"training.epochs": 3, "training.batch_size": 10}
    tiny["grids"][0]["axes"]["net"]["8"]["training.epochs"] = 4
    tiny["quick"] = {"reduced": "fewer images", "set": {"training.epochs": 5, "training.batch_size": 8}}
    whole = cells_of(study_of(tiny), [0], tmp_path).cells
    small = cells_of(study_of(tiny, quick=True), [0], tmp_path).cells
    trained = {"whole": whole, "small": small}
    found = {
        (form, net): cells[f"runs/net-{net}_method-kd_seed-0"].recipe.training
        for form, cells in trained.items()
        for net in ("8", "14")
    }
    assert {place: (training.epochs, training.batch_size) for place, training in found.items()} == {
        ("whole", "8"): (4, 10),
        ("whole", "14"): (3, 10),
        ("small", "8"): (4, 8),
        ("small", "14"): (5, 8),
    }


def test_a_setting_that_makes_no_recipe_names_its_cell(tiny, study_of, tmp_path):
    tiny["grids"][0]["axes"]["net"]["14"]["training.epoch"] = 3
    with pytest.raises(UnskipError, match=r"net 14.*training.epoch: unknown key; did you mean 'epochs'"):
        cells_of(study_of(tiny), [0], tmp_path)


@pytest.mark.parametrize(
    ("only", "sentence"),
    [
        ("nets=8", "did you mean 'net'"),
        ("net", "AXIS=LABEL"),
        ("net=9", "net has no label '9'.*it has 8, 14"),
    ],
)
def test_a_choice_names_axes_and_labels(tiny, study_of, tmp_path, only, sentence):
    study = study_of(tiny)
    with pytest.raises(UnskipError, match=sentence):
        chosen(study, cells_of(study, [0], tmp_path).cells.values(), [only])


def test_choices_hold_together(tiny, study_of, tmp_path):
    study = study_of(tiny)
    cells = cells_of(study, [0], tmp_path).cells.values()
    assert len(chosen(study, cells, ["net=8,14", "method=kd"])) == 2
    assert len(chosen(study, cells, [])) == 4


def test_runs_before_others_give_them_their_weights(tiny, study_of, tmp_path):
    tiny["before"] = {"first": {"set": {"data.name": "digits", "data.limit": 40, "methods": {"kd": {}}}}}
    tiny["set"] |= {"teacher.initial_weights": "before:first/teacher", "student.initial_weights": "before:first/kd"}
    tiny["grids"][0]["axes"]["net"] = {"32": {}}
    study = study_of(tiny)
    cells = cells_of(study, [0, 1], tmp_path).cells
    assert len(cells) == 2 + 4
    cell = cells["runs/net-32_method-kd_seed-1"]
    assert cell.needs == ("runs/before-first_seed-1",)
    assert cell.recipe.student.initial_weights == str(tmp_path / "runs/before-first_seed-1/nets/kd.safetensors")
    kept = chosen(study, cells.values(), ["method=kd"])
    assert [each.folder for each in kept if each.is_before] == [f"runs/before-first_seed-{seed}" for seed in (0, 1)]
    assert kept[0].is_before


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [("before:frist/kd", "no run 'frist'.*did you mean 'first'"), ("before:first/ce", "no net 'ce'")],
)
def test_a_run_before_that_is_not_there(tiny, study_of, tmp_path, weights, sentence):
    tiny["before"] = {"first": {"set": {"methods": {"kd": {}}}}}
    tiny["set"]["student.initial_weights"] = weights
    with pytest.raises(UnskipError, match=sentence):
        cells_of(study_of(tiny), [0], tmp_path)


def test_images_by_the_name_of_their_set(tiny, study_of, tmp_path):
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "a" / "1.png").write_bytes(b"")
    study = study_of(tiny)
    cells = cells_of(study, [0], tmp_path, DataSets([f"digits={tmp_path / 'photos'}"]))
    assert {cell.recipe.data.name for cell in cells.cells.values()} == {"image_folder"}
    with pytest.raises(UnskipError, match=r"no run is on 'digit'; did you mean 'digits'"):
        cells_of(study, [0], tmp_path, DataSets([f"digit={tmp_path / 'photos'}"]))


def test_one_place_is_of_one_set(tiny, study_of, tmp_path):
    tiny["grids"][0]["axes"]["net"]["8"]["data.name"] = "cifar10"
    with pytest.raises(UnskipError, match=r"NAME=PATH"):
        cells_of(study_of(tiny), [0], tmp_path, DataSets(["digits"]))


def test_two_folders_of_images_are_two_cells(tiny, study_of, tmp_path):
    tiny["set"]["data.name"] = "image_folder"
    tiny["grids"][0]["axes"]["data"] = {"woof": {"data.path": "woof"}, "nette": {"data.path": "nette"}}
    for row in tiny["grids"][0]["rows"]:
        row["column"] = "{data} {net}"
    cells = cells_of(study_of(tiny), [0], tmp_path)
    assert len(cells.cells) == 8
    assert {cell.recipe.data.path for cell in cells.cells.values()} == {"woof", "nette"}


def test_labels_that_differ_in_their_case_have_folders_that_do_not(tiny, study_of, tmp_path):
    tiny["grids"][0]["axes"]["net"] = {"g8": {"teacher.net": "resnet8"}, "G8": {"teacher.net": "resnet14"}}
    folders = [folder.casefold() for folder in cells_of(study_of(tiny), [0], tmp_path).cells]
    assert len(set(folders)) == len(folders) == 4
