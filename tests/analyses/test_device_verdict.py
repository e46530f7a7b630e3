"""Whether removal pays on a device: what gets better and what gets worse, in figures of the compiler alone."""

from dataclasses import replace

import pytest
from search.known import DEVICE, Compiler, estimated, meta_net

from unskip.analyses._device_verdict import DeviceVerdict
from unskip.search import device_plan, removal_groups

SHAPE = (3, 32, 32)
KIB = 1024


@pytest.fixture
def compiled(monkeypatch):
    """Groups by estimates of the network as it is and without shortcuts, of one stage, and with a lean stem."""

    def groups(own, plain, *, stages=None, lean=None, lean_plain=None):
        def cost(edits, device):
            removed = edits.get("without_shortcuts")
            if "with_lean_stem" in edits:
                return (lean_plain or lean or own) if removed == {} else (lean or own)
            if removed is None:
                return own
            return plain if removed == {} else (stages or {}).get(removed["only"][0], own)

        monkeypatch.setattr(device_plan, "compile_all", Compiler(cost))
        return removal_groups(meta_net("resnet18", {"width": 4}), SHAPE, DEVICE)

    return groups


@pytest.fixture
def judged(compiled):
    return lambda *estimates, sram=None, **more: DeviceVerdict.of("ethos-u55-128", compiled(*estimates, **more), sram)


def test_better_alone_pays(judged):
    verdict = judged(estimated(54_350_000, 2480 * KIB), estimated(41_200_000, 1342 * KIB))
    assert verdict.text == (
        "Removal pays on ethos-u55-128. Better: cycles 1.32x less (from 54.35 to 41.20 million); SRAM 1.85x less "
        "(from 2.42 to 1.31 MiB)."
    )
    assert (verdict.better, verdict.worse) == (("cycles", "sram"), ())


def test_worse_alone_does_not_and_hardly_anything_is_no_gain(judged):
    verdict = judged(estimated(10_700_000, 117_000), estimated(10_400_000, 138_300))
    assert verdict.text == (
        "Removal does not pay on ethos-u55-128. Worse: SRAM 1.18x more (from 114.3 to 135.1 KiB). Within 5 %: cycles "
        "1.03x less (from 10.70 to 10.40 million)."
    )
    verdict = judged(estimated(10_280_000, 20 * KIB), estimated(10_080_000, 20 * KIB))
    assert verdict.text == (
        "Removal does not pay on ethos-u55-128. Within 5 %: cycles 1.02x less (from 10.28 to 10.08 million); SRAM the "
        "same (20.00 KiB)."
    )
    assert (verdict.better, verdict.worse) == ((), ())


def test_both_are_left_to_the_reader(judged):
    verdict = judged(estimated(1000, 100 * KIB), estimated(500, 150 * KIB))
    assert verdict.text == (
        "Whether removal pays on ethos-u55-128 depends on what you need. Better: cycles 2.00x less (from 1.00 to 0.50 "
        "thousand). Worse: SRAM 1.50x more (from 100.0 to 150.0 KiB)."
    )
    assert (verdict.better, verdict.worse) == (("cycles",), ("sram",))


def test_a_cache_is_judged_by_the_traffic_behind_it(judged):
    own, plain = (
        estimated(cycles, sram, cache=384 * KIB, traffic=traffic)
        for cycles, sram, traffic in ((1000, 300 * KIB, 8 * KIB), (1200, 380 * KIB, 10 * KIB))
    )
    assert judged(own, plain, sram=384 * KIB).text == (
        "Removal does not pay on ethos-u55-128. Worse: cycles 1.20x more (from 1.00 to 1.20 thousand); maps to and "
        "from DRAM 1.25x more (from 8.00 to 10.00 KiB)."
    )


def test_what_fits_or_not_counts_however_little_it_is(judged):
    own, plain = estimated(1000, 100 * KIB), estimated(1000, 98 * KIB)
    assert "Better: SRAM 1.02x less (from 100.0 to 98.0 KiB), which fits." in judged(own, plain, sram=99 * KIB).text
    assert ", which does not fit." in judged(plain, own, sram=99 * KIB).text
    assert judged(own, plain, sram=101 * KIB).better == ()


def test_where_removal_pays_in_part_it_says_in_which(judged):
    own, plain = estimated(1000, 20 * KIB), estimated(1100, 20 * KIB)
    stages = {
        "stage1": estimated(1300, 20 * KIB),
        "stage2": estimated(800, 20 * KIB),
        "stage3": estimated(900, 20 * KIB),
    }
    said = judged(own, plain, stages=stages, lean=estimated(700, 12 * KIB), lean_plain=estimated(700, 8 * KIB)).text
    assert said.endswith(
        "Removal in stage2 alone pays: cycles 1.25x less (from 1.00 to 0.80 thousand). In the network with a lean stem "
        "it pays: SRAM 1.50x less (from 12.00 to 8.00 KiB)."
    )
    assert "alone" not in judged(own, estimated(500, 20 * KIB), stages=stages).text


def test_a_compiler_that_says_no_cycles(judged):
    own, plain = (estimated(1, size * KIB).model_copy(update={"cycles": None}) for size in (20, 10))
    assert judged(own, plain).text == (
        "Removal pays on ethos-u55-128. Better: SRAM 2.00x less (from 20.00 to 10.00 KiB). Nobody estimates its cycles."
    )


def test_what_was_not_compiled_is_not_judged(compiled):
    groups = [
        replace(each, estimate=None, refused="it was killed") if not each.student.shortcuts else each
        for each in compiled(estimated(2), estimated(1))
    ]
    verdict = DeviceVerdict.of("ethos-u55-128", groups, None)
    assert verdict.text == (
        "Whether removal pays on ethos-u55-128 is not known: the network was not compiled without its shortcuts: it "
        "was killed."
    )
    assert (verdict.better, verdict.worse) == ((), ())
