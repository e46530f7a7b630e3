import json

import pytest
from pydantic import ValidationError

from records import samples
from unskip.errors import UnskipError
from unskip.records import Counted, Derived, Entry, Study, StudyCell


def study(**other):
    """What a file holds."""
    return json.loads(json.dumps({**samples.study().model_dump(mode="json"), **other}, allow_nan=False))


def write(folder, record):
    (folder / "study.json").write_text(record if isinstance(record, str) else json.dumps(record))
    return folder


def refused(words, **other):
    with pytest.raises(ValidationError, match=words):
        Study.model_validate(study(**other))


def changed(place, **other):
    """The entries, one of them with other figures."""
    entries = study()["entries"]
    entries[place].update(other)
    return entries


def test_what_was_written_reads_back(tmp_path):
    assert Study.read(write(tmp_path, study())) == samples.study()
    assert Study.read(write(tmp_path, study(later=1))) == samples.study()


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", "[" * 100_000])
def test_what_is_not_one_is_refused_in_a_sentence(tmp_path, text):
    with pytest.raises(UnskipError, match=r"study\.json does not hold a study's results"):
        Study.read(write(tmp_path, text))


def test_a_folder_without_one_says_what_to_do(tmp_path):
    with pytest.raises(UnskipError, match="give the same `unskip study` again"):
        Study.read(tmp_path)


def test_rows_and_columns_keep_their_order():
    record = samples.study()
    assert record.rows == ("teacher", "JointRD", "AlignKD", "AlignKD, minutes", "drop")
    assert record.columns == ("18 layers", "34 layers")
    assert record.at("AlignKD", "34 layers").measured == {0: 92.2, 1: 91.9}
    assert record.at("drop", "18 layers").of == "teacher"
    assert record.at("drop", "34 layers") is None


def test_a_column_that_only_a_later_row_has_stands_last():
    record = samples.study()
    first, *others = record.entries
    late = first.model_copy(update={"row": "late", "column": "50 layers"})
    assert record.model_copy(update={"entries": (first, late, *others)}).columns == (
        "18 layers",
        "34 layers",
        "50 layers",
    )


def test_a_figure_without_a_run_cannot_be_made():
    with pytest.raises(ValidationError, match="every figure needs its run"):
        Entry(row="KD", column="18", measured={0: 93.0})
    with pytest.raises(ValidationError, match="every figure needs its run"):
        Entry(row="KD", column="18", measured={0: 93.0, 1: 93.1}, runs={0: "cells/a"})
    for training in ({"curve": {0: ((1, 20.0),)}}, {"minutes": {0: 3.0}}):
        with pytest.raises(ValidationError, match="a training needs its figure"):
            Entry(row="KD", column="18", **training)


def test_the_run_behind_a_figure_is_a_cell_that_is_done_under_that_seed():
    runs = study()["entries"][0]["runs"]
    refused("no cell that is done has the run 'elsewhere'", entries=changed(0, runs={**runs, "0": "elsewhere"}))
    refused("no cell that is done has the run", entries=changed(0, runs={**runs, "0": runs["1"]}))
    cells = study()["cells"]
    cells[0]["state"] = "missing"
    refused("no cell that is done has the run", cells=cells)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"measured": {0: 100.1}}, "top1 must be from 0 to 100"),
        ({"measured": {0: -1}, "value": "minutes"}, "minutes must be from 0 to inf"),
        ({"printed": 101, "value": "error"}, "error must be from 0 to 100"),
        ({"measured": {0: float("nan")}}, "finite"),
        ({"measured": {0: "93"}}, "valid number"),
        ({"measured": {-1: 93}}, "greater than or equal to 0"),
        ({"measured": {0: 93}, "curve": {0: ((2, 1.0), (1, 2.0))}}, "must rise"),
        ({"measured": {0: 93}, "curve": {0: ((1, 101.0),)}}, "from 0 to 100"),
        ({"measured": {0: 93}, "at_chance": (1,)}, "only what is measured can be at chance"),
        ({"value": "top5"}, "top1"),
        ({"row": ""}, "at least 1 character"),
    ],
)
def test_figures_are_what_their_unit_allows(fields, words):
    runs = dict.fromkeys(fields.get("measured", {}), "cells/a")
    with pytest.raises(ValidationError, match=words):
        Entry(**{"row": "KD", "column": "18", "runs": runs, **fields})


@pytest.mark.parametrize("run", ["/tmp/run", "../run", "cells/../../run", "cells\\run", ""])
def test_a_cell_lies_within_the_study(run):
    with pytest.raises(ValidationError, match="run"):
        StudyCell(label="a", seed=0, run=run, state="done")


def test_a_cell_explains_itself_only_where_it_is_not_done():
    with pytest.raises(ValidationError, match="must say why"):
        StudyCell(label="a", seed=0, run="a", state="failed")
    with pytest.raises(ValidationError, match="nothing to explain"):
        StudyCell(label="a", seed=0, run="a", state="done", why="no memory")


def test_seeds_are_known_and_differ():
    refused("got figures or cells of", seeds=[0, 1])
    refused("seeds must differ", seeds=[0, 1, 2, 2])
    refused("at least 1 item", seeds=[], entries=[], derived=[], cells=[])


def test_no_place_is_taken_twice():
    cells, entries, derived = (study()[part] for part in ("cells", "entries", "derived"))
    refused("cells must differ", cells=[*cells, cells[0]])
    refused("entries must differ", entries=[*entries, entries[0]])
    refused("entries must differ", derived=[{**derived[0], "row": "AlignKD"}])


def test_a_quick_form_and_no_other_says_what_it_reduced():
    refused("what it has `reduced`", quick=True)
    refused("what it has `reduced`", reduced="fewer epochs")
    assert Study.model_validate(study(quick=True, reduced="fewer epochs")).quick


def test_what_is_derived_is_what_its_rows_give():
    derived = study()["derived"][0]
    refused("teacher less AlignKD is", derived=[{**derived, "measured": {**derived["measured"], "0": 5.0}}])
    refused("teacher less AlignKD is", derived=[{**derived, "measured": {"0": derived["measured"]["0"]}}])
    refused("elsewhere less AlignKD is", derived=[{**derived, "of": "elsewhere"}])
    half = {"row": "of the drop", "column": "18 layers", "of": "drop", "minus": "drop"}
    zeros = Derived(**half, measured={0: 0.0, 1: 0.0, 2: 0.0}).model_dump(mode="json")
    assert Study.model_validate(study(derived=[derived, zeros])).rows[-1] == "of the drop"


def test_what_is_counted_has_a_limit():
    with pytest.raises(ValidationError, match="must say `below` or `above`"):
        Counted(name="gains", row="gain")
