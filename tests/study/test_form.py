import pytest

from unskip.errors import UnskipError
from unskip.study.reading import load_study, study_form


def refusal(tree):
    with pytest.raises(UnskipError) as refused:
        study_form(tree, origin="mine.yaml")
    assert str(refused.value).startswith("mine.yaml: ")
    return str(refused.value)


def test_a_leave_out_names_axes_and_labels(tiny):
    tiny["grids"][0]["leave_out"] = [{"nets": ["8"]}]
    assert "no axis 'nets'; did you mean 'net'?" in refusal(tiny)
    tiny["grids"][0]["leave_out"] = [{"net": ["20"]}]
    assert "net has no '20' (it has 8, 14)" in refusal(tiny)


def test_a_template_names_axes(tiny):
    tiny["grids"][0]["rows"][0]["row"] = "from {teachr}"
    assert "{teachr}" in refusal(tiny)
    assert "known here: net, method" in refusal(tiny)


@pytest.mark.parametrize("key", ["of", "minus"])
def test_a_derived_row_names_rows(tiny, key):
    tiny["derived"] = {"gain": {"of": "kd", "minus": "teacher"} | {key: "aling_kd"}}
    assert f"derived.gain.{key}" in refusal(tiny)
    assert "did you mean 'align_kd'?" in refusal(tiny)


def test_a_pattern_fits_a_row(tiny):
    tiny["derived"]["gain"]["best"] = "from *"
    assert "'from *' fits no row" in refusal(tiny)


def test_a_derived_row_is_of_one_kind(tiny):
    tiny["derived"]["gain"]["of"] = "kd"
    assert "`of`" in refusal(tiny)
    assert "`best`" in refusal(tiny)


@pytest.mark.parametrize("key", ["better", "than"])
def test_an_order_names_rows(tiny, key):
    tiny["conclusions"][0][key] = "jointrd"
    assert f"conclusions.0.{key}" in refusal(tiny)


def test_a_column_that_only_a_later_row_has_stands_last():
    form = load_study("stagewise-figure3").form
    assert form.rows[3] == "cifar10 teacher"
    assert form.columns == ["10", "14", "18", "20", "26", "34"]


def test_an_order_may_be_of_columns_or_of_some(tiny):
    tiny["conclusions"] = [
        {"better": "ResNet-14", "than": "ResNet-8"},
        {"better": "kd", "than": "teacher", "columns": "ResNet-1*"},
    ]
    assert len(study_form(tiny, origin="mine.yaml").conclusions) == 2
    tiny["conclusions"][1]["columns"] = "ResNet-2*"
    assert "conclusions.1.columns: 'ResNet-2*' fits no column (columns: ResNet-8, ResNet-14)" in refusal(tiny)


def test_a_count_names_a_row(tiny):
    tiny["counted"]["losses"]["row"] = "gian"
    assert "counted.losses.row: no row 'gian'; did you mean 'gain'?" in refusal(tiny)


def test_an_unknown_key_deep_inside_is_told_the_nearest(tiny):
    tiny["grids"][0]["rows"][0]["colum"] = "x"
    assert "grids.0.rows.0.colum: unknown key; did you mean 'column'?" in refusal(tiny)


def test_a_small_form_names_axes_and_labels(tiny):
    tiny["quick"] = {"reduced": "one net", "axes": {"nets": ["8"]}}
    assert "quick.axes: no axis 'nets'; did you mean 'net'?" in refusal(tiny)
    tiny["quick"] = {"reduced": "one net", "axes": {"net": ["9"]}}
    assert "quick.axes.net: no label '9'" in refusal(tiny)


def test_a_study_without_a_small_form_says_so(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("title: Mine\ngrids: [{rows: [{row: plain, net: fade_kd}]}]\n")
    assert load_study(file).name == "mine"
    with pytest.raises(UnskipError, match="no quick form"):
        load_study(file, quick=True)


def test_a_name_that_is_no_study(tmp_path):
    with pytest.raises(UnskipError, match="no study 'nothing'"):
        load_study("nothing")


def test_the_small_form_drops_what_hangs_on_what_is_left_out(tiny, study_of):
    tiny["quick"] = {"reduced": "one method", "axes": {"method": ["kd"]}, "set": {"training.epochs": 2}}
    small = study_of(tiny, quick=True)
    assert small.reduced == "one method"
    assert small.form.rows == ["kd", "teacher"]
    assert small.form.conclusions == []
    assert list(small.form.derived) == ["gain"]
    assert small.form.grids[0].set == {"training.epochs": 2}
