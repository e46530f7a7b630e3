import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_runs import run

from unskip.errors import UnskipError
from unskip.report import write_report
from unskip.report.record import Run


def write(folder: Path, text: str) -> Path:
    (folder / "run.json").write_text(text)
    return folder


def test_a_folder_without_a_run_says_what_to_do(tmp_path):
    with pytest.raises(UnskipError, match=r"run\.json is missing.*`unskip run` first"):
        Run.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00"])
def test_what_is_not_a_run_is_refused(tmp_path, text):
    with pytest.raises(UnskipError, match=r"run\.json"):
        Run.read(write(tmp_path, text))


def test_what_is_not_text_is_refused(tmp_path):
    (tmp_path / "run.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(UnskipError, match="cannot be read as JSON"):
        Run.read(tmp_path)


@pytest.mark.parametrize("key", ["best", "nets", "memory", "data", "seed"])
def test_a_missing_key_is_named(tmp_path, key):
    record = run()
    del record[key]
    with pytest.raises(UnskipError, match=key):
        Run.read(write(tmp_path, json.dumps(record)))


def test_best_is_a_student():
    with pytest.raises(ValueError, match="best is 'teacher', which is no student"):
        Run.model_validate({**run(), "best": "teacher"})


def test_there_is_one_teacher_and_labels_differ():
    record = run()
    with pytest.raises(ValueError, match="exactly one teacher"):
        Run.model_validate({**record, "nets": record["nets"][1:]})
    with pytest.raises(ValueError, match="must differ"):
        Run.model_validate({**record, "nets": [*record["nets"], record["nets"][1]]})


def test_the_baseline_is_the_best_students_twin_without_a_teacher():
    baseline = Run.model_validate(run()).baseline
    assert baseline is not None
    assert baseline.label == "ce"
    assert Run.model_validate(run(("kd", "ce"))).baseline is None  # the best one is no baseline of itself
    other = run()
    other["nets"][1]["shortcuts"] = 3
    assert Run.model_validate(other).baseline is None


def test_newer_keys_are_left_alone():
    assert Run.model_validate({**run(), "later": 1}).seed == 0


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places_in(tree: object, place: tuple = ()):
    yield place
    children = tree.items() if isinstance(tree, dict) else enumerate(tree[:2]) if isinstance(tree, list) else ()
    for key, inner in children:
        yield from places_in(inner, (*place, key))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(list(places_in(run()))), value=PLAIN)
def test_any_change_is_read_or_refused_in_a_sentence(tmp_path, place, value):
    results = run()
    if place:
        *parents, last = place
        holder = results
        for key in parents:
            holder = holder[key]
        holder[last] = value
    else:
        results = value
    (tmp_path / "run.json").write_text(json.dumps(results))
    try:
        write_report(tmp_path)
    except UnskipError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_deep_nesting_is_refused(tmp_path):
    (tmp_path / "run.json").write_text("[" * 100_000)
    with pytest.raises(UnskipError, match="cannot be read as JSON"):
        Run.read(tmp_path)
