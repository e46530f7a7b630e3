import copy
import math

import pytest
from sample_runs import diverged, one_training, run, with_accuracies, without_latency

from unskip.report.record import Run
from unskip.report.summary import noise, summarise
from unskip.units import SPACE

MINUS = "\N{MINUS SIGN}"


def summary(record):
    return summarise(Run.model_validate(record))


def headline(record) -> str:
    return summary(record).headline.replace(SPACE, " ")


def costs(record) -> str:
    return summary(record).costs.replace(SPACE, " ")


def edited(record, *path, value):
    """The record with the entry at ``path`` replaced."""
    record = copy.deepcopy(record)
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return record


@pytest.mark.parametrize(
    ("ce", "align_kd", "expected"),
    [
        (0.612, 0.910, "loses 32.2 points; align_kd recovers 29.8 of them."),
        (
            0.612,
            0.930,
            "loses 32.2 points; align_kd recovers 31.8 of them and ends within noise of the teacher.",
        ),
        (0.612, 0.936, "loses 32.2 points; align_kd recovers them all and ends within noise of the teacher."),
        (
            0.612,
            0.960,
            "loses 32.2 points; align_kd recovers them all and ends 2.6 points above the teacher.",
        ),
        (0.850, 0.854, "loses 8.4 points; what align_kd recovers, 0.4 of them, is within noise of one run."),
        (
            0.850,
            0.850,
            "loses 8.4 points; align_kd recovers none of them (0.0 points, within noise of one run).",
        ),
        (0.850, 0.800, "loses 8.4 points; align_kd recovers none of them and ends 5.0 points lower still."),
        (
            0.932,
            0.933,
            f"keeps its accuracy within noise ({MINUS}0.2 points); "
            "what align_kd changes (+0.1 points) is within noise of one run.",
        ),
        (0.932, 0.955, f"keeps its accuracy within noise ({MINUS}0.2 points); align_kd adds 2.3 points."),
        (0.960, 0.920, "gains 2.6 points; align_kd takes 4.0 points away."),
    ],
)
def test_headline_against_a_student_without_teacher(ce, align_kd, expected):
    record = with_accuracies(run(("ce", "align_kd")), ce=ce, align_kd=align_kd)
    assert headline(record) == f"Without its 15 shortcuts, resnet32 {expected}"


@pytest.mark.parametrize(
    ("top1", "expected"),
    [
        (0.910, "stays 2.4 points below the teacher: 91.0 % against 93.4 %."),
        (0.932, "is within noise of the teacher: 93.2 % against 93.4 %."),
        (0.934, "is within noise of the teacher: 93.4 % against 93.4 %."),
        (0.950, "is 1.6 points better than the teacher: 95.0 % against 93.4 %."),
    ],
)
def test_headline_of_one_method(top1, expected):
    record = with_accuracies(run(("align_kd",)), align_kd=top1)
    assert headline(record) == f"Without its 15 shortcuts, resnet32 trained with align_kd {expected}"


def test_headline_when_training_without_a_teacher_is_best():
    record = with_accuracies(run(("kd", "ce")), ce=0.90, kd=0.88)
    assert headline(record) == (
        "Without its 15 shortcuts, resnet32 trained without a teacher stays 3.4 points below the teacher: "
        "90.0 % against 93.4 %; no distillation method does better."
    )


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [
        ({}, {"shortcuts": 3}, "Without 12 of its 15 shortcuts, resnet32 trained"),
        ({"shortcuts": 1}, {}, "Without its shortcut, resnet32 trained"),
        ({}, {"shortcuts": 15}, "With its shortcuts unchanged, resnet32 trained"),
        ({}, {"shortcuts": 30}, "With 30 shortcuts in the place of 15, resnet32 trained"),
        ({"shortcuts": 0}, {}, "resnet32 trained"),
        (
            {},
            {"shortcuts": 9, "depth": [3, 3, 3]},
            "With 3-3-3 blocks in its stages, resnet32 with 9 shortcuts trained",
        ),
        ({}, {"depth": [3, 3, 3]}, "With 3-3-3 blocks in its stages, resnet32 without shortcuts trained"),
        ({"depth": [3, 3, 3]}, {"depth": [3, 3, 3]}, "Without its 15 shortcuts, resnet32 trained"),
        ({}, {"net": "resnet20"}, "In place of resnet32, resnet20 without shortcuts trained"),
        ({}, {"net": "resnet20", "shortcuts": 1}, "In place of resnet32, resnet20 with 1 shortcut trained"),
        ({}, {"net": "resnet20", "shortcuts": 2}, "In place of resnet32, resnet20 with 2 shortcuts trained"),
    ],
)
def test_headline_names_the_edit(teacher, student, expected):
    record = run(("align_kd",))
    record["nets"][0] |= teacher
    record["nets"][1] |= student
    assert headline(record).startswith(expected)


