"""Plans for a device, with a compiler by formula in the place of a real one."""

import pytest

from search.known import DEVICE, Compiler, estimated, meta_net
from unskip import UnskipError
from unskip.search import device_plan, plan_for_device, removal_groups

SHAPE = (3, 64, 64)
NAMES = ["as it is", *(f"plain in stage{n}" for n in (1, 2, 3, 4)), "plain", "lean stem", "lean stem, plain"]


def net():
    return meta_net("resnet18", {"width": 8, "num_classes": 10})


def stages(edits):
    removed = edits.get("without_shortcuts")
    return set() if removed is None else set(removed.get("only", ("stage1", "stage2", "stage3", "stage4")))


def test_groups_are_the_stages_all_the_stem_and_both(monkeypatch):
    monkeypatch.setattr(device_plan, "compile_all", Compiler(lambda edits, device: estimated(100)))
    assert [str(each.student) for each in removal_groups(net(), SHAPE, DEVICE)] == NAMES


def test_a_network_without_shortcuts_has_its_stem(monkeypatch):
    monkeypatch.setattr(device_plan, "compile_all", Compiler(lambda edits, device: estimated(100)))
    plain = meta_net("vgg11-cifar")
    assert [str(each.student) for each in removal_groups(plain, (3, 32, 32), DEVICE)] == ["as it is"]


def test_a_plan_keeps_what_no_smaller_change_beats(monkeypatch):
    """Only stage 1 matters, and only with a lean stem: other shortcuts are not removed for nothing."""

    def cost(edits, device):
        return estimated(500 if "with_lean_stem" in edits and "stage1" in stages(edits) else 1000)

    monkeypatch.setattr(device_plan, "compile_all", Compiler(cost))
    plan = plan_for_device(net(), SHAPE, DEVICE, compiles=40)
    assert [str(line.student) for line in plan.lines] == [
        "as it is",
        "lean stem, plain in stage1",
        "plain",
        "lean stem",
        "lean stem, plain",
    ]
    assert plan.best("cycles") is plan.lines[1]
    assert plan.as_good(plan.lines[1], "cycles") is None
    assert plan.num_left == 0


def test_shortcuts_that_cost_next_to_nothing_are_named(monkeypatch):
    def cost(edits, device):
        return estimated(1000 - 100 * ("stage1" in stages(edits)) - 3 * len(stages(edits)))

    monkeypatch.setattr(device_plan, "compile_all", Compiler(cost))
    plan = plan_for_device(net(), SHAPE, DEVICE, compiles=40)
    best = plan.best("cycles")
    assert str(best.student) == "plain"
    assert str(plan.as_good(best, "cycles").student) == "plain in stage1"


def test_corners_are_compiled_whatever_a_forecast_says(monkeypatch):
    compiler = Compiler(lambda edits, device: estimated(1000))
    monkeypatch.setattr(device_plan, "compile_all", compiler)
    plan = plan_for_device(net(), SHAPE, DEVICE, compiles=1)
    asked = [tuple(name for name, _ in spec.edits) for spec in compiler.asked]
    assert asked == [(), ("without_shortcuts",), ("with_lean_stem",), ("with_lean_stem", "without_shortcuts")]
    assert plan.num_compiled == 3
    assert plan.num_left > 10
    assert plan.best("cycles") is None


def test_what_cannot_be_compiled_is_said(monkeypatch):
    def cost(edits, device):
        return UnskipError("it was killed") if "with_lean_stem" in edits else estimated(1000)

    monkeypatch.setattr(device_plan, "compile_all", Compiler(cost))
    plan = plan_for_device(net(), SHAPE, DEVICE, compiles=3)
    assert plan.refused == {"lean stem": "it was killed", "lean stem, plain": "it was killed"}
    monkeypatch.setattr(device_plan, "compile_all", Compiler(lambda edits, device: UnskipError("no such operation")))
    with pytest.raises(UnskipError, match="no such operation"):
        plan_for_device(net(), SHAPE, DEVICE)
