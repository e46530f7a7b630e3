import itertools
import re
from xml.etree import ElementTree

from matplotlib import rc_context
from sample_runs import one_training, run

from unskip.report import plots
from unskip.report.memory import DrawnTimeline, memory_plot
from unskip.report.pareto import Point, pareto_plot
from unskip.report.record import Run
from unskip.report.svg import NUM_COLORS
from unskip.units import SPACE


def texts(svg) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def test_students_and_teacher_are_labelled_in_both_accuracy_plots():
    record = Run.model_validate(run())
    for against in ("epoch", "seconds"):
        assert {"teacher", "ce", "kd", "align_kd"} <= set(texts(plots.accuracy_plot(record, against)))


def test_the_alternative_text_holds_the_results():
    svg = ElementTree.fromstring(plots.accuracy_plot(Run.model_validate(run()), "epoch"))
    assert svg.get("role") == "img"
    assert "align_kd 91.0" in svg.get("aria-label", "")


def test_no_accuracy_plot_where_nothing_was_validated():
    record = run()
    record["history"] = {}
    assert plots.accuracy_plot(Run.model_validate(record), "epoch") is None
    assert plots.loss_plots(Run.model_validate(record)) == []


def test_every_trained_net_has_its_loss_terms():
    drawn = {net.label: texts(svg) for net, svg in plots.loss_plots(Run.model_validate(run()))}
    assert list(drawn) == ["teacher", "ce", "kd", "align_kd"]
    assert {"ce", "kl", "feature"} <= set(drawn["align_kd"])
    assert "kl" not in drawn["ce"]


def test_nets_of_one_training_share_its_curve_and_its_loss_terms():
    record = Run.model_validate(one_training())
    assert [net.label for net, _ in plots.loss_plots(record)] == ["teacher", "embedded_kd-full", "ce"]
    for against in ("epoch", "seconds"):
        svg = plots.accuracy_plot(record, against)
        assert "embedded_kd-2-2-2 90.2" in ElementTree.fromstring(svg).get("aria-label", "").replace(SPACE, " ")
        for label, curved in (("embedded_kd-full", True), ("embedded_kd-2-2-2", False), ("ce", True)):
            color = f"stroke: var(--net-{plots.color_index(record, label)})"
            paths = [path for path in re.findall(r"<path[^>]*>", str(svg)) if color in path]
            assert any(path.count("L ") > 10 for path in paths) is curved, label


def test_drawings_are_the_same_each_time_and_share_no_ids():
    record = Run.model_validate(run())

    def drawings() -> list[str]:
        accuracy = [str(plots.accuracy_plot(record, against)) for against in ("epoch", "seconds")]
        losses = [str(svg) for _, svg in plots.loss_plots(record)]
        drawn = [DrawnTimeline("net", record.memory.nets.teacher, 0, True)]
        points = [Point("a", 1.0, 0.5, 0), Point("b", 2.0, 0.6, 1)]
        others = [pareto_plot(points, "cost", name) for name in ("one", "other")]
        memory = [memory_plot(drawn, f"memory-{width}", width) for width in (480, 1040)]
        return [*accuracy, *losses, *map(str, others), *map(str, memory)]

    first = drawings()
    assert first == drawings()
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in first]
    assert all(ids)
    assert not any(one & other for one, other in itertools.combinations(ids, 2))
    for svg, own in zip(first, ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg)) <= own


def test_colours_are_the_pages():
    svg = str(plots.accuracy_plot(Run.model_validate(run()), "epoch"))
    assert "var(--net-0)" in svg
    assert "var(--ink)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)


def test_the_users_matplotlib_style_does_not_matter():
    record = Run.model_validate(run())
    usual = plots.accuracy_plot(record, "epoch")
    with rc_context({"text.color": "#0000ff", "font.size": 30, "axes.grid": False, "lines.linestyle": ":"}):
        assert plots.accuracy_plot(record, "epoch") == usual


def test_a_net_has_one_colour_and_only_the_teacher_has_the_first():
    record = Run.model_validate(run(tuple(f"method_{i}" for i in range(NUM_COLORS + 2))))
    assert plots.color_index(record, "teacher") == 0
    colors = [plots.color_index(record, net.label) for net in record.students]
    assert colors[: NUM_COLORS - 1] == list(range(1, NUM_COLORS))
    assert 0 not in colors
    assert max(colors) < NUM_COLORS
