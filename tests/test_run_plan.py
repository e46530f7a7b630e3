"""What a run says before it trains, and that asking leaves no trace."""

import pytest
import torch
from rich.console import Console

from unskip import run
from unskip.recipe import recipe_from
from unskip.records import Load
from unskip.run import run_recipe
from unskip.run_folder import RunFolder
from unskip.run_plan import planned_run, planned_trainings, total_seconds

SMALL = {
    "data": {"name": "digits", "limit": 200, "test_limit": 100},
    "teacher": {"net": "resnet8", "options": {"width": 4}, "accept_weak": True},
    "methods": {"fade_kd": {}},
    "training": {"epochs": 2, "batch_size": 50},
    "measure": {"latency": False, "parity_images": 20, "runtime": "torch"},
}


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """A run that says nothing."""
    folder = tmp_path_factory.mktemp("runs") / "quiet"
    run_recipe(recipe_from(SMALL), folder)
    return folder


def test_a_run_that_says_how_long_it_takes_ends_with_the_same_bits(quiet, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_LONG", 0.0)
    monkeypatch.setattr(run, "machine_load", lambda: Load(average=6.1, cores=2))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    console = Console(record=True, width=200, force_terminal=False)
    epochs = []
    run_recipe(recipe_from(SMALL), tmp_path / "told", console=console, on_epoch=epochs.append)
    shown = console.export_text()
    assert "training will take about" in shown
    assert "(load average 6.1 on 2 cores): a training of one thread, OMP_NUM_THREADS=1 in the environment" in shown
    assert "the estimate was" in shown
    for label in ("teacher", "fade_kd"):
        one, other = (RunFolder(folder).weights(label) for folder in (quiet, tmp_path / "told"))
        assert one.read_bytes() == other.read_bytes()
    assert [(row["net"], row["epoch"]) for row in epochs] == [
        (label, epoch) for label in ("teacher", "fade_kd") for epoch in (1, 2)
    ]


def test_the_plan_has_what_is_left(quiet, tmp_path):
    recipe = recipe_from(SMALL)
    plan = planned_run(recipe, tmp_path / "runs" / "new")
    assert [training.label for training in plan.trainings] == ["teacher", "fade_kd"]
    assert [training.steps for training in plan.trainings] == [8, 8]
    assert all(training.seconds > 0 for training in plan.trainings)
    assert total_seconds(plan.trainings) == pytest.approx(sum(each.seconds for each in plan.trainings))
    assert not (tmp_path / "runs").exists()
    short = planned_trainings(recipe, plan.data, plan.folder, unless_shorter=60.0)
    assert [training.seconds for training in short] == [None, None]
    assert total_seconds(short) is None

    beside = planned_run(recipe, quiet.parent / "beside")  # the teacher is found again
    assert [training.label for training in beside.trainings] == ["fade_kd"]
    assert planned_run(recipe, quiet).trainings == ()


def test_an_interrupted_training_has_the_rest_left(quiet, tmp_path):
    recipe = recipe_from(SMALL)
    folder = RunFolder(tmp_path / "half")
    folder.checkpoint("fade_kd").parent.mkdir(parents=True)
    folder.checkpoint("fade_kd").touch()
    folder.metrics.write_text('{"net": "teacher", "epoch": 1}\n{"net": "fade_kd", "epoch": 1}\n')
    data = planned_run(recipe, quiet).data
    done = {
        training.label: training.share_done for training in planned_trainings(recipe, data, folder, unless_shorter=60.0)
    }
    assert done == {"teacher": 0.0, "fade_kd": 0.5}


def test_generators_stay_as_they_are(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    planned_run(recipe_from(SMALL), tmp_path / "never" / "made")
    assert torch.equal(before, torch.get_rng_state())
