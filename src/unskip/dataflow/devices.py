"""What a forecast knows of a device: how fast it computes, what it can hold, and how fast its memories are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unskip.errors import UnskipError

_KIB = 1024


@dataclass(frozen=True)
class Memory:
    """Bytes a cycle, cycles until the first of them comes, and the bytes of a burst, which moves as a whole."""

    bandwidth: float
    latency: int
    burst: int

    def cycles(self, size: float) -> float:
        """Cycles to move so many bytes in one go."""
        return size / self.bandwidth + self.latency


@dataclass(frozen=True)
class Device:
    """A neural processor with an SRAM and, perhaps, a memory behind it.

    ``sram_bytes`` is the SRAM that it may use. Weights are read from the memory ``behind``, where there is one. Where
    it ``spills``, feature maps that find no room in the SRAM lie there too; elsewhere they live in the SRAM or nowhere.
    One that ``chains`` computes an addition on the way out of the convolution in front of it.
    """

    name: str
    macs_per_cycle: int
    cores: int
    sram_bytes: int
    sram: Memory
    behind: Memory | None
    spills: bool
    chains: bool = False

    @property
    def unit(self) -> tuple[int, int, int]:
        """Rows, columns and channels of the output that are computed at once."""
        macs = self.macs_per_cycle // self.cores
        return {32: (1, 1, 4), 64: (1, 1, 8), 128: (1, 2, 8)}.get(macs, (2, 2, 8))

    @property
    def banks(self) -> tuple[int, int, int]:
        """KiB of the processor's buffers: steps in which inputs and sums are given some, and what both share."""
        macs = self.macs_per_cycle // self.cores
        return {32: (2, 4, 14), 64: (2, 4, 14), 128: (4, 8, 20)}.get(macs, (8, 16, 44))


def device_named(name: str) -> Device:
    """An Ethos-U by its name, such as ``ethos-u65-256``: the processor and its MACs a cycle.

    Memories are those that ExecuTorch 1.5.1 chooses and Vela 5.1.0 describes (``Arm/vela.ini``): on a U55 an SRAM in
    front of a flash, on a U65 384 KiB of SRAM in front of a DRAM, on a U85 an SRAM alone. Raises `UnskipError` for
    another name.
    """
    match = re.fullmatch(r"ethos-(u55|u65|u85)-(\d+)", name)
    if match is None:
        raise UnskipError(f"no device {name!r}: expected the name of an Ethos-U, such as ethos-u65-256")
    family, macs = match[1], int(match[2])
    if family == "u55":
        flash = Memory(1.0, 64, 128)
        return Device(name, macs, 1, 4096 * _KIB, Memory(8.0, 32, 32), flash, spills=False)
    if family == "u65":
        dram = Memory(3.75, 500, 128)
        return Device(name, macs, max(macs // 256, 1), 384 * _KIB, Memory(16.0, 32, 32), dram, spills=True)
    return Device(name, macs, 1, 4096 * _KIB, Memory(32.0, 32, 64), None, spills=False, chains=True)
