import pytest

from unskip.errors import UnskipError
from unskip.listing import named_studies
from unskip.study.cells import cells_of
from unskip.study.printed import printed_facts, printed_value
from unskip.study.reading import load_study
from unskip.study.readings import readings_of


def read(study, folder):
    return readings_of(study, cells_of(study, [0], folder)).entries


def test_what_is_read_from_which_run(tiny, study_of, tmp_path):
    readings = {(each.row, each.column): each for each in read(study_of(tiny), tmp_path)}
    assert set(readings) == {(row, f"ResNet-{n}") for row in ("kd", "align_kd", "teacher") for n in (8, 14)}
    assert readings["kd", "ResNet-8"].sources == {0: [("runs/net-8_method-kd_seed-0", "kd")]}
    assert len(readings["teacher", "ResNet-8"].sources[0]) == 2  # one teacher, in both runs
    assert readings["kd", "ResNet-8"].printed is None


def test_entries_that_would_mix_trainings_are_refused(tiny, study_of, tmp_path):
    tiny["grids"][0]["rows"][0]["column"] = "all"
    with pytest.raises(UnskipError, match=r"'kd', 'all'.*different trainings.*net 8, method kd; net 14, method kd"):
        read(study_of(tiny), tmp_path)


def test_a_net_that_no_method_makes(tiny, study_of, tmp_path):
    tiny["grids"][0]["rows"][0]["net"] = "joint_rd"
    with pytest.raises(UnskipError, match=r"no net 'joint_rd'.*its run has teacher, kd"):
        read(study_of(tiny), tmp_path)


def test_printed_figures_are_found_by_their_keys(tiny, study_of, tmp_path):
    tiny["printed"] = {"paper": "alignkd", "table": "1"}
    tiny["grids"][0]["rows"] = [
        {"row": "teacher", "column": "{net}", "net": "teacher", "printed": {"network": "ResNet18"}}
    ]
    tiny["derived"], tiny["counted"], tiny["conclusions"] = {}, {}, []
    (first, _) = read(study_of(tiny), tmp_path)
    assert first.printed == 93.57
    tiny["grids"][0]["rows"][0]["printed"]["network"] = "ResNet-18"
    with pytest.raises(UnskipError, match=r"no printed figure has.*did you mean 'ResNet18'"):
        read(study_of(tiny), tmp_path)
    tiny["quick"] = {"reduced": "another net"}
    assert read(study_of(tiny, quick=True), tmp_path)[0].printed is None


def test_several_printed_figures_are_told_apart():
    keys = {"paper": "alignkd", "metric": "top1_accuracy", "network": "ResNet18"}
    with pytest.raises(UnskipError, match=r"row: 3 printed figures .*table: 1, 2, 3"):
        printed_value(keys, "row")
    with pytest.raises(UnskipError, match=r"printed.papr is no key"):
        printed_value({"papr": "alignkd"}, "row")


def test_no_two_printed_figures_have_the_same_keys():
    keys = [tuple(value for key, value in fact.items() if key not in ("value", "note")) for fact in printed_facts()]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("name", named_studies())
def test_every_study_that_comes_with_the_project(name, tmp_path):
    """Its labels, its nets and its printed figures fit together, in both forms."""
    for quick in (False, True):
        assert read(load_study(name, quick=quick), tmp_path)
