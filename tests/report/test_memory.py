import re
from xml.etree import ElementTree

from records.samples import changed, timeline

from unskip.report.memory import DrawnTimeline, memory_plot

TEACHER, STUDENT = timeline(True), timeline(False)


def drawing(teacher=TEACHER, student=STUDENT) -> str:
    drawn = [DrawnTimeline("teacher", teacher, 0, False), DrawnTimeline("student", student, 1, True)]
    return memory_plot(drawn, "memory", 380)


def texts(svg) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def test_memory_peaks_are_marked_with_their_size():
    labels = texts(drawing())
    assert any("192.0" in label for label in labels)
    assert any("128.0" in label for label in labels)
    assert {"stage1", "stage2", "stage3"} <= set(labels)


def test_nets_of_different_parts_share_the_whole_width():
    labels = texts(drawing(student=changed(STUDENT, operations=STUDENT.operations[:7])))
    assert "stage1" not in labels
    assert any("128.0" in label for label in labels)


def test_one_net_alone_and_three_together():
    alone = [DrawnTimeline("only", STUDENT, 0, True)]
    assert "only" in texts(memory_plot(alone, "memory", 380))
    three = [*alone, DrawnTimeline("second", TEACHER, 1, True), DrawnTimeline("third", STUDENT, 2, False)]
    svg = memory_plot(three, "memory", 1040)
    assert {"only", "second", "third", "stage2"} <= set(texts(svg))
    assert {"--net-0", "--net-1", "--net-2"} <= set(re.findall(r"--net-\d", str(svg)))
