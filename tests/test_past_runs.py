"""Run folders read to be compared."""

import json
import shutil

import pytest

from unskip import UnskipError, run_recipe
from unskip.past_runs import read_past_runs
from unskip.recipe import recipe_from

TREE = {
    "data": {"name": "digits", "limit": 100, "test_limit": 50},
    "teacher": {"net": "resnet8", "options": {"width": 4}},
    "methods": {"ce": {}},
    "training": {"epochs": 2, "batch_size": 50},
    "measure": {"latency": False, "parity_images": 10, "runtime": "torch"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A complete run, and the same stopped after the teacher's first epoch."""
    home = tmp_path_factory.mktemp("runs")
    run_recipe(recipe_from(TREE), home / "whole")
    stopped = home / "stopped"
    stopped.mkdir()
    for name in ("recipe.yaml", "inputs.json"):
        shutil.copy(home / "whole" / name, stopped / name)
    first, *_ = (home / "whole" / "metrics.jsonl").read_text().splitlines()
    (stopped / "metrics.jsonl").write_text(f'{first}\n{{"net": "teacher", "epo')  # a line half written
    return home


def test_complete_and_stopped_runs_are_read_as_far_as_they_are(home):
    whole, stopped = read_past_runs([home / "whole", home / "stopped", home / "whole"]).runs
    assert whole.results is not None
    assert stopped.results is None
    assert [(each.label, each.planned, len(each.epochs)) for each in whole.trainings] == [
        ("teacher", 2, 2),
        ("ce", 2, 2),
    ]
    assert [(each.label, len(each.epochs)) for each in stopped.trainings] == [("teacher", 1), ("ce", 0)]
    assert whole.test_set == stopped.test_set
    assert (whole.num_test, stopped.num_test) == (50, 50)


def test_another_test_set_is_seen(home, tmp_path):
    shutil.copytree(home / "stopped", tmp_path / "other")
    inputs = json.loads((home / "whole" / "inputs.json").read_text())
    (tmp_path / "other" / "inputs.json").write_text(json.dumps(inputs | {"test images": "another hash"}))
    one, other = read_past_runs([home / "stopped", tmp_path / "other"]).runs
    assert one.test_set != other.test_set


def test_folders_of_one_name_have_the_folder_above_in_their_labels(home, tmp_path):
    shutil.copytree(home / "stopped", tmp_path / "there" / "stopped")
    labels = [run.label for run in read_past_runs([home / "stopped", tmp_path / "there" / "stopped"]).runs]
    assert labels == [f"{home.name}/stopped", "there/stopped"]


def test_what_is_no_run_is_refused(home, tmp_path):
    (tmp_path / "shrunk").mkdir()
    (tmp_path / "shrunk" / "shrink.json").write_text("{}")
    for wrong, saying in (
        (tmp_path, "no run folder"),
        (tmp_path / "none", "no run folder"),
        (tmp_path / "shrunk", "shrink"),
    ):
        with pytest.raises(UnskipError, match=saying):
            read_past_runs([home / "whole", wrong])
