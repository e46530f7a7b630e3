from records.samples import FAST, REASON, SLOW, benches, changed, devices, estimate, on_device

from report.pages import Page
from unskip.report.devices import (
    alone_on_device,
    best_on_device,
    cycles_table,
    device_of,
    device_section,
    on_devices,
    refused_there,
    traffic_table,
)
from unskip.report.pages import render_bench
from unskip.report.sentences import sentences

RECORD = devices()


def entries(table, label: str) -> dict[str, tuple[str, ...]]:
    (row,) = [row for row in table.rows if row.content.label == label]
    return {column.title: entry for column, entry in zip(table.columns, row.entries, strict=True)}


def test_directions_are_right():
    faster, slower = on_devices(RECORD)
    assert (faster.verdict, slower.verdict) == ("faster", "slower")
    assert faster.ratio == slower.ratio == "2.00\N{MULTIPLICATION SIGN}"
    assert (faster.this, faster.other) == ("8.00", "16.00 million")
    assert (slower.this, slower.other) == ("16.00", "8.00 million")
    assert faster.costs[1] == ("maps to and from DRAM 4.00\N{MULTIPLICATION SIGN} less", "0.95 instead of 3.81 MiB")


def test_equal_cycles_are_said_to_be():
    (equal,) = on_devices(changed(RECORD, groups=(on_device(estimate(FAST), estimate(FAST)),)))
    assert equal.verdict == "as fast"
    assert equal.costs[0] == ("SRAM the same", "302.7 KiB")


def test_a_compiler_that_says_no_cycles_gives_no_verdict():
    group = on_device(estimate(FAST, cycles=None), estimate(SLOW, cycles=None, memory_bytes={"sram": 155_000}))
    (beside,) = on_devices(changed(RECORD, groups=(group,)))
    assert beside.verdict is None
    assert beside.costs[0][0] == "SRAM 2.00\N{MULTIPLICATION SIGN} less"
    text = " ".join(sentences(changed(RECORD, groups=(group,)), "headline"))
    assert "SRAM 2.00" in text
    assert "cycles" not in text


def test_settings_of_one_device_are_told_apart_by_what_differs():
    first, second, _ = RECORD.groups
    assert device_of(RECORD, first) == "ethos-u65-256, optimised for speed"
    assert device_of(RECORD, second) == "ethos-u65-256, optimised for size"
    assert device_of(changed(RECORD, groups=(first,)), first) == "ethos-u65-256"


def test_the_best_is_that_with_the_fewest_cycles_on_the_first_device():
    three = changed(RECORD, subjects=(*RECORD.subjects, changed(RECORD.subjects[1], label="third")))
    group = on_device(estimate(SLOW), estimate(SLOW), estimate(FAST))
    assert best_on_device(changed(three, groups=(group,))).subject == "third"
    assert best_on_device(benches()["standard"]) is None
    assert alone_on_device(benches()["alone_there"])[1].subject == "residual"


def test_the_headline_says_slower_where_it_is_slower():
    slower = changed(RECORD, groups=RECORD.groups[1:2])
    (headline,) = sentences(slower, "headline")
    assert "plain is slower than residual: 2.00\N{MULTIPLICATION SIGN} as many cycles" in headline
    (faster,) = sentences(changed(RECORD, groups=RECORD.groups[:1]), "headline")
    assert "plain needs 2.00\N{MULTIPLICATION SIGN} fewer cycles than residual" in faster
    assert "slower" not in faster


def test_a_runtime_beside_devices_has_its_headline_too():
    device, runtime = sentences(RECORD, "headline")
    assert "ethos-u65-256" in device
    assert "1.08\N{MULTIPLICATION SIGN} as fast" in runtime
    conclusions = sentences(RECORD, "conclusions")
    assert [("Vela" in each, "ONNX Runtime" in each) for each in conclusions] == [(True, False)] * 2 + [(False, True)]


def test_what_is_refused_has_its_reason_among_the_conclusions():
    record = benches()["refused_there"]
    assert [(device, cell.subject) for device, cell in refused_there(record)] == [("ethos-u65-256", "plain")]
    assert any("2 of 9 operations do not run on it" in each for each in sentences(record, "conclusions"))
    assert refused_there(benches()["refused"]) == []


def test_nothing_that_was_not_timed_is_called_a_latency():
    page = Page(render_bench(changed(benches()["only_devices"], load=benches()["busy"].load)))
    for word in ("latency", "Latency", "Latencies", "load average", "rounds"):
        assert word not in page.text
    assert "estimated by Vela 5.1.0" in page.text
    assert "a clock of 1 GHz" in page.text


def test_cycles_are_added_up_by_what_bounds_them():
    table = cycles_table(RECORD, RECORD.groups[0])
    residual, plain = entries(table, "residual"), entries(table, "plain")
    assert residual["Bound by DRAM"] == ("9.00",)
    assert residual["Bound by computing"] == ("7.00",)
    assert plain["Bound by DRAM"][0] == "4.00"
    assert "Bound by flash" not in residual
    assert (residual["Operations"], residual["In cascades"], residual["On the CPU"]) == (("5",), ("2",), ("0.00",))


def test_the_share_that_the_cpu_computes_is_said():
    group = on_device(estimate(FAST, fallback=("TopK",)))
    table = cycles_table(changed(RECORD, subjects=RECORD.subjects[:1], groups=(group,)), group)
    assert entries(table, "residual")["On the CPU"] == ("16.67",)


def test_traffic_has_a_column_for_every_way_that_bytes_go():
    table = traffic_table(RECORD, RECORD.groups[0])
    assert [column.title for column in table.columns] == [
        "DRAM: maps read",
        "DRAM: weights read",
        "SRAM: maps read",
        "SRAM: maps written",
        "SRAM: weights read",
    ]
    assert entries(table, "plain")["DRAM: maps read"][1] == "4.00\N{MULTIPLICATION SIGN} less"


def test_a_setting_of_this_machine_has_no_such_section():
    assert device_section(RECORD, RECORD.groups[2], "layers") is None
    section = device_section(RECORD, RECORD.groups[0], "layers")
    assert section.bounds == (("compute", "computing"), ("dram", "DRAM"))
    assert section.striped
    assert section.limited
    assert REASON not in section.wide
