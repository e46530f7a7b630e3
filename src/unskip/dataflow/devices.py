"""What a forecast knows of a device: how fast it computes, what it can hold, and how fast its memories are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unskip.errors import UnskipError

KIB = 1024


@dataclass(frozen=True)
class Device:
    """A neural processor with an SRAM, and a memory behind it.

    ``sram_bytes`` is the SRAM that it may use; where ``spills`` is false, feature maps live nowhere else. With
    ``weights_behind`` the weights are read from the memory behind. Bandwidths are bytes a cycle. ``internal_bytes`` are
    its buffers, in which a block of an input and the sums of a block of an output lie.
    """

    name: str
    macs_per_cycle: int
    sram_bytes: int
    spills: bool
    weights_behind: bool
    sram_bandwidth: float
    bandwidth_behind: float
    internal_bytes: int


def device_named(name: str) -> Device:
    """An Ethos-U by its name, such as ``ethos-u65-256``: the processor and its MACs a cycle.

    Memories are those of ExecuTorch's defaults, as Vela 5.1.0 states them: on a U55 an SRAM with a flash behind it, on
    a U65 384 KiB of SRAM in front of a DRAM, on a U85 an SRAM that holds everything. Raises `UnskipError` for another
    name.
    """
    match = re.fullmatch(r"ethos-(u55|u65|u85)-(\d+)", name)
    if match is None:
        raise UnskipError(f"no device {name!r}: expected the name of an Ethos-U, such as ethos-u65-256")
    family, macs = match[1], int(match[2])
    internal = {32: 16, 64: 16, 128: 24}.get(macs, 48) * KIB
    if family == "u55":
        return Device(name, macs, 4096 * KIB, False, True, 8.0, 1.0, internal)
    if family == "u65":
        return Device(name, macs, 384 * KIB, True, True, 16.0, 3.75, internal)
    return Device(name, macs, 4096 * KIB, False, False, 32.0, 32.0, internal)
