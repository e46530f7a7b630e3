import io
import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console

from search.known import timed
from unskip import Budget, fit_budget, make_net
from unskip.search import render_fit, verdict

IMAGENET = (3, 224, 224)
MIB = 2**20


def fitted(name, shape=IMAGENET, options=None, **limits):
    with torch.device("meta"):
        net = make_net(name, options)
    return fit_budget(net, shape, Budget(**limits), latency=False)


@pytest.fixture(scope="module")
def fits():
    return {
        "lean": fitted("resnet18", peak_bytes=2 * MIB),
        "own": fitted("resnet18", peak_bytes=4 * MIB),
        "none": fitted("resnet18", peak_bytes=MIB, parameters=10**6),
        "many": fitted("resnet20", (3, 32, 32), macs=25 * 10**6, file_bytes=900_000),
    }


def printed(fit, width=80, **more):
    file = io.StringIO()
    render_fit(fit, Console(file=file, width=width), **more)
    return file.getvalue()


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("lean", "1 student of resnet18 meets the budget."),
        (
            "own",
            "resnet18 meets the budget as it is: peak 3.83 MiB of 4.00 MiB. 2 students of resnet18 meet it with lower "
            "figures.",
        ),
        (
            "none",
            "No student of resnet18 meets the budget: the smallest peak found is 1.53 MiB (lean stem, plain in "
            "stage1), and 1.00 MiB is the limit; the smallest number of parameters found is 1,546,664 (8 groups, "
            "plain, blocks 1-1-1-1), and 1,000,000 is the limit.",
        ),
    ],
)
def test_verdicts(fits, which, said):
    assert verdict(fits[which]) == said


def test_limits_that_can_only_be_met_one_by_one(fits):
    """As if a student with the smallest peak had too many MACs, and the other way round."""
    fit = fits["lean"]
    assert verdict(replace(fit, lines=(), within_forecast=0, num_usable=0)) == (
        "No student of resnet18 meets the budget: each limit can be met, but not all of them at once; nearest to all "
        "comes lean stem, plain in stage1 with peak 1.53 MiB; the smallest peak is 1.53 MiB (lean stem, plain in "
        "stage1)."
    )


def test_a_network_that_no_edit_fits(fits):
    fit = replace(fits["lean"], own=replace(fits["lean"].own, verdict="too slow"), lines=(), smallest={}, searched=0)
    fit = replace(fit, budget=Budget(latency_ratio=0.5), within_forecast=0, num_usable=0)
    assert verdict(fit) == "No student of resnet18 meets the budget: no edit that saves anything fits this network."


def test_a_print_says_it_all_and_fits(fits):
    for fit in fits.values():
        text = printed(fit)
        command_line = text.partition("Line 1 is run by\n")[2]
        assert max(map(len, text.removesuffix(command_line).splitlines())) <= 80
        words = " ".join(text.split())
        assert verdict(fit) in words
        for line in fit.lines or fit.near:
            assert f"{line.figures['parameters']:,}" in words
            assert str(line.student) in words
        assert ("Line 1 is run by" in words) == bool(fit.lines)
        assert ("one run trains all" in words) == any(line.student.sub_net for line in fit.lines)
        assert "forecast: train and measure" in words


def test_the_first_lines_command_is_printed_in_full(fits, tmp_path):
    assert (
        "unskip run --teacher resnet18 --method align_kd --set 'student.edits=[with_lean_stem, {without_shortcuts: "
        "{only: [stage1]}}]' --set data.image_size=224 --data MY_IMAGES\n"
    ) in printed(fits["lean"])
    written = fits["own"].write_recipes(tmp_path)
    text = printed(fits["own"], written=written)
    assert f"unskip run {tmp_path}/resnet18-lean-stem.yaml --data MY_IMAGES\n" in text
    assert "2 recipes in" in text


def with_latency(fit, verdicts):
    """The same answer as if its lines had been timed."""
    lines = [
        replace(line, timed=timed(0.6, 0.7 + place / 50, 0.9), verdict=found)
        for place, (line, found) in enumerate(zip(fit.lines, verdicts, strict=False))
    ]
    return replace(
        fit,
        budget=replace(fit.budget, latency_ratio=0.8),
        own=replace(fit.own, timed=timed(0.6, 1.0, 0.9), verdict="too slow"),
        lines=tuple(lines),
        num_usable=sum(line.is_usable for line in lines),
        num_timed=len(lines),
        fastest=lines[0],
        runtime="a runtime 1.0",
    )


def test_latency_is_told_with_its_spread(fits):
    fit = with_latency(fits["many"], ["meets", "borderline", "too slow"])
    text = " ".join(printed(fit).split())
    assert "2 students of resnet20 meet the budget. 1 of those listed is borderline" in text
    assert "7.00 0.70 (0.60-0.90)" in text
    assert "a runtime 1.0, 1 thread, batch 1" in text
    assert f"2 {fit.lines[1].student} align_kd borderline" in text
    assert "…" not in text, "it fits 80 columns"
    unsure = with_latency(fits["many"], ["borderline", "borderline", "too slow"])
    assert verdict(unsure) == (
        "2 students of resnet20 may meet the budget, the spread of the latency covering the limit."
    )
    slow = with_latency(fits["many"], ["too slow"])
    assert not slow.fits
    assert verdict(slow) == (
        "No student of resnet20 meets the budget: the fastest of the 1 that were timed takes 7.00 ms, 0.70 (0.60-0.90) "
        f"of the network's own time ({slow.lines[0].student}), and a ratio of 0.8 is the limit."
    )


def test_json_is_plain_data(fits):
    for fit in (*fits.values(), with_latency(fits["many"], ["meets"])):
        read = json.loads(json.dumps(fit.to_json()))
        assert read["fits"] == fit.fits
        assert [line["edits"] for line in read["lines"]] == [
            [{name: dict(arguments)} for name, arguments in line.student.edits] for line in fit.lines
        ]
        assert all(line["command"].startswith("unskip run --teacher resnet") for line in read["lines"])
        assert read["own"]["command"] is None
        assert sum(read["skipped"].values()) == sum(fit.skipped.values())
