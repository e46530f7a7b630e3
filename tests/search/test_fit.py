"""What is listed meets the budget when it is built and counted again, and a larger budget lists no fewer."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.known import timed
from unskip import build, count_macs, forecast, make_net, num_parameters
from unskip.nets import NetSpec
from unskip.records import TimeShare
from unskip.search import Budget, fit_budget
from unskip.search.fit import _verdict, unbeaten
from unskip.search.students import Search
from unskip.search.timing import MAX_TIMED, Timed, time_students

OPTIONS, SHAPE = {"width": 8}, (3, 16, 16)


def net():
    with torch.device("meta"):
        return make_net("resnet14", OPTIONS)


STUDENTS = Search(net(), SHAPE).students
ALONE = [student for student in STUDENTS if not student.sub_net]
OWN = STUDENTS[0].figures(4)
budgets = st.fixed_dictionaries({}, optional={name: st.integers(most // 4, most) for name, most in OWN.items()}).filter(
    bool
)


def meeting(limits):
    return [one for one in STUDENTS if all(one.figures(4)[name] <= limit for name, limit in limits.items())]


def listed(limits):
    return unbeaten(meeting(limits), Budget(**limits))


@pytest.mark.parametrize(
    ("share", "element"),
    [({"macs": 0.5}, "float32"), ({"peak_bytes": 0.2, "parameters": 0.6}, "int8"), ({"file_bytes": 0.3}, "float32")],
)
def test_every_line_meets_every_limit_when_it_is_counted_again(share, element):
    limits = {name: int(part * OWN[name]) for name, part in share.items()}
    fit = fit_budget(net(), SHAPE, Budget(**limits, element=element), latency=False, limit=5)
    size = {"float32": 4, "int8": 1}[element]
    assert fit.lines
    assert fit.fits
    for line in fit.lines:
        built = build(NetSpec("resnet14", OPTIONS, line.student.edits), seed=0)
        assert line.figures == {
            "peak_bytes": forecast(built, SHAPE, bytes_per_element=size).peak_bytes,
            "parameters": num_parameters(built),
            "macs": count_macs(built, SHAPE),
            "file_bytes": size * num_parameters(built),
        }
        assert line.verdict == "meets"
        assert all(line.figures[name] <= limit for name, limit in limits.items())
    assert fit.num_usable >= len(fit.lines)
    assert fit.searched == len(STUDENTS) - 1
    assert fit.within_forecast == fit.thinned + fit.num_usable


@given(budgets, st.data())
def test_a_larger_budget_lists_no_fewer(limits, data):
    larger = {name: data.draw(st.integers(limit, 2 * OWN[name])) for name, limit in limits.items()}
    assert set(listed(limits)) <= set(listed(larger))


@given(budgets)
def test_what_is_left_out_is_beaten_by_something_that_is_not(limits):
    kept = listed(limits)
    order = [(-one.macs, -one.shortcuts, -one.parameters) for one in kept]
    assert order == sorted(order)
    for student in meeting(limits):
        beaten_by = [
            other
            for other in kept
            if other != student
            and other.kinds <= student.kinds
            and other.macs >= student.macs
            and all(other.figures(4)[name] <= student.figures(4)[name] for name in limits)
        ]
        assert beaten_by or student in kept


def test_nothing_is_left_out_that_may_be_faster():
    kept = unbeaten(ALONE, Budget(latency_ratio=0.5))
    assert kept == unbeaten(ALONE, Budget(latency_ms=1))
    assert len(kept) == len(ALONE)


def test_two_edits_together_are_found():
    """ResNet-18 gains nothing without its shortcuts; with a lean stem it does."""
    with torch.device("meta"):
        resnet18 = make_net("resnet18")
    fit = fit_budget(resnet18, (3, 224, 224), Budget(peak_bytes=2 * 2**20), latency=False)
    assert [str(line.student) for line in fit.lines] == ["lean stem, plain in stage1"]
    assert fit.lines[0].figures["peak_bytes"] == 1.53125 * 2**20
    assert fit.own.verdict == "too large"
    assert fit_budget(resnet18, (3, 224, 224), Budget(peak_bytes=4 * 2**20), latency=False).own.verdict == "meets"


def test_what_comes_nearest_where_nothing_fits():
    budget = Budget(peak_bytes=OWN["peak_bytes"] // 2, parameters=100)
    fit = fit_budget(net(), SHAPE, budget, latency=False)
    assert not fit.fits
    assert fit.lines == ()
    assert fit.best is None
    assert fit.smallest["parameters"].figures["parameters"] == min(student.parameters for student in STUDENTS)
    assert fit.smallest["peak_bytes"].figures["peak_bytes"] == 4 * min(student.peak_elements for student in STUDENTS)
    assert fit.nearest.student.parameters == min(student.parameters for student in STUDENTS)
    assert fit.own.student not in [line.student for line in fit.near]


# Latency


@pytest.mark.parametrize(
    ("limits", "found", "verdict"),
    [
        ({"latency_ratio": 0.8}, timed(0.7, 0.75, 0.79), "meets"),
        ({"latency_ratio": 0.8}, timed(0.7, 0.75, 0.81), "borderline"),
        ({"latency_ratio": 0.8}, timed(0.79, 0.85, 0.9), "borderline"),
        ({"latency_ratio": 0.8}, timed(0.81, 0.85, 0.9), "too slow"),
        ({"latency_ms": 8.0}, timed(0.7, 0.75, 0.79), "meets"),
        ({"latency_ms": 7.5}, timed(0.7, 0.75, 0.79), "borderline"),
        ({"latency_ms": 6.9, "latency_ratio": 0.8}, timed(0.7, 0.75, 0.79), "too slow"),
        ({"latency_ratio": 0.8}, None, "not timed"),
        ({"macs": 10**12}, None, "meets"),
        ({"macs": 10**12}, timed(2, 2, 2), "meets"),
        ({"macs": 10}, timed(0.1, 0.1, 0.1), "too large"),
        ({"macs": 10**12}, Timed(failure="an operator is missing"), "not exported"),
        ({"file_bytes": 10**9}, timed(1, 1, 1), "meets"),
        ({"file_bytes": 10**9}, timed(1, 1, 1, file_bytes=2 * 10**9), "file too large"),
        ({"file_bytes": 10**9, "element": "int8"}, timed(1, 1, 1, file_bytes=2 * 10**9), "meets"),
    ],
)
def test_verdicts(limits, found, verdict):
    assert _verdict(STUDENTS[3], found, Budget(**limits)) == verdict


class Clock:
    """Latency as a function of the student, in the place of a stopwatch."""

    teacher = timed(1, 1, 1)

    def __init__(self, ratio):
        self.ratio = ratio
        self.rounds = []

    def time(self, students):
        self.rounds.append(list(students))
        return {student.structure: timed(*[self.ratio(student)] * 3) for student in students}


def test_without_a_limit_the_first_ones_are_timed():
    clock = Clock(lambda student: 1.0)
    found = time_students(clock, ALONE, Budget(macs=10**12), STUDENTS[0].macs)
    assert clock.rounds == [ALONE[:MAX_TIMED]]
    assert len(found) == MAX_TIMED
    assert time_students(clock, [], Budget(latency_ratio=0.5), STUDENTS[0].macs) == {}


@pytest.mark.parametrize("limit", [{"latency_ratio": 0.6}, {"latency_ms": 6.0}])
@pytest.mark.parametrize("overhead", [0.0, 0.2])
def test_the_second_round_corrects_the_guess_of_the_first(limit, overhead):
    """Where a share of the time is lost, students need fewer MACs than the limit says."""
    macs = STUDENTS[0].macs

    def ratio(student):
        return overhead + (1 - overhead) * student.macs / macs

    clock = Clock(ratio)
    found = time_students(clock, ALONE, Budget(**limit), macs)
    assert len(clock.rounds) == 2
    assert len(found) == MAX_TIMED
    fewest = min(ALONE, key=lambda student: student.macs)
    assert fewest.structure in found, "so that one knows what can be reached"
    ungrouped = [student for student in ALONE if student.groups == 1 and student.structure in found]
    best = max(student.macs for student in ungrouped if ratio(student) <= 0.6)
    possible = max(student.macs for student in ALONE if student.groups == 1 and ratio(student) <= 0.6)
    assert best >= 0.85 * possible


def test_untrained_exports_are_timed_beside_the_network():
    fewest = sorted({student.macs for student in ALONE})[1]
    fit = fit_budget(net(), SHAPE, Budget(parameters=OWN["parameters"], macs=fewest, latency_ratio=1.0), limit=30)
    assert 1 <= fit.num_timed <= MAX_TIMED
    assert fit.runtime.startswith("ONNX Runtime")
    assert fit.own.timed.ratio == TimeShare(median=1, low=1, high=1)
    assert fit.lines
    structures = {}
    for line in fit.lines:
        assert line.verdict != "not timed"
        assert line.timed.latency.value > 0
        assert line.timed.file_bytes >= 4 * line.student.parameters
        assert structures.setdefault(line.student.structure, line.timed) == line.timed, "sub-nets are the same nets"
    verdicts = [line.verdict for line in fit.lines]
    assert verdicts == sorted(verdicts, key=["meets", "borderline", "too slow"].index)
    assert len(fit.fastest.timed.latency.samples) > 1
    slow = replace(fit.budget, latency_ratio=1e-9)
    assert not any(_verdict(line.student, line.timed, slow) == "meets" for line in fit.lines)


def test_runtimes_are_known_before_anything_is_counted():
    with pytest.raises(ValueError, match="no runtime 'onnx'"):
        fit_budget(net(), (3, 1, 1), Budget(macs=1), runtime="onnx")
