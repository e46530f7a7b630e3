"""What a device's compiler says of a network, in words: with a compiler by formula in the place of a real one."""

import io
import json
from dataclasses import replace

import pytest
import torch
from rich.console import Console
from search.known import DEVICE, Compiler, estimated

from unskip import make_net
from unskip.analyses import Target, inspect_net
from unskip.analyses._layers import cut_blocks, holding_blocks, layer_parts
from unskip.records import Layer
from unskip.search import device_plan

SHAPE = (3, 16, 16)
KIB = 1024


def net():
    with torch.device("meta"):
        return make_net("resnet8", {"width": 4})


def layer(operation, sram=0, cascade=None):
    return Layer(operation=operation, name="op", cycles=1, sram_bytes=sram, cascade=cascade)


def full_layers():
    """As Vela writes them: a projection comes before its body, an addition has a clamp behind it."""
    stem = [layer("Transpose"), layer("Conv2D", 5 * KIB)]
    first = [layer("Conv2D", 7 * KIB), layer("Conv2D", 9 * KIB, 4), layer("Add", 8 * KIB, 4), layer("Clamp")]
    others = [layer("Conv2D", 3 * KIB), layer("Conv2D"), layer("Conv2D"), layer("Add"), layer("Clamp")]
    return (*stem, *first, *others, *others, layer("AvgPool"), layer("Conv2D"))


def plain_layers():
    convolutions = [layer("Conv2D", 6 * KIB, cascade) for cascade in (1, 1, 1, 1, None, 2, 2)]
    return (layer("Transpose"), *convolutions, layer("AvgPool"), layer("Conv2D"))


def cost(edits, device):
    if edits.get("without_shortcuts") == {}:
        return estimated(500, 6 * KIB, layers=plain_layers())
    return estimated(1000, 9 * KIB, layers=full_layers())


@pytest.fixture(autouse=True)
def compiler(monkeypatch):
    monkeypatch.setattr(device_plan, "compile_all", Compiler(cost))


def inspected(sram=None, **more):
    return inspect_net(net(), SHAPE, target=Target(DEVICE, sram), **more)


def printed(inspection, width=80):
    file = io.StringIO()
    inspection.show(Console(file=file, width=width))
    return file.getvalue()


def test_layers_belong_to_blocks_by_the_order_of_convolutions():
    parts = layer_parts(net(), SHAPE, estimated(1, layers=full_layers()))
    assert list(dict.fromkeys(parts)) == ["stem", "stage1.block1", "stage2.block1", "stage3.block1", "head"]
    assert parts[5] == "stage1.block1", "the clamp behind an addition"
    assert parts.count("stage2.block1") == 5
    assert layer_parts(net(), SHAPE, estimated(1, layers=full_layers()[:-1])) == (), "another network"


def test_a_shortcut_holds_a_map_behind_the_first_layer_of_its_block():
    parts = layer_parts(net(), SHAPE, estimated(1, layers=full_layers()))
    assert holding_blocks(net(), parts, 3) == ("stage1.block1",)
    assert holding_blocks(net(), parts, 2) == (), "which reads the map anyway"
    assert holding_blocks(net(), parts, 1) == ()


def test_cascades_that_only_the_plain_network_has():
    from unskip.edits import without_shortcuts

    full, plain = estimated(1, layers=full_layers()), estimated(1, layers=plain_layers())
    pairs = [(each, layer_parts(one, SHAPE, each)) for each, one in ((full, net()), (plain, without_shortcuts(net())))]
    assert cut_blocks(net(), *pairs) == ("stage1.block1", "stage2.block1")