def test_several_nets_of_one_training():
    record = one_training()
    assert headline(record) == (
        "With its shortcuts unchanged, resnet32 trained with embedded_kd is within noise of the teacher: "
        "93.6 % against 93.4 %."
    )
    assert costs(record).startswith(
        "Peak feature-map memory is the teacher's (192.0 KiB): the two are the same network."
    )
    said = summary(record)
    assert [note.replace(SPACE, " ") for note in said.notes[1:]] == [
        "One training gave embedded_kd-full (93.6 %) and embedded_kd-2-2-2 (90.2 % with 37.6 % of its MACs), "
        "embedded_kd-3-3-3 (92.1 % with 59.0 % of its MACs)."
    ]
    record["history"]["embedded_kd"][-1]["loss"] = math.inf
    assert "The loss did not stay finite in the training of embedded_kd." in summary(record).notes


def test_a_sub_net_that_is_best_and_its_twin_without_a_teacher():
    """A plain net of the same name and without shortcuts is its twin only at the same depth."""
    record = one_training()
    record["best"] = "embedded_kd-3-3-3"
    record["nets"][3] |= {"shortcuts": 0}
    assert headline(record).startswith("With 3-3-3 blocks in its stages, resnet32 without shortcuts trained with embed")
    record["nets"][4] |= {key: record["nets"][3][key] for key in ("depth", "parameters", "macs")}
    assert headline(record).startswith(
        "With 3-3-3 blocks in its stages, resnet32 without shortcuts loses 32.2 points; "
    )
    assert "embedded_kd-3-3-3 recovers 30.9 of them" in headline(record)


def test_memory_gained():
    assert costs(run()).startswith(
        "The student holds 1.50× less live feature-map memory at its peak (128.0 against 192.0 KiB)."
    )


def test_memory_unchanged_says_where_the_peak_is():
    record = run(stem=4)
    assert costs(record).startswith(
        "Peak feature-map memory does not change (304.0 KiB), because the most is held at stem.conv, "
        "where no shortcut is alive."
    )
    record = edited(record, "nets", -1, "shortcuts", value=2)
    assert "because the most is held at stem.conv already." in costs(record)


def test_memory_grown_or_nearly_the_same():
    record = run()
    assert "1.25× more live feature-map memory" in costs(edited(record, "nets", -1, "peak_bytes", value=245_760))
    assert "hardly changes (191.8 against 192.0 KiB)" in costs(edited(record, "nets", -1, "peak_bytes", value=196_400))


def test_latency_faster_slower_the_same_and_unknown():
    record = run()
    assert "runs 1.08× faster (median 1.31 against 1.42 ms)." in costs(record)

    slower = edited(record, "nets", -1, "latency", value={"median_ms": 1.60, "low_ms": 1.58, "high_ms": 1.63})
    slower["latency"]["speedup"] = 1.42 / 1.60
    assert "runs 1.13× slower (median 1.60 against 1.42 ms)." in costs(slower)

    noisy = edited(record, "nets", -1, "latency", value={"median_ms": 1.38, "low_ms": 1.29, "high_ms": 1.60})
    assert "as fast as the teacher's within the spread of the measurement" in costs(noisy)

    assert costs(without_latency(record)).endswith("Latency was not measured.")


