"""What a run shows, as facts."""

import math

import pytest
from records.samples import bench, benches, changed, diverged, matching, one_training, run, without_latency

from unskip.records import Figure
from unskip.report.findings import COSTS, Difference, Verdict, fastest, find, pairs

BETTER, WITHIN_NOISE, WORSE = Verdict.BETTER, Verdict.WITHIN_NOISE, Verdict.WORSE


@pytest.mark.parametrize(
    ("ce", "align_kd", "accuracy", "removal", "regained", "recovered"),
    [
        (0.612, 0.910, WORSE, WORSE, BETTER, 29.8 / 32.2),
        (0.612, 0.930, WITHIN_NOISE, WORSE, BETTER, 31.8 / 32.2),
        (0.612, 0.960, BETTER, WORSE, BETTER, 34.8 / 32.2),
        (0.850, 0.854, WORSE, WORSE, WITHIN_NOISE, None),
        (0.850, 0.800, WORSE, WORSE, WORSE, None),
        (0.932, 0.933, WITHIN_NOISE, WITHIN_NOISE, WITHIN_NOISE, None),
        (0.932, 0.955, BETTER, WITHIN_NOISE, BETTER, None),
        (0.960, 0.920, WORSE, BETTER, WORSE, None),
    ],
)
def test_what_removal_cost_and_what_came_back(ce, align_kd, accuracy, removal, regained, recovered):
    facts = find(run(("ce", "align_kd"), ce=ce, align_kd=align_kd))
    assert (facts.accuracy.verdict, facts.removal.verdict, facts.regained.verdict) == (accuracy, removal, regained)
    assert facts.recovered == (None if recovered is None else pytest.approx(recovered))
    assert facts.removal.value == pytest.approx(ce - 0.934)


def test_without_a_twin_that_was_trained_without_a_teacher_nothing_is_known_of_removal():
    for methods in (("kd", "align_kd"), ("kd", "ce")):  # the best one is no baseline of itself
        facts = find(run(methods))
        assert facts.baseline is facts.removal is facts.regained is facts.recovered is None
        assert facts.accuracy.verdict is WORSE


def test_noise_is_two_standard_errors_of_the_difference():
    assert Difference(0.9, 0.9, 10_000).noise == pytest.approx(2 * math.sqrt(2) * math.sqrt(0.9 * 0.1 / 10_000))
    assert Difference(0.9, 0.8, 100).noise == pytest.approx(10 * Difference(0.9, 0.8, 10_000).noise)
    assert Difference(1.0, 1.0, 50).noise == 0


def test_the_noise_of_scores_that_are_no_shares_of_right_answers_is_not_known():
    facts = find(matching())
    assert facts.at_chance == facts.unclear == ()
    assert (facts.accuracy.noise, facts.accuracy.verdict) == (0, WORSE)


def test_fewer_test_images_make_fewer_claims():
    record = run(("align_kd",))
    assert find(record).accuracy.verdict is WORSE
    assert find(changed(record, "data", num_test=360)).accuracy.verdict is WITHIN_NOISE


@pytest.mark.parametrize(
    ("scores", "at_chance", "compared"),
    [
        ({"teacher": 0.1, "ce": 0.1, "kd": 0.104}, {"teacher", "ce", "kd"}, (False, False)),
        ({"ce": 0.1, "kd": 0.103}, {"ce", "kd"}, (False, False)),
        ({"teacher": 0.098, "ce": 0.8, "kd": 0.9}, {"teacher"}, (False, False)),
        ({"ce": 0.1, "kd": 0.9}, {"ce"}, (True, False)),
        ({"ce": 0.8, "kd": 0.9}, set(), (True, True)),
    ],
)
def test_what_is_at_chance_is_compared_with_nothing(scores, at_chance, compared):
    facts = find(run(("ce", "kd"), **scores))
    assert {net.label for net in facts.at_chance} == at_chance
    assert (facts.accuracy is not None, facts.removal is not None) == compared


def test_chance_is_what_the_task_says():
    record = run(("kd",), kd=0.8)
    assert find(record).at_chance == ()
    assert [net.label for net in find(changed(record, "data", chance=0.8)).at_chance] == ["kd"]
    assert find(changed(run(("kd",), kd=0.1), "data", chance=None)).at_chance == ()


def test_few_test_images_cannot_tell_chance():
    facts = find(changed(run(("kd",), teacher=0.9, kd=0.2), "data", num_test=20))
    assert facts.at_chance == ()
    assert [net.label for net in facts.unclear] == ["kd"]
    assert facts.accuracy is not None


def test_families_and_trainings_that_diverged():
    facts = find(one_training())
    assert [[net.label for net in nets] for nets in facts.families] == [
        ["embedded_kd-full", "embedded_kd-2-2-2", "embedded_kd-3-3-3"]
    ]
    assert facts.diverged == ()
    assert find(diverged(run())).diverged == ("align_kd",)


def costs(record):
    return {pair.title: pair for pair in pairs(record, COSTS)}


def test_memory_less_the_same_or_more_and_where_the_peak_is():
    assert costs(run())["Peak memory"].comparison == "1.50× less"
    unchanged = costs(run(stem=4))["Peak memory"]
    assert (unchanged.comparison, unchanged.where) == ("the same", "stem.conv")
    more = changed(run(), "comparison", "subjects", "align_kd", "figures", peak=Figure(value=245_760))
    assert costs(more)["Peak memory"].comparison == "1.25× more"


def test_latency_by_the_paired_ratio_alone():
    record = run()
    assert costs(record)["Latency"].comparison == "1.08× as fast"
    place = ("comparison", "groups", 0, "cells", "align_kd", "speedup")
    assert costs(changed(record, *place, low=0.7, median=0.8, high=0.9))["Latency"].comparison == "0.80× as fast"
    assert costs(changed(record, *place, low=0.99))["Latency"].comparison == "no difference shown"
    assert "Latency" not in costs(without_latency(record))


def test_the_fastest_file_of_the_first_setting_that_compares():
    group, cell = fastest(bench())
    assert (group.threads, cell.subject) == (1, "plain")
    group, cell = fastest(benches()["refused"])
    assert (group.threads, cell.subject) == (2, "plain")
    assert fastest(benches()["alone"])[1].subject == "residual"
    assert fastest(benches()["untimed"]) is None
