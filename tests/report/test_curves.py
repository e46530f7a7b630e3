import itertools
import re
from xml.etree import ElementTree

import pytest
from matplotlib import rc_context
from records.samples import bench, changed, one_training, run

from unskip.report.curves import loss_drawings, score_drawings
from unskip.report.drawings import colors_of, cost_drawings, memory_drawings
from unskip.report.svg import NUM_COLORS
from unskip.units import SPACE


def texts(drawn) -> set[str]:
    return {element.text or "" for element in ElementTree.fromstring(drawn.svg).iter("text")}


def alternative(drawn) -> str:
    return ElementTree.fromstring(drawn.svg).get("aria-label", "").replace(SPACE, " ")


def test_students_and_teacher_are_labelled_in_both_plots_of_scores():
    for drawn in score_drawings(run()):
        assert {"teacher", "ce", "kd", "align_kd"} <= texts(drawn)
        assert "align_kd 91.0 %" in alternative(drawn)


def test_no_plots_where_nothing_was_trained():
    record = changed(run(), history={})
    assert score_drawings(record) == loss_drawings(record) == []


def test_every_training_has_its_loss_terms():
    drawn = {each.title: texts(each) for each in loss_drawings(run())}
    assert list(drawn) == ["teacher", "ce", "kd", "align_kd"]
    assert {"ce", "kl", "feature"} <= drawn["align_kd"]
    assert "kl" not in drawn["ce"]


def test_nets_of_one_training_share_its_curve_and_its_loss_terms():
    record = one_training()
    assert [each.title for each in loss_drawings(record)] == ["teacher", "embedded_kd", "ce"]
    for drawn in score_drawings(record):
        assert "embedded_kd-2-2-2 90.2" in alternative(drawn)
        for label, curved in (("embedded_kd-full", True), ("embedded_kd-2-2-2", False), ("ce", True)):
            color = f"stroke: var(--net-{colors_of(record.comparison)[label]})"
            paths = [path for path in re.findall(r"<path[^>]*>", str(drawn.svg)) if color in path]
            assert any(path.count("L ") > 10 for path in paths) is curved, label


def drawings() -> list[str]:
    record, comparison = run(), bench()
    drawn = [*score_drawings(record), *loss_drawings(record)]
    for number, group in enumerate(comparison.groups):
        drawn += cost_drawings(comparison, group, "top1", f"costs-{number}")
    memory = memory_drawings(comparison)
    return [str(each.svg) for each in drawn + memory] + [str(each.wide) for each in memory]


def test_drawings_are_the_same_each_time_and_share_no_ids():
    first = drawings()
    assert first == drawings()
    ids = [set(re.findall(r'\bid="([^"]+)"', svg)) for svg in first]
    assert all(ids)
    assert not any(one & other for one, other in itertools.combinations(ids, 2))
    for svg, own in zip(first, ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"', svg)) | set(re.findall(r"url\(#([^)]+)\)", svg)) <= own


def test_colours_are_the_pages():
    svg = str(score_drawings(run())[0].svg)
    assert "var(--net-0)" in svg
    assert "var(--ink)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b", svg)


def test_the_users_matplotlib_style_does_not_matter():
    usual = score_drawings(run())
    with rc_context({"text.color": "#0000ff", "font.size": 30, "axes.grid": False, "lines.linestyle": ":"}):
        assert score_drawings(run()) == usual


def test_a_net_has_one_colour_and_only_the_first_has_grey():
    colors = list(colors_of(run(tuple(f"method_{i}" for i in range(NUM_COLORS + 2))).comparison).values())
    assert colors[:NUM_COLORS] == list(range(NUM_COLORS))
    assert 0 not in colors[1:]
    assert max(colors) < NUM_COLORS


@pytest.mark.parametrize(("best", "titles"), [(None, ["ce"]), ("align_kd", ["align_kd"])])
def test_nets_with_the_same_live_feature_maps_are_drawn_once(best, titles):
    assert [each.title for each in memory_drawings(run().comparison, best)] == titles


def test_one_net_alone_has_its_feature_maps_drawn():
    comparison = changed(bench(), subjects=bench().subjects[:1])
    assert [each.title for each in memory_drawings(comparison)] == ["residual"]
    assert memory_drawings(changed(comparison, "subjects", "residual", memory=None)) == []