def test_noise_is_two_standard_errors_of_the_difference():
    assert noise(0.9, 0.9, 10_000) == pytest.approx(2 * math.sqrt(2) * math.sqrt(0.9 * 0.1 / 10_000))
    assert noise(0.9, 0.8, 100) == pytest.approx(10 * noise(0.9, 0.8, 10_000))
    assert noise(1.0, 1.0, 50) == 0


def test_fewer_test_images_make_fewer_claims():
    record = run(("align_kd",))
    assert "below the teacher" in headline(record)
    assert "within noise of the teacher" in headline(edited(record, "data", "num_test", value=360))


def test_notes_say_how_far_to_trust_the_numbers():
    notes = summary(run()).notes
    assert notes[0].startswith("One seed (0) and 10,000 test images: differences up to about 0.8 points")
    assert "measured on ce, the same student trained without a teacher" in notes[1]
    assert len(notes) == 2

    assert "The teacher was not trained in this run." in summary(edited(run(), "nets", 0, "reused", value=True)).notes
    unequal = summary(edited(run(), "nets", 1, "epochs", value=10)).notes
    assert "The two were not trained equally long: ce 10 epochs, align_kd 30." in unequal
    assert "The loss did not stay finite in the training of align_kd." in summary(diverged(run())).notes


GUESSED = "always naming the most frequent class gives 10.0 %"


@pytest.mark.parametrize(
    ("methods", "top1", "first"),
    [
        (
            ("kd",),
            {"teacher": 0.1, "kd": 0.1},
            f"Both the teacher and the student are at chance: 10.0 % and 10.0 % top-1, where {GUESSED}",
        ),
        (
            ("ce", "kd"),
            {"teacher": 0.1, "ce": 0.1, "kd": 0.104},
            f"The teacher and all students are at chance: 10.0 % and at best 10.4 % top-1, where {GUESSED}",
        ),
        (
            ("kd",),
            {"teacher": 0.934, "kd": 0.103},
            f"The student is at chance: 10.3 % top-1, where {GUESSED} and the teacher has 93.4 %",
        ),
        (
            ("ce", "kd"),
            {"ce": 0.1, "kd": 0.103},
            f"All students are at chance: at best 10.3 % top-1, where {GUESSED} and the teacher has 93.4 %",
        ),
        (
            ("ce",),
            {"teacher": 0.098, "ce": 0.9},
            f"The teacher is at chance: 9.8 % top-1, where {GUESSED}; ce ends at 90.0 % and owes it nothing",
        ),
        (
            ("ce", "kd"),
            {"ce": 0.1, "kd": 0.9},
            f"ce, the same student trained without a teacher, is at chance ({GUESSED}), so what is lost",
        ),
    ],
)
def test_what_is_at_chance_is_called_so_first(methods, top1, first):
    said = headline(with_accuracies(run(methods), **top1))
    assert said.startswith(first)
    for comparison in ("within noise", "loses", "recovers", "points better"):
        assert comparison not in said


def test_chance_is_the_share_of_the_most_frequent_class():
    record = with_accuracies(run(("kd",)), teacher=0.934, kd=0.8)
    assert "is at chance" not in headline(record)
    assert "is at chance: 80.0 %" in headline(edited(record, "data", "chance", value=0.8))


def test_an_older_run_knows_only_how_many_classes_there_are():
    record = with_accuracies(run(("kd",)), kd=0.5)
    record["data"]["classes"] = ["yes", "no"]
    assert "at chance: 50.0 % top-1, where always naming the most frequent class gives 50.0 %" in headline(record)


def test_few_test_images_cannot_tell_chance():
    record = edited(with_accuracies(run(("kd",)), teacher=0.9, kd=0.2), "data", "num_test", value=20)
    assert "at chance" not in headline(record)
    assert any("20 test images are too few to tell kd from chance" in note for note in summary(record).notes)


def test_another_student_at_chance_is_a_note():
    notes = summary(with_accuracies(run(("ce", "joint_rd", "kd")), joint_rd=0.1)).notes
    assert any(note.startswith("No better than chance") and note.endswith(": joint_rd.") for note in notes)
