"""What is listed meets the budget when it is built and counted again, and a larger budget lists no fewer."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.known import meta_net, searched, timed
from unskip import UnskipError, build, forecast
from unskip.dataflow import count_macs, num_parameters
from unskip.nets import NetSpec
from unskip.records import Cell, Figure
from unskip.search import Budget, fit_budget
from unskip.search.fit import Counting, judged, unbeaten
from unskip.search.measuring import MAX_MEASURED, measure_students

OPTIONS, SHAPE = {"width": 8}, (3, 16, 16)


@cache
def net():
    return meta_net("resnet14", OPTIONS)


@cache
def students():
    return searched(net(), SHAPE).students


def alone():
    return [student for student in students() if not student.sub_net]


def own(measure):
    return students()[0].figures(4)[measure]


LIMITS = {"memory": "peak", "parameters": "parameters", "macs": "macs", "file_size": "file_bytes"}
budgets = st.deferred(
    lambda: st.fixed_dictionaries(
        {}, optional={name: st.integers(own(measure) // 4, own(measure)) for name, measure in LIMITS.items()}
    ).filter(bool)
)


def meeting(limits):
    return [one for one in students() if all(one.figures(4)[LIMITS[name]] <= most for name, most in limits.items())]


def counting(limits, element="float32"):
    return Counting(net(), SHAPE, Budget(limits, element), students()[0])


def listed(limits):
    return unbeaten(meeting(limits), counting(limits))


@pytest.mark.parametrize(
    ("share", "element"),
    [({"macs": 0.5}, "float32"), ({"memory": 0.2, "parameters": 0.6}, "int8"), ({"file_size": 0.3}, "float32")],
)
def test_every_line_meets_every_limit_when_it_is_counted_again(share, element):
    limits = {name: int(part * own(LIMITS[name])) for name, part in share.items()}
    answer = fit_budget(net(), SHAPE, Budget(limits, element), latency=False, limit=5, recipes=False)
    size = {"float32": 4, "int8": 1}[element]
    assert answer.candidates
    assert answer.fits
    for each in answer.candidates:
        built = build(NetSpec("resnet14", OPTIONS, each.student.edits), seed=0)
        assert {name: figure.value for name, figure in each.figures.items()} == {
            "peak": forecast(built, SHAPE, bytes_per_element=size).peak_bytes,
            "parameters": num_parameters(built),
            "macs": count_macs(built, SHAPE),
            "file_bytes": size * num_parameters(built),
        }
        assert each.verdict == "meets"
        assert all(each.figures[LIMITS[name]].value <= limit for name, limit in limits.items())
    assert answer.num_usable >= len(answer.candidates)
    assert answer.num_searched == len(students()) - 1
    assert answer.num_within == answer.num_thinned + answer.num_usable


@given(budgets, st.data())
def test_a_larger_budget_lists_no_fewer(limits, data):
    larger = {name: data.draw(st.integers(limit, 2 * own(LIMITS[name]))) for name, limit in limits.items()}
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
            and all(other.figures(4)[LIMITS[name]] <= student.figures(4)[LIMITS[name]] for name in limits)
        ]
        assert beaten_by or student in kept


def test_nothing_is_left_out_that_may_be_faster():
    kept = unbeaten(alone(), counting({"latency_ratio": 0.5}))
    assert kept == unbeaten(alone(), counting({"latency_ms": 1}))
    assert kept == [each for each in sorted(alone(), key=lambda each: each.change) if each.shortened == ()]


def test_two_edits_together_are_found():
    """ResNet-18 gains nothing without its shortcuts; with a lean stem it does."""
    answer = fit_budget(meta_net("resnet18"), (3, 224, 224), Budget({"memory": "2MiB"}), latency=False, recipes=False)
    wide = [each for each in answer.candidates if not each.student.pruned]
    assert [str(each.student) for each in wide] == ["lean stem, shortened", "lean stem, plain in stage1"]
    assert {each.figures["peak"].value for each in wide} == {1.53125 * 2**20}
    assert answer.own.verdict == "exceeds"


def test_what_comes_nearest_where_nothing_fits():
    budget = Budget({"memory": own("peak") // 2, "parameters": 100})
    answer = fit_budget(net(), SHAPE, budget, latency=False)
    assert not answer.fits
    assert answer.candidates == ()
    assert answer.best is None
    fewest = min(student.parameters for student in students())
    assert answer.smallest["parameters"].figures["parameters"].value == fewest
    assert answer.smallest["peak"].figures["peak"].value == 4 * min(student.peak_elements for student in students())
    assert answer.nearest.student.parameters == fewest
    assert answer.own.student not in [candidate.student for _, candidate in answer.near]
    assert answer.near[0][0].split(", ")[0] == "all limits"


# Latency


@pytest.mark.parametrize(
    ("limits", "file", "verdict"),
    [
        ({"latency_ratio": 0.8}, timed(0.7, 0.75, 0.79), "meets"),
        ({"latency_ratio": 0.8}, timed(0.7, 0.75, 0.81), "borderline"),
        ({"latency_ratio": 0.8}, timed(0.79, 0.85, 0.9), "borderline"),
        ({"latency_ratio": 0.8}, timed(0.81, 0.85, 0.9), "exceeds"),
        ({"latency_ms": 8.0}, timed(0.7, 0.75, 0.79), "meets"),
        ({"latency_ms": 7.5}, timed(0.7, 0.75, 0.79), "borderline"),
        ({"latency_ms": 6.9, "latency_ratio": 0.8}, timed(0.7, 0.75, 0.79), "exceeds"),
        ({"latency_ratio": 0.8}, None, "not measured"),
        ({"macs": 10**12}, None, "meets"),
        ({"macs": 10**12}, timed(2, 2, 2), "meets"),
        ({"macs": 10}, timed(0.1, 0.1, 0.1), "exceeds"),
        ({"macs": 10**12}, Cell(subject="a student", refused="an operator is missing"), "not exported"),
        ({"file_size": 10**9}, timed(1, 1, 1), "meets"),
        ({"file_size": 10**9}, timed(1, 1, 1, file_bytes=2 * 10**9), "exceeds"),
    ],
)
def test_verdicts(limits, file, verdict):
    assert judged(students()[3], file, counting(limits)).verdict == verdict


def test_of_another_element_only_the_forecast_is_known():
    file = timed(1, 1, 1, file_bytes=2 * 10**9)
    assert judged(students()[3], file, counting({"file_size": 10**9}, "int8")).verdict == "meets"


class Clock:
    """Latency as a function of the student, in the place of a workbench."""

    def __init__(self, ratio):
        self.ratio = ratio
        self.rounds = []

    def measure(self, students):
        self.rounds.append(list(students))
        return {student.structure: timed(*[self.ratio(student)] * 3) for student in students}


OWN_FILE = timed(1, 1, 1)


def test_without_a_limit_the_first_ones_are_measured():
    clock = Clock(lambda student: 1.0)
    measured = measure_students(clock.measure, alone(), OWN_FILE, {}, students()[0].macs)
    assert clock.rounds == [alone()[:MAX_MEASURED]]
    assert len(measured) == MAX_MEASURED
    assert measure_students(clock.measure, [], OWN_FILE, {"latency_ratio": 0.5}, students()[0].macs) == {}


@pytest.mark.parametrize("most", [{"latency_ratio": 0.6}, {"latency": 6.0}])
@pytest.mark.parametrize("overhead", [0.0, 0.2])
def test_the_second_round_corrects_the_guess_of_the_first(most, overhead):
    """Where a share of the time is lost, students need fewer MACs than the limit says."""
    macs = students()[0].macs

    def ratio(student):
        return overhead + (1 - overhead) * student.macs / macs

    clock = Clock(ratio)
    measured = measure_students(clock.measure, alone(), OWN_FILE, most, macs)
    assert len(clock.rounds) == 2
    assert len(measured) == MAX_MEASURED
    fewest = min(alone(), key=lambda student: student.macs)
    assert fewest.structure in measured, "so that one knows what can be reached"
    ungrouped = [student for student in alone() if student.groups == 1 and student.structure in measured]
    best = max(student.macs for student in ungrouped if ratio(student) <= 0.6)
    possible = max(student.macs for student in alone() if student.groups == 1 and ratio(student) <= 0.6)
    assert best >= 0.85 * possible


def test_untrained_exports_are_measured_beside_the_network():
    fewest = sorted({student.macs for student in alone()})[1]
    budget = Budget({"parameters": own("parameters"), "macs": fewest, "latency_ratio": 1.0})
    answer = fit_budget(net(), SHAPE, budget, limit=30)
    assert 1 <= answer.num_measured <= MAX_MEASURED
    assert answer.runtime.startswith("ONNX Runtime")
    assert answer.own.figures["latency_ratio"] == Figure(value=1.0, low=1.0, high=1.0)
    assert answer.candidates
    structures = {}
    for each in answer.candidates:
        assert each.verdict != "not measured"
        assert each.figures["latency"].value > 0
        assert each.figures["file_bytes"].value >= 4 * each.student.parameters
        assert structures.setdefault(each.student.structure, each.figures) == each.figures, "sub-nets are the same nets"
    verdicts = [each.verdict for each in answer.candidates]
    assert verdicts == sorted(verdicts, key=["meets", "borderline", "exceeds"].index)
    assert len(answer.nearest_measured.figures["latency"].samples) > 1
    slow = counting({"latency_ratio": 1e-9})
    assert not any(
        judged(each.student, Cell(subject="a student", figures=each.figures), slow).is_usable
        for each in answer.candidates
    )


def test_a_limit_of_what_is_not_measured_is_refused():
    with pytest.raises(UnskipError, match="latency is measured, not forecast"):
        fit_budget(net(), SHAPE, Budget({"latency_ms": 1}), latency=False)


def test_runtimes_are_known_before_anything_is_counted():
    with pytest.raises(ValueError, match="no runtime 'onnx'"):
        fit_budget(net(), (3, 1, 1), Budget({"macs": 1}), runtime="onnx")
