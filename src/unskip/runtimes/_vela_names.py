"""What Vela's names for a clock, for memories and for an aim stand for, by the file in which Vela keeps them."""

from __future__ import annotations

from unskip.runtimes import _vela
from unskip.runtimes._estimator import Configuration

_PORT_BYTES = {"u55": 8, "u65": 16, "u85": 16}
"""Bytes that a port to a memory takes in a cycle, by the processor's family: 64 bits, from the U65 on 128."""

_MEMORIES = {"Sram": "SRAM", "Dram": "DRAM", "OnChipFlash": "on-chip flash", "OffChipFlash": "flash"}
_AIMS = {
    "speed": "Vela saves cycles with all the SRAM that it may use",
    "size": "Vela takes the least SRAM, and as many cycles as that costs",
}


def meanings(configuration: Configuration) -> dict[str, str]:
    """A sentence, without its full stop, for each of the names in a configuration's setting."""
    setting, family = configuration.setting, configuration.target.split("-")[1]
    system, mode, aim = setting["system_config"], setting["memory_mode"], setting["optimise"]
    return {
        system: system_meaning(system, family),
        mode: mode_meaning(mode, _port(system, "axi1_port")),
        f"optimised for {aim}": _AIMS[aim],
    }


def system_meaning(name: str, family: str) -> str:
    """The clock and the bytes a second of each memory: ``a clock of 1 GHz, SRAM of 16 GB/s, DRAM of 3.75 GB/s``."""
    section = _vela.configurations()[f"System_Config.{name}"]
    clock = float(section["core_clock"])
    speeds = []
    for port in ("axi0_port", "axi1_port"):
        memory = section[port]
        cycle = _PORT_BYTES[family] * float(section[f"{memory}_clock_scale"])
        rate = clock * cycle * int(section.get(f"{memory}_ports_used", "1"))
        speeds.append(f"{_MEMORIES[memory]} of {rate / 1e9:g} GB/s")
    hertz = f"{clock / 1e9:g} GHz" if clock >= 1e9 else f"{clock / 1e6:g} MHz"
    return f"a clock of {hertz}, {', '.join(speeds)}"


def mode_meaning(name: str, behind: str) -> str:
    """What lies in which memory; ``behind`` is the one that is not the SRAM."""
    area = {kind: _of_mode(name, f"{kind}_mem_area") for kind in ("const", "arena")}
    if area["const"] == area["arena"] == "Axi0":
        return "everything lies in SRAM; Vela counts the weights apart, as flash that is as fast"
    if area["arena"] == "Axi0":
        return f"feature maps lie in SRAM, which other software shares, weights in {behind}"
    size = _of_mode(name, "arena_cache_size")
    cache = f"{int(size) >> 10} KiB of SRAM" if size else "the SRAM"
    return f"feature maps and weights lie in {behind}; {cache}, for this processor alone, takes what is being used"


def modes_for(system: str) -> tuple[str, ...]:
    """The memory modes that go with a system configuration: feature maps cannot lie in its flash."""
    ports = {"Axi0": "axi0_port", "Axi1": "axi1_port"}
    modes = _vela.described("Memory_Mode")
    return tuple(mode for mode in modes if "flash" not in _port(system, ports[_of_mode(mode, "arena_mem_area") or ""]))


def _port(system: str, port: str) -> str:
    return _MEMORIES[_vela.configurations()[f"System_Config.{system}"][port]]


def _of_mode(name: str, key: str) -> str | None:
    """A value of a memory mode, or of the one that it inherits from."""
    section = _vela.configurations()[f"Memory_Mode.{name}"]
    if key in section:
        return section[key]
    inherited = section.get("inherit")
    return None if inherited is None else _of_mode(inherited.partition(".")[2], key)
