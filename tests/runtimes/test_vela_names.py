"""What is said of Vela's names agrees with what Vela's own file says of them."""

import re
from importlib.resources import files
from pathlib import Path

import pytest

from unskip.runtimes import _vela, configured, find_runtime
from unskip.runtimes._vela_names import mode_meaning, system_meaning
from unskip.runtimes.ethos_u import _DEFAULTS

pytest.importorskip("ethosu")
TEXT = (files("ethosu") / "config_files/Arm/vela.ini").read_text()


@pytest.mark.parametrize(("comment", "name"), re.findall(r"^; (.*)\n\[System_Config\.(\w+)\]$", TEXT, re.MULTILINE))
def test_the_speeds_are_those_of_the_comments_in_velas_file(comment, name):
    said = system_meaning(name, name.split("_")[1].lower())
    assert re.findall(r"([\d.]+) GB/s", said) == re.findall(r"([\d.]+) GB/s", comment)
    assert [memory.upper() for memory in re.findall(r"(\w+) of [\d.]+ GB/s", said)] == [
        memory.upper() for memory in re.findall(r"([A-Za-z]+)(?:x\d)? \(", comment)
    ]


def test_modes_say_where_maps_and_weights_lie():
    assert "256 KiB of SRAM" in mode_meaning("Dedicated_Sram_256KB", "DRAM")
    assert "weights lie in DRAM" in mode_meaning("Dedicated_Sram_256KB", "DRAM")
    assert "weights in flash" in mode_meaning("Shared_Sram", "flash")
    assert "everything lies in SRAM" in mode_meaning("Sram_Only", "DRAM")


def test_every_word_of_a_configuration_has_its_meaning():
    for target in ("ethos-u55-32", "ethos-u65-512", "ethos-u85-2048"):
        configuration = configured(target, {"optimise": "size"})
        meanings = find_runtime("ethos_u").meanings(configuration)
        assert all(word in str(configuration) for word in meanings)
        assert len(meanings) == len(configuration.setting)


def test_the_page_has_every_name_with_its_meaning():
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "targets.md").read_text()
    for name in _vela.described("System_Config"):
        clock, memories = system_meaning(name, name.split("_")[1].lower()).removeprefix("a clock of ").split(", ", 1)
        assert f"| `{name}` | {clock} | {memories} |" in page
    for name in _vela.described("Memory_Mode"):
        assert name.removeprefix("Dedicated_Sram") in page
    for family, (system, mode) in _DEFAULTS.items():
        assert f"| {family.removeprefix('ethos-').upper()} | `{system}` | `{mode}` |" in page
