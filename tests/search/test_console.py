import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from search.known import meta_net, timed
from unskip import Budget, fit_budget
from unskip.measures import measures
from unskip.records import Load
from unskip.search import headline, render_answer

IMAGENET = (3, 224, 224)


def answered(name, limits, shape=IMAGENET, **more):
    return fit_budget(meta_net(name), shape, Budget(limits), latency=False, **more)


@pytest.fixture(scope="module")
def answers():
    return {
        "lean": answered("resnet18", {"memory": "2MiB"}),
        "own": answered("resnet18", {"memory": "4MiB"}, limit=5),
        "none": answered("resnet18", {"memory": "1MiB", "parameters": "1M"}),
        "many": answered("resnet20", {"macs": "25M", "file_size": "900kB"}, (3, 32, 32)),
    }


def printed(answer, width=80, **more):
    file = io.StringIO()
    render_answer(answer, Console(file=file, width=width), **more)
    return file.getvalue()


def test_headlines(answers):
    assert "meet the budget: 8 (8 listed)" in headline(answers["lean"])
    assert "resnet18 meets the budget as it is" in headline(answers["own"])
    assert answers["own"].own.verdict == "meets"
    assert f"meet the budget: {answers['own'].num_usable} (" in headline(answers["own"])
    assert 1 < len(answers["own"].candidates) <= answers["own"].num_usable
    assert "no student is within the limits of parameters" in headline(answers["none"])


def test_what_comes_nearest_stands_in_the_place_of_candidates(answers):
    text, answer = printed(answers["none"]), answers["none"]
    assert len(answer.near) > 1
    for words, candidate in answer.near:
        (line,) = [line for line in text.splitlines() if f"nearest to {words}" in line]
        assert str(candidate.student) in line
        assert f"{candidate.figures['peak'].value / 2**20:.2f}" in text


def test_limits_that_can_only_be_met_one_by_one(answers):
    """As if a student with the smallest peak had too many MACs, and the other way round."""
    answer = replace(answers["lean"], candidates=(), num_within=0, num_usable=0)
    assert "each limit can be met, but not all of them at once" in headline(answer)
    assert "nearest to all limits, memory" in " ".join(printed(answer).split())


def test_a_network_that_no_edit_fits(answers):
    own = replace(answers["lean"].own, verdict="exceeds")
    budget = Budget({"latency_ratio": 0.5})
    answer = replace(answers["lean"], own=own, budget=budget, candidates=(), smallest={}, num_searched=0, num_within=0)
    assert "no edit that saves anything fits this network" in headline(answer)


def test_a_print_says_it_all_and_fits(answers):
    for answer in answers.values():
        text = printed(answer)
        command_line = text.partition("Line 1 is run by\n")[2]
        assert max(map(len, text.removesuffix(command_line).splitlines())) <= 80
        words = " ".join(text.split())
        assert headline(answer) in words
        for candidate in answer.candidates or [candidate for _, candidate in answer.near]:
            assert str(candidate.student) in words
            assert f"{candidate.figures['macs'].value / 1e9:.2f}" in words or answer.net == "resnet20"
        assert ("Line 1 is run by" in words) == bool(answer.candidates)
        assert ("one run trains all" in words) == any(each.student.sub_net for each in answer.candidates)
        assert f"{answer.num_within} of {answer.num_searched} students are within" in words
        assert (f"{answer.num_thinned} of them are left out" in words) == (answer.num_thinned > 0)
        assert "forecast: train and measure" in words


def test_the_first_lines_command_is_printed_in_full(answers, tmp_path):
    text = printed(answers["lean"])
    for setting in (
        "--teacher resnet18 --method align_kd",
        "--set 'student.edits=[with_lean_stem, with_shortened_shortcuts]' --set student.init=teacher",
        "--set teacher.weights=MY_WEIGHTS",
        "--set data.image_size=224",
    ):
        assert setting in text
    written = answers["own"].write_recipes(tmp_path)
    text = printed(answers["own"], written=written)
    assert f"unskip run {tmp_path}/resnet18-lean-stem.yaml --data MY_IMAGES\n" in text
    assert "recipes in" in text


def with_latency(answer, verdicts):
    """The same answer as if its candidates had been measured, on a busy machine."""
    candidates = [
        replace(candidate, figures={**candidate.figures, **timed(0.6, 0.7 + place / 50, 0.9).figures}, verdict=verdict)
        for place, (candidate, verdict) in enumerate(zip(answer.candidates, verdicts, strict=False))
    ]
    candidates = [
        replace(each, exceeded=("latency_ratio",)) if each.verdict == "exceeds" else each for each in candidates
    ]
    own = {**answer.own.figures, **timed(1.0, 1.0, 1.0).figures}
    latency = measures()["latency"].about
    abouts = {"latency": latency, "latency_ratio": latency.model_copy(update={"title": "Latency ratio", "unit": ""})}
    return replace(
        answer,
        budget=Budget({**answer.budget.limits, "latency_ratio": 0.8}),
        own=replace(answer.own, figures=own, verdict="exceeds", exceeded=("latency_ratio",)),
        candidates=tuple(candidates),
        measures={**abouts, **answer.measures},
        num_usable=sum(each.is_usable for each in candidates),
        num_measured=len(candidates),
        nearest_measured=candidates[0],
        runtime="a runtime 1.0",
        load=Load(average=9.0, cores=2),
    )


def test_latency_is_told_with_its_spread_and_with_the_load(answers):
    answer = with_latency(answers["many"], ["meets", "borderline", "exceeds"])
    text = " ".join(printed(answer, width=100).split())
    assert "meet the budget: 2 (2 listed). Borderline" in text
    assert all(spread in text for spread in ("7.00", "6.00 to 9.00", "0.60 to 0.90"))
    assert "a runtime 1.0, 1 thread(s), batch 1" in text
    assert f"2 {answer.candidates[1].student} align_kd borderline" in text
    assert f"3 {answer.candidates[2].student} {answer.candidates[2].method} exceeds latency ratio" in text
    assert "load average 9.0 on 2 cores" in text
    slow = with_latency(answers["many"], ["exceeds"])
    assert not slow.fits
    assert "all of the 1 that were measured exceed latency ratio" in headline(slow)


def test_json_is_plain_data(answers):
    for answer in (*answers.values(), with_latency(answers["many"], ["meets"])):
        read = json.loads(json.dumps(answer.to_json()))
        assert read["fits"] == answer.fits
        assert read["num_searched"] == answer.num_searched
        assert [each["student"] for each in read["candidates"]] == [str(each.student) for each in answer.candidates]
        assert all(each["command"].startswith("unskip run --teacher resnet") for each in read["candidates"])
        assert read["own"]["command"] is None
        assert read["own"]["figures"]["parameters"] == {"value": answer.own.student.parameters}
        assert sum(read["skipped"].values()) == sum(answer.skipped.values())
