"""run.json and histories that somebody else wrote."""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unskip import UnskipError
from unskip.run_folder import RunFolder, net_file

RESULTS = {"best": "kd", "nets": [{"label": label, "training": label} for label in ("teacher", "kd")]}


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    (tmp_path / "nets").mkdir()
    for name in ("kd", "teacher"):
        (tmp_path / "nets" / f"{name}.safetensors").touch()
    return RunFolder(tmp_path)


def test_the_best_student_is_meant(folder):
    folder.results.write_text(json.dumps(RESULTS))
    assert net_file(folder.path).stem == "kd"
    assert net_file(folder.path, "teacher").stem == "teacher"


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{}", "[" * 100_000, "\xff", '{"best": "kd"}'),
        *(
            json.dumps(RESULTS | change)
            for change in (
                *({"best": "ce"}, {"best": None}, {"best": ["kd"]}, {"nets": None}, {"nets": {}}, {"nets": ["kd"]}),
                *({"nets": [{"label": 3}]}, {"nets": [{"label": "kd", "training": 3}]}, {"nets": [{}]}),
                {"nets": [{"label": "../../elsewhere"}, {"label": "kd"}]},
            )
        ),
    ],
)
def test_results_of_another_form_are_one_sentence(folder, text):
    folder.results.write_bytes(text.encode("latin-1"))
    for read in (folder.load_results, lambda: net_file(folder.path), lambda: net_file(folder.path, "teacher")):
        with pytest.raises(UnskipError, match=r"run\.json .*delete it and `unskip run` makes it again") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_results_without_their_weights(folder):
    folder.results.write_text(json.dumps(RESULTS))
    folder.weights("kd").unlink()
    with pytest.raises(UnskipError, match=r"has lost .*kd\.safetensors"):
        folder.load_results()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"epoch": 1}]', "[" * 100_000])
def test_histories_of_another_form_are_one_sentence(folder, text):
    path = folder.history("kd")
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UnskipError, match=r"kd\.json .*damaged"):
        folder.load_history("kd")
    path.unlink()
    with pytest.raises(UnskipError, match=r"has lost .*kd\.json"):
        folder.load_history("kd")


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


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(list(places_in(RESULTS))), value=PLAIN)
def test_any_change_is_read_or_refused_in_a_sentence(folder, place, value):
    results = copy.deepcopy(RESULTS)
    if place:
        *parents, last = place
        holder = results
        for key in parents:
            holder = holder[key]
        holder[last] = value
    else:
        results = value
    folder.results.write_text(json.dumps(results))
    for read in (folder.load_results, lambda: net_file(folder.path, "kd")):
        try:
            read()
        except UnskipError as error:
            assert "\n" not in str(error)  # noqa: PT017
