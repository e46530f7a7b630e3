"""From a budget to a proven file."""

import json
import re
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import unskip
from unskip.data import Normalization, load_data
from unskip.errors import UnskipError
from unskip.evaluation import evaluate, evaluate_file
from unskip.recipe import load_recipe
from unskip.records import Shrink
from unskip.shrink import plan, plan_shrink, shrink, shrinking, trials
from unskip.shrink.candidates import STUDENT
from unskip.shrink.lengths import PRESETS
from unskip.shrink.trials import train_trial
from unskip.tasks import Classification
from unskip.weights import load_net

BUDGET = {"memory": "5KiB", "parameters": "12k"}


@pytest.fixture(autouse=True, scope="module")
def short_trainings():
    """The winner has half of the steps that the preset stands for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "quick", replace(PRESETS["quick"], steps=PRESETS["quick"].steps // 2))
        yield


@pytest.fixture(scope="module")
def shrunk(ask, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shrink") / "shrunk"
    return shrink(ask(BUDGET), folder, command="unskip shrink NET"), folder


def test_the_file_keeps_the_budget_and_does_what_the_record_says(shrunk):
    record, folder = shrunk
    winner = record.winner
    assert record.outcome == "met"
    net, info = load_net(folder / winner.weights)
    assert unskip.forecast(net, info.image_shape).peak_bytes <= 5 * 1024
    assert sum(weight.numel() for weight in net.parameters()) <= 12_000
    normalization = Normalization(info.mean, info.std)
    data = load_data(load_recipe(folder / "recipe.yaml").data, device="cpu", normalization=normalization)
    assert evaluate(net, data.test_batches(64).epoch(0)).value == winner.score
    of_file = evaluate_file(folder / winner.file, data.scaled().test_batches(64).epoch(0), Classification())
    assert of_file.value == winner.file_score
    of_teacher = evaluate_file(folder / "teacher.onnx", data.scaled().test_batches(64).epoch(0), Classification())
    assert of_teacher.value == record.teacher.figures["top1"].value
    assert (folder / "report.html").is_file()
    assert (folder / "README.md").is_file()


def test_what_was_tried_is_in_the_record_with_the_reason_why_it_was_dropped(shrunk):
    record, folder = shrunk
    assert len(record.trials) > 1
    assert all(trial.rungs for trial in record.trials)
    assert [not trial.dropped for trial in record.trials] == [
        trial.label == record.winner.label for trial in record.trials
    ]
    best = max(record.trials, key=lambda trial: (len(trial.rungs), trial.score))
    assert record.winner.label == best.label
    assert "held out" in record.scored_on
    for trial in record.trials:
        assert trial.figures["parameters"].value <= 12_000
        for rung in trial.rungs:
            net, _ = load_net(folder / "trials" / f"{trial.label}-rung{rung.number}.safetensors")
            assert sum(weight.numel() for weight in net.parameters()) <= 12_000


def test_the_record_is_read_back(shrunk):
    record, folder = shrunk
    assert Shrink.read(folder) == record


def test_the_lines_of_the_model_card_answer_an_image(shrunk, monkeypatch, capsys):
    _, folder = shrunk
    monkeypatch.chdir(folder)
    Image.fromarray(np.full((30, 40), 90, np.uint8)).save("photograph.jpg")
    (lines,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    exec(compile(lines, "README.md", "exec"), {})
    (folder / "photograph.jpg").unlink()
    assert capsys.readouterr().out.strip() in "0123456789"


def test_the_answers_are_those_of_the_file(shrunk):
    record, _ = shrunk
    right = sum(each.winner for each in record.answers.classes)
    assert right / record.answers.images == record.winner.file_score
    assert sum(each.teacher for each in record.answers.classes) / record.answers.images == record.teacher.score
    assert all(each.teacher.answered != each.winner.answered for each in record.answers.disagreements)


def test_the_same_call_returns_what_is_complete(shrunk, ask):
    record, folder = shrunk
    before = (folder / "shrink.json").read_bytes()
    assert shrink(ask(BUDGET), folder) == record
    assert (folder / "shrink.json").read_bytes() == before


def test_the_folder_of_another_request_is_refused(shrunk, ask):
    _, folder = shrunk
    with pytest.raises(UnskipError, match="limits"):
        shrink(ask({"memory": "6KiB"}), folder)


def test_the_recipe_makes_the_winner_alone(shrunk, tmp_path):
    record, folder = shrunk
    unskip.run_recipe(load_recipe(folder / "recipe.yaml"), tmp_path / "run")
    again = tmp_path / "run" / "nets" / "student.safetensors"
    states = [load_net(place)[0].state_dict() for place in (folder / record.winner.weights, again)]
    assert all(torch.equal(one, other) for one, other in zip(*(state.values() for state in states), strict=True))


class Stop(BaseException):
    """Nobody catches it."""


def stop_at(count, ask, folder):
    """Shrink until so many trials have begun."""
    begun = []

    def stopping(*arguments, **more):
        begun.append(arguments)
        if len(begun) == count:
            raise Stop
        return train_trial(*arguments, **more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(trials, "train_trial", stopping)
        shrink(ask(BUDGET), folder)


@pytest.fixture(scope="module")
def stopped(ask, tmp_path_factory):
    """A folder of the same request, stopped in its second trial; tests copy it."""
    folder = tmp_path_factory.mktemp("stopped") / "shrunk"
    stop_at(2, ask, folder)
    return folder


def test_interrupted_anywhere_the_same_call_ends_with_the_same_winner(shrunk, stopped, ask, tmp_path):
    record, folder = shrunk
    again_in = shutil.copytree(stopped, tmp_path / "again")
    stop_at(1, ask, again_in)
    again = shrink(ask(BUDGET), again_in)
    assert [trial.label for trial in again.trials] == [trial.label for trial in record.trials]
    lengths = json.loads((again_in / "lengths.json").read_text())
    assert lengths == json.loads((folder / "lengths.json").read_text())
    assert again.winner.score == record.winner.score


def test_students_that_were_not_tried_are_told(shrunk):
    record, folder = shrunk
    usable = json.loads((folder / "plan.json").read_text())["num_usable"]
    assert usable > len(record.trials) > 1
    assert f"{usable} students meet the budget; {len(record.trials)} of them were" in record.notes[0]


def test_a_network_that_meets_the_budget_is_not_trained_nor_is_anything_searched(ask, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "fit_budget", lambda *arguments, **more: pytest.fail("nothing is to be searched"))
    record = shrink(ask({"memory": "1MiB"}), tmp_path / "met")
    assert record.outcome == "met already"
    assert record.winner is None
    assert record.trials == ()
    assert (tmp_path / "met" / "teacher.onnx").is_file()


@pytest.mark.parametrize(("asked", "compiles"), [({}, 10), ({"preset": "best"}, 48), ({"compiles": 3}, 3)])
def test_a_short_search_compiles_few_students(asked, compiles, ask, monkeypatch):
    monkeypatch.setattr(plan, "fit_budget", lambda *arguments, **more: more["compiles"])
    search = plan.Searching(ask({"parameters": "9k"}, **asked), lambda: 0.0, lambda text: None, lambda done, of: None)
    assert search(None, (1, 8, 8)) == compiles


def test_what_cannot_be_met_says_what_comes_nearest(ask, tmp_path):
    record = shrink(ask({"memory": "1KiB"}), tmp_path / "not")
    assert record.outcome == "cannot be met"
    assert record.ways_out
    assert all(way.figures["peak"].value for way in record.ways_out)


def test_a_winner_of_a_preset_is_trained_for_the_epochs_that_were_planned(shrunk):
    record, _ = shrunk
    assert record.asked_seconds is None
    assert record.winner.planned_epochs == record.winner.epochs


def test_a_plan_trains_nothing_and_leaves_nothing(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_shrink(ask(BUDGET))
    assert list(tmp_path.iterdir()) == []
    assert len(plan.trials) > 1
    assert plan.estimated_seconds > 0
    assert not plan.meets


@pytest.mark.parametrize(("seconds", "timed", "other"), [(600.0, "fade_kd", "fit_kd"), (None, "fit_kd", "fade_kd")])
def test_the_steps_that_are_timed_are_those_of_the_winners_method(seconds, timed, other, ask, monkeypatch):
    methods = []
    monkeypatch.setattr(plan, "seconds_per_step", lambda recipe, *_: methods.append(recipe.methods[STUDENT]) or 0.001)
    monkeypatch.setattr(plan, "_MOST_TIMED", 10)
    trials = plan_shrink(ask({"memory": BUDGET["memory"]}, seconds=seconds)).trials
    assert "plain in stage1" in [trial.words for trial in trials]
    named = [fields["method"] for fields in methods]
    assert timed in named
    assert other not in named


def test_after_too_little_time_the_same_folder_goes_on_with_the_time_that_is_enough(ask, tmp_path, monkeypatch):
    folder = tmp_path / "short"
    with monkeypatch.context() as patch:
        patch.setattr(plan, "FEWEST_STEPS", 10**6)
        with pytest.raises(UnskipError, match=rf"is too short.*not lost.*`folder` {folder} goes on") as refused:
            shrink(ask(BUDGET, seconds=600.0), folder)
    enough = re.search(r"`time=(\d+)m(\d\d)s`", str(refused.value))
    passed = json.loads((folder / "seconds.json").read_text())
    written = (folder / "teacher.onnx").stat().st_mtime_ns

    def stopped(*arguments):
        raise Stop

    monkeypatch.setattr(shrinking, "Trials", stopped)
    with pytest.raises(Stop):
        shrink(ask(BUDGET, seconds=2.0 * (60 * int(enough[1]) + int(enough[2]))), folder)
    assert (folder / "teacher.onnx").stat().st_mtime_ns == written
    assert json.loads((folder / "seconds.json").read_text()) > passed


def test_a_plan_with_too_little_time_keeps_nothing_and_does_not_say_so(ask, monkeypatch):
    monkeypatch.setattr(plan, "FEWEST_STEPS", 10**6)
    with pytest.raises(UnskipError, match=r"is too short.*; give ") as refused:
        plan_shrink(ask(BUDGET, seconds=600.0))
    assert "not lost" not in str(refused.value)


def test_a_time_that_the_teacher_alone_takes_is_refused_before_students_are_looked_for(ask, tmp_path, monkeypatch):
    def searched(*arguments, **more):
        raise AssertionError("the search began")

    monkeypatch.setattr(plan, "fit_budget", searched)
    with pytest.raises(UnskipError, match=r"is too short: .* with the teacher alone.* so give several times \d"):
        shrink(ask(BUDGET, seconds=1.0), tmp_path / "short")


@pytest.mark.slow
def test_the_time_is_kept(ask, tmp_path):
    started = time.monotonic()
    record = shrink(ask(BUDGET, seconds=25.0), tmp_path / "timed")
    assert record.seconds <= 1.1 * 25
    assert time.monotonic() - started <= 1.15 * 25
    assert record.winner.epochs >= 1


def test_changed_images_are_noticed(stopped, ask, tmp_path):
    folder = shutil.copytree(stopped, tmp_path / "changed")
    assert (folder / "teacher.json").is_file()
    plan = folder / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "inputs": "others"}))
    with pytest.raises(UnskipError, match="other images"):
        shrink(ask(BUDGET), folder)
