import re
from xml.etree import ElementTree

from sample_runs import run, timeline

from unskip.report.memory import DrawnTimeline, memory_plot
from unskip.report.record import Run


def drawing(record):
    nets = Run.model_validate(record).memory.nets
    return memory_plot(
        [DrawnTimeline("teacher", nets.teacher, 0, False), DrawnTimeline("student", nets.student, 1, True)],
        "memory",
        480,
    )


def texts(svg) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def test_memory_peaks_are_marked_with_their_size():
    labels = texts(drawing(run()))
    assert any("192.0" in label for label in labels)
    assert any("128.0" in label for label in labels)
    assert {"stage1", "stage2", "stage3"} <= set(labels)


def test_nets_of_different_parts_share_the_whole_width():
    record = run()
    other = timeline(False)
    other["operations"] = other["operations"][:7]
    record["memory"]["nets"]["student"] = other
    labels = texts(drawing(record))
    assert "stage1" not in labels
    assert any("128.0" in label for label in labels)


def test_one_net_alone_and_three_together():
    record = run()
    nets = Run.model_validate(record).memory.nets
    alone = [DrawnTimeline("only", nets.student, 0, True)]
    assert "only" in texts(memory_plot(alone, "memory", 480))
    three = [*alone, DrawnTimeline("second", nets.teacher, 1, True), DrawnTimeline("third", nets.student, 2, False)]
    svg = memory_plot(three, "memory", 1040)
    assert {"only", "second", "third", "stage2"} <= set(texts(svg))
    assert {"--net-0", "--net-1", "--net-2"} <= set(re.findall(r"--net-\d", str(svg)))