@pytest.mark.parametrize(
    ("sram", "fits", "words"),
    [
        (None, None, "Needs 9.00 KiB of SRAM. Most is in use at stage1.block1 (Conv2D)."),
        (10 * KIB, True, "Fits 10.00 KiB of SRAM: needs 9.00 KiB, 1.00 KiB are left."),
        (9 * KIB, True, "Fits 9.00 KiB of SRAM: needs 9.00 KiB, 0.00 KiB are left."),
        (8 * KIB, False, "Does not fit 8.00 KiB of SRAM: needs 9.00 KiB, 1.00 KiB too much (1.12x of what there is)."),
    ],
)
def test_the_first_lines_say_whether_it_fits(sram, fits, words):
    inspection = inspected(sram)
    device = inspection.analyses["device"]
    assert device.fits is fits
    assert next(iter(inspection.analyses)) == "device"
    text = " ".join(printed(inspection).split())
    assert words in text
    assert "While stage1.block1 (Conv2D) runs, a shortcut holds a map: stage1.block1." in text
    assert "end where these blocks begin: stage1.block1, stage2.block1." in text
    assert ("plain in stage1: too large" in text) == (fits is False)
    assert "plain: too large" not in text
    assert "2.00× less" in text
    assert text.count("measured on a device") == 1


def test_a_cache_fits_whatever_it_holds(monkeypatch):
    monkeypatch.setattr(
        device_plan, "compile_all", Compiler(lambda edits, device: estimated(1000, 7 * KIB, cache=8 * KIB))
    )
    device = inspected(8 * KIB).analyses["device"]
    assert device.fits
    assert device.text == "Fits 8.00 KiB of SRAM, a cache in front of the DRAM: 7.00 KiB of it are used."


def test_json_has_every_group_with_edits_as_recipes_take_them():
    record = json.loads(json.dumps(inspected(8 * KIB).to_json()))["device"]
    assert (record["fits"], record["sram_bytes"], record["available_bytes"]) == (False, 9 * KIB, 8 * KIB)
    assert (record["peak_at"], record["peak"]["operation"], record["holding"]) == (
        "stage1.block1",
        "Conv2D",
        ["stage1.block1"],
    )
    assert record["verdict"].startswith("Removal pays on ethos-u65-256. Better: ")
    assert (record["better"], record["worse"]) == (["cycles", "sram"], [])
    last = record["groups"][-1]
    assert (last["edits"], last["figures"]["cycles"], last["shortcuts"]) == (["without_shortcuts"], 500, 0)


def test_the_verdict_comes_before_all_else():
    inspection = inspected()
    first, second = " ".join(printed(inspection).split("\n\n")[1].split()), printed(inspection).split("\n\n")[2]
    assert first == inspection.analyses["device"].verdict
    assert second.startswith("on ethos-u65-256")


def test_a_network_without_shortcuts_has_nothing_to_remove():
    from unskip.edits import without_shortcuts

    device = inspect_net(without_shortcuts(net()), SHAPE, target=Target(DEVICE)).analyses["device"]
    assert device.verdict == "This network has no shortcuts, so there is nothing to remove."
    assert device.better == device.worse == ()


def test_without_a_device_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(device_plan, "compile_all", None)
    assert "device" not in inspect_net(net(), SHAPE).analyses


def test_the_compiler_has_the_last_word_on_its_device():
    """Forecasts in float32, whether removal pays among them, are details there: they may say the opposite."""
    inspection = inspected()
    verdict = inspection.analyses["verdict"].text[:30]
    assert verdict not in printed(inspection)
    console = Console(file=io.StringIO(), width=200)
    inspection.show(console, details=True)
    assert verdict in console.file.getvalue()


def test_a_plan_for_a_device_takes_the_place_of_the_peaks():
    inspection = inspected(also=["plan"])
    plan = inspection.analyses["plan"]
    assert plan.advice == (
        "The fewest cycles: line 1, 0.50 thousand, 2.00x less than as it is. "
        "The least SRAM: line 1, 6.00 KiB, 1.50x less than as it is."
    )
    text = " ".join(printed(inspection).split())
    assert plan.advice in text
    assert "- without_shortcuts" in text
    found = json.loads(json.dumps(inspection.to_json()))["plan"]
    assert [line["edits"] for line in found["lines"]] == [[], ["without_shortcuts"]]
    assert found["device"]["target"] == DEVICE.target


def test_a_plan_says_what_was_left_and_what_was_refused(monkeypatch):
    plan = inspected(also=["plan"]).analyses["plan"]
    more = replace(plan, on_device=replace(plan.on_device, num_left=7, refused={"lean stem": "it was killed"}))
    text = " ".join(printed(replace(inspected(), analyses={"plan": more})).split())
    assert "Not compiled: 7" in text
    assert "lean stem: not compiled: it was killed." in text
